"""Label guidance: what a classifier sees in the images, given to any decoder.

A decoder that is trained on likelihood writes the likeliest report, which is a normal one, and
names few findings. Two ways to help it, in this order; decoders, searches and ensembles need not
know of either:

- Told: verdicts on whole studies join the maps, each as one more channel that is the same at all
  locations. While training a verdict is what the study's own report says, so that the decoder
  learns to write what it is told; afterwards it is the classifier's, at a threshold that was chosen
  on validation studies. After Jin et al. 2024, "PromptMRG: Diagnosis-Driven Prompts for Medical
  Report Generation" (arXiv:2308.12604), where the labels are tokens before the report's first.
- Shown: where each finding is seen, one channel a finding, in place of the maps. Of an encoder's
  hundreds of channels a decoder knows a small collection by heart before it knows its findings.
  What none of the findings names is lost to it: a concept bottleneck (Koh et al. 2020,
  arXiv:2007.04612).

Shapes: B studies, C channels of the maps of h by w, L = h * w, K labels or findings.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from xray_report.models.decoders.protocol import Decoder, DecoderState, TeacherForced
from xray_report.models.maps import MapShape


class OuterDecoder(Decoder):
    """A decoder around another, which reads other maps than the encoder's. A `Classifier`.

    Args:
        decoder: the one within, built for what it reads.
        maps: shape of a view's map as the encoder makes it.
        labels: names of the K labels or findings that are seen in the maps.
    """

    def __init__(self, decoder: Decoder, maps: MapShape, labels: Sequence[str]) -> None:
        super().__init__(decoder.special, decoder.embedding, maps)
        self.decoder, self.seen, self.labels = decoder, decoder.seen, tuple(labels)

    @abstractmethod
    def read(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """Maps for the decoder within, of maps [B, 2, C, h, w] under bool `view_mask` [B, 2]."""

    @abstractmethod
    def classify(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """Which labels are seen in whole studies, bool [B, K]; arguments as of `read`."""

    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        """Read int64 `tokens` [B, T] in one pass."""
        return self.decoder.teacher_forced(self.read(features, view_mask), view_mask, tokens)

    def forward(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> Tensor:
        """Logits [B, T-1, V]."""
        logits: Tensor = self.decoder(self.read(features, view_mask), view_mask, tokens)
        return logits

    def feature_parameters(self) -> Iterator[nn.Parameter]:
        """Those of the decoder within."""
        return self.decoder.feature_parameters()

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word."""
        return self.decoder.initial_state(self.read(features, view_mask), view_mask)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """A step of the decoder within."""
        return self.decoder.step(tokens, state)


# Told.

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
            loss = float(known_loss(F.linear(held.pooled, weight, bias), held.labels))
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
        logits = F.linear(maps, self.weight, self.bias)
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
    losses = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return (losses.masked_fill(~known, 0.0).sum(0) / known.sum(0).clamp(min=1)).sum()


def logistic_regression(train: Labelled, penalty: float) -> tuple[Tensor, Tensor]:
    """Weight [K, C] and bias [K] of lowest loss, `penalty` / 2 times the squared weights added."""
    channels, labels = train.pooled.shape[1], train.labels.shape[1]
    weight = train.pooled.new_zeros(labels, channels, requires_grad=True)
    bias = train.pooled.new_zeros(labels, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        found = known_loss(F.linear(train.pooled, weight, bias), train.labels)
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


class GuidedDecoder(OuterDecoder):
    """A decoder that reads verdicts on labels beside the maps.

    Args:
        decoder: built for maps of `told_shape(maps, K)`.
        maps: shape of a view's map as the encoder makes it.
        labels: names of the K labels.
    """

    def __init__(self, decoder: Decoder, maps: MapShape, labels: Sequence[str]) -> None:
        super().__init__(decoder, maps, labels)
        self.verdicts = Verdicts(maps.channels, len(self.labels))

    def read(self, features: Tensor, view_mask: Tensor, labels: Tensor | None = None) -> Tensor:
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

    def classify(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """Labels that it is told of studies: those above their thresholds, bool [B, K]."""
        told: Tensor = self.verdicts(features, view_mask)
        return told > 0

    def teacher_forced(
        self, features: Tensor, view_mask: Tensor, tokens: Tensor, labels: Tensor | None = None
    ) -> TeacherForced:
        """Read int64 `tokens` [B, T] in one pass, of studies with `labels` as of `read`."""
        return self.decoder.teacher_forced(
            self.read(features, view_mask, labels), view_mask, tokens
        )

    def forward(
        self, features: Tensor, view_mask: Tensor, tokens: Tensor, labels: Tensor | None = None
    ) -> Tensor:
        """Logits [B, T-1, V]; arguments as of `teacher_forced`."""
        logits: Tensor = self.decoder(self.read(features, view_mask, labels), view_mask, tokens)
        return logits


# Shown.

STEPS, STUDIES_A_STEP = 1500, 16
RATE, WEIGHT_DECAY, DROPOUT = 4e-3, 0.1, 0.3
"""How a detector is learnt: AdamW's options, and the share of channels dropped.

Chosen on the phantom's validation studies: three times the decay or half of the channels dropped
change its F1 there, .97, by less than .01.
"""
RARE = -8.0
"""Of a location's logit at first: of a hundred locations none shows anything."""
LOWEST = -1e4
"""Logit where there is no film."""


class LabelledMaps(NamedTuple):
    """M studies to learn a detector from.

    Args:
        features: float [M, 2, C, h, w], the encoder's maps, zero in missing views.
        view_mask: bool [M, 2].
        labels: float [M, K], 1 present, 0 absent.
    """

    features: Tensor
    view_mask: Tensor
    labels: Tensor


class Detector(nn.Module):
    """K linear classifiers of a location. Training the decoder does not change them.

    They are learnt from labels of whole studies (multiple instance learning): a study has a finding
    if one of its locations shows it, and the maximum is softened to the logarithm of a sum of
    exponentials, as by Pinheiro and Collobert 2015, "From Image-level to Pixel-level Labeling with
    Convolutional Networks" (arXiv:1411.6228), section 3.2, where it is of their mean.

    Args:
        channels: C.
        findings: K.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, findings: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(findings, channels))
        self.register_buffer("bias", torch.full((findings,), RARE))

    @property
    def known(self) -> bool:
        """Whether it has learnt by now."""
        return bool(self.weight.any())

    def forward(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """Probability [B, 2, K, h, w] of each finding at each location, 0 in missing views.

        Args:
            features: [B, 2, C, h, w] of any floating type.
            view_mask: bool [B, 2].
        """
        rows = features.flatten(3).to(self.weight.dtype).transpose(2, 3)
        seen = F.linear(rows, self.weight, self.bias).sigmoid()
        seen = seen.masked_fill(~view_mask[..., None, None], 0.0)
        return seen.transpose(2, 3).reshape(*view_mask.shape, len(self.bias), *features.shape[3:])

    def logits(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """Of findings in whole studies, [B, K]; arguments as of `forward`."""
        rows = features.flatten(3).to(self.weight.dtype).transpose(2, 3)
        return study_logits(rows, view_mask, self.weight, self.bias)

    def learn(self, train: LabelledMaps, seed: int = 0) -> None:
        """Learn from `train`, on the processor: the same on whatever the decoder is trained on."""
        rows, mask = train.features.flatten(3).transpose(2, 3), train.view_mask
        labels = train.labels
        mean, deviation = _channels(rows, mask)
        random = torch.Generator().manual_seed(seed)
        weight = torch.zeros_like(self.weight, device="cpu", requires_grad=True)
        bias = torch.full_like(self.bias, RARE, device="cpu", requires_grad=True)
        groups: list[dict[str, Any]] = [
            {"params": [weight]},
            {"params": [bias], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=RATE, weight_decay=WEIGHT_DECAY)
        schedule = OneCycleLR(optimizer, RATE, total_steps=STEPS)
        order: list[Tensor] = []
        with torch.enable_grad():
            for _ in range(STEPS):
                if not order:
                    shuffled = torch.randperm(len(labels), generator=random)
                    order = list(torch.split(shuffled, STUDIES_A_STEP))
                some = order.pop()
                read = (rows[some].float() - mean) / deviation
                kept = torch.rand(len(some), 1, 1, len(mean), generator=random) >= DROPOUT
                logits = study_logits(read * kept / (1 - DROPOUT), mask[some], weight, bias)
                loss = F.binary_cross_entropy_with_logits(logits, labels[some], reduction="sum")
                optimizer.zero_grad()
                (loss / len(some)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        scaled = weight.detach() / deviation
        self.weight.copy_(scaled)
        self.bias.copy_(bias.detach() - scaled @ mean)


def study_logits(rows: Tensor, view_mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Logits [B, K] of whole studies from rows [B, 2, L, C] of their locations."""
    logits = F.linear(rows, weight, bias).masked_fill(~view_mask[..., None, None], LOWEST)
    return logits.flatten(1, 2).logsumexp(1)


def _channels(rows: Tensor, view_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [C] of the channels, part by part: rows may be large, and of float16."""
    total = rows.new_zeros(rows.shape[-1], dtype=torch.float64)
    squares = torch.zeros_like(total)
    parts = (torch.split(one, 64) for one in (rows, view_mask))
    for some, present in zip(*parts, strict=True):
        found = some[present].double()
        total += found.sum((0, 1))
        squares += found.square().sum((0, 1))
    mean = total / max(1, int(view_mask.sum()) * rows.shape[2])
    variance = squares / max(1, int(view_mask.sum()) * rows.shape[2]) - mean.square()
    return mean.float(), variance.clamp(min=1e-8).sqrt().float()


def shown_shape(maps: MapShape, findings: int) -> MapShape:
    """Shape of a view's map of the evidence of K `findings`."""
    return maps._replace(channels=findings)


class EvidenceDecoder(OuterDecoder):
    """A decoder that reads where findings are seen, and nothing else of the films.

    Args:
        decoder: built for maps of `shown_shape(maps, K)`.
        maps: shape of a view's map as the encoder makes it.
        findings: names of the K findings.
    """

    def __init__(self, decoder: Decoder, maps: MapShape, findings: Sequence[str]) -> None:
        super().__init__(decoder, maps, findings)
        self.detector = Detector(maps.channels, len(self.labels))

    def read(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """Evidence [B, 2, K, h, w] in maps [B, 2, C, h, w] under bool `view_mask` [B, 2]."""
        with torch.no_grad():
            evidence: Tensor = self.detector(features, view_mask)
        return evidence

    def classify(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """Findings likelier there than not, somewhere in the study, bool [B, K]."""
        return self.detector.logits(features, view_mask) > 0
