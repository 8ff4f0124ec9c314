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
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xray_report.models.decoders.protocol import Decoder, DecoderState, TeacherForced
from xray_report.models.maps import MapShape

PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Of a linear probe, which takes the best on studies held out."""


class Verdicts(nn.Module):
    """A linear classifier of average-pooled maps, with a threshold a label.

    It is CheXNet's own (`xray_report.training.chexnet`), put here by `load`, or a linear probe of
    a frozen encoder that has none, found by `learn`. Training the decoder does not change it.

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

    @property
    def known(self) -> bool:
        """Whether there is a classifier by now."""
        return bool(self.weight.any())

    def learn(self, train: Labelled, held: Labelled) -> None:
        """Find a linear probe of studies' pooled maps: a logistic regression a label.

        After Alain and Bengio 2016 (arXiv:1610.01644), on standardised channels, with a penalty on
        the squared weights; of `PENALTIES` the one is taken whose loss on `held` is lowest.
        """
        deviation, mean = torch.std_mean(train.pooled, 0)
        deviation = deviation.clamp(min=1e-6)
        train, held = (
            one._replace(pooled=(one.pooled - mean) / deviation) for one in (train, held)
        )
        lowest = torch.inf
        for penalty in PENALTIES:
            weight, bias = logistic_regression(train, penalty)
            loss = float(known_loss(nn.functional.linear(held.pooled, weight, bias), held.labels))
            if loss < lowest:
                lowest, scaled = loss, weight / deviation
                self.load(scaled, bias - scaled @ mean)

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
        maps = average_maps(features, self.weight.dtype)
        logits = nn.functional.linear(maps, self.weight, self.bias)
        return mean_of_views(logits, view_mask)

    def forward(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """1.0 where a label is seen in a study, else 0.0; [B, K]."""
        return (self.logits(features, view_mask) > self.thresholds).to(self.weight.dtype)


class Labelled(NamedTuple):
    """M studies to learn labels from.

    Args:
        pooled: [M, C], maps averaged over locations and views.
        labels: [M, K], 1 present, 0 absent, NaN unknown.
    """

    pooled: Tensor
    labels: Tensor


def average_maps(features: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Maps [B, 2, C, h, w] averaged over their locations: [B, 2, C]."""
    return features.flatten(3).to(dtype).mean(3)


def mean_of_views(of_views: Tensor, view_mask: Tensor) -> Tensor:
    """Mean of [B, 2, N] over the views that bool `view_mask` [B, 2] says are there; 0 for none."""
    present = view_mask.unsqueeze(-1)
    return of_views.masked_fill(~present, 0.0).sum(1) / present.sum(1).clamp(min=1)


def known_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over labels [M, K], of each the mean over studies that know it."""
    known = ~labels.isnan()
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits, labels.nan_to_num(), reduction="none"
    )
    return (losses.masked_fill(~known, 0.0).sum(0) / known.sum(0).clamp(min=1)).sum()


def logistic_regression(train: Labelled, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight [K, C] and bias [K] of lowest loss, `penalty` / 2 times the squared weights added."""
    channels, labels = train.pooled.shape[1], train.labels.shape[1]
    weight = train.pooled.new_zeros(labels, channels, requires_grad=True)
    bias = train.pooled.new_zeros(labels, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        found = known_loss(nn.functional.linear(train.pooled, weight, bias), train.labels)
        found = found + penalty / 2 * weight.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    with torch.enable_grad():
        search.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


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
