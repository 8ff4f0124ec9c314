"""Label guidance: which labels a classifier sees in the images, told to any decoder.

A decoder that is trained on likelihood writes the likeliest report, which is a normal one, and
names few findings. Here the verdicts of a classifier join the maps, each as one more channel that
is the same at all locations, so that decoders, searches and ensembles need not know of them. While
training a verdict is what the study's own report says, so that the decoder learns to write what it
is told; afterwards it is the classifier's, at a threshold that was chosen on validation studies.

After Jin et al. 2024, "PromptMRG: Diagnosis-Driven Prompts for Medical Report Generation"
(arXiv:2308.12604), where the labels are tokens before the report's first.

Shapes: B studies, C channels of the maps, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from xray_report.models.decoders.protocol import Decoder, DecoderState, TeacherForced
from xray_report.models.maps import MapShape


class Verdicts(nn.Module):
    """A linear classifier of average-pooled maps, with a threshold a label; nothing is learnt.

    It is CheXNet's own (`xray_report.training.chexnet`), put here by `load`.

    Args:
        channels: C.
        labels: K.
    """

    weight: Tensor
    bias: Tensor
    thresholds: Tensor

    def __init__(self, channels: int, labels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(labels, channels))
        self.register_buffer("bias", torch.zeros(labels))
        self.register_buffer("thresholds", torch.zeros(labels))

    def load(self, weight: Tensor, bias: Tensor) -> None:
        """Take a classifier's weight [K, C] and bias [K]; a logit above 0 is a label seen."""
        self.weight.copy_(weight)
        self.bias.copy_(bias)

    def choose_thresholds(self, logits: Tensor, labels: Tensor, apart: Sequence[int] = ()) -> None:
        """Choose the labels' thresholds on studies that the decoder is not trained on.

        All labels are told together so that their micro-averaged F1 is highest. A label of its own
        highest F1 would be told of nearly every study where the classifier is blind to it.

        Args:
            logits: [M, K] of M studies.
            labels: [M, K], 1 present, 0 absent, NaN unknown.
            apart: numbers of labels that say of themselves alone, such as No Finding, each to be
                told so that its own F1 is highest.
        """
        together = [number for number in range(len(self.thresholds)) if number not in apart]
        for group in (together, *([number] for number in apart)):
            values, present = [], []
            for number in group:
                known = ~labels[:, number].isnan()
                order = logits[known, number].sort(descending=True)
                values.append(order.values)
                present.append(labels[known, number][order.indices] == 1)
            for number, ranked, count in zip(group, values, most_f1(present), strict=True):
                if not count:
                    self.thresholds[number] = torch.inf
                    continue
                below = ranked[count] if count < len(ranked) else ranked[-1] - 1
                self.thresholds[number] = (ranked[count - 1] + below) / 2

    def logits(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """[B, K], the mean over a study's views; 0 for one without any view."""
        pooled = features.flatten(3).to(self.weight.dtype).mean(3)
        logits = nn.functional.linear(pooled, self.weight, self.bias)
        present = view_mask.unsqueeze(-1)
        return logits.masked_fill(~present, 0.0).sum(1) / present.sum(1).clamp(min=1)

    def forward(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """1.0 where a label is seen in a study, else 0.0; [B, K]."""
        return (self.logits(features, view_mask) > self.thresholds).to(self.weight.dtype)


def most_f1(present: Sequence[Tensor]) -> list[int]:
    """How many of each label's studies to tell, likeliest first, for the highest F1 of all labels.

    By Dinkelbach's method (1967): of F1 = 2 * right / (told + there), the counts that maximise
    2 * right - F1 * told give a higher one, until it is the highest.

    Args:
        present: bool [M] a label, whether it is there, in order of the classifier's belief.
    """
    there, f1 = sum(int(one.sum()) for one in present), 0.0
    while True:
        gains = [(2 * one.float() - f1).cumsum(0) for one in present]
        counts = [int(one.argmax()) + 1 if (one > 0).any() else 0 for one in gains]
        right = sum(int(one[:count].sum()) for one, count in zip(present, counts, strict=True))
        higher = 2 * right / max(sum(counts) + there, 1)
        if higher <= f1:
            return counts
        f1 = higher


def told_shape(maps: MapShape, labels: int) -> MapShape:
    """Shape of a view's map once it also holds the verdicts on K `labels`."""
    return maps._replace(channels=maps.channels + labels)


class GuidedDecoder(Decoder):
    """A decoder that reads verdicts on labels beside the maps.

    Args:
        decoder: built for maps of `told_shape(maps, labels)`.
        maps: shape of a view's map as the encoder makes it.
        labels: K.
    """

    def __init__(self, decoder: Decoder, maps: MapShape, labels: int) -> None:
        super().__init__(decoder.special, decoder.embedding, maps)
        self.decoder = decoder
        self.verdicts = Verdicts(maps.channels, labels)

    def told(self, features: Tensor, view_mask: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps [B, 2, C + K, h, w].

        Args:
            features: [B, 2, C, h, w].
            view_mask: bool [B, 2].
            labels: float [B, K], 1 present, 0 absent, NaN unknown, which the classifier then
                says; None for all unknown.
        """
        with torch.no_grad():
            seen = self.verdicts(features, view_mask)
            if labels is not None:
                seen = torch.where(labels.isnan(), seen, labels.to(seen.dtype))
        channels = seen[:, None, :, None, None].to(features.dtype)
        return torch.cat([features, channels.expand(-1, 2, -1, *features.shape[3:])], 2)

    def teacher_forced(
        self, features: Tensor, view_mask: Tensor, tokens: Tensor, labels: Tensor | None = None
    ) -> TeacherForced:
        """Read int64 `tokens` [B, T] in one pass, of studies with `labels` as of `told`."""
        return self.decoder.teacher_forced(
            self.told(features, view_mask, labels), view_mask, tokens
        )

    def forward(
        self, features: Tensor, view_mask: Tensor, tokens: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Logits [B, T-1, V]; arguments as of `teacher_forced`."""
        logits: Tensor = self.decoder(self.told(features, view_mask, labels), view_mask, tokens)
        return logits

    def feature_parameters(self) -> Iterator[nn.Parameter]:
        """Those of the decoder within."""
        return self.decoder.feature_parameters()

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word, the classifier's verdicts told."""
        return self.decoder.initial_state(self.told(features, view_mask), view_mask)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """A step of the decoder within."""
        return self.decoder.step(tokens, state)
