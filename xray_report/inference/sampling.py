"""Sampling: words drawn from the model's distribution, sharpened or cut where asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xray_report.errors import OptionError
from xray_report.inference.greedy import roll_out
from xray_report.inference.search import Hypothesis, LengthPenalty, SearchOptions
from xray_report.models.decoders.protocol import StepModel
from xray_report.options import check_count, check_number


@dataclass(frozen=True, kw_only=True)
class SampleSearch(SearchOptions):
    """`n_samples` reports a study, drawn word by word, the one of the best mean first.

    The draws depend on `seed`, the study and the step alone, not on the batch: a study is known
    by its id where ids are given, else by the exact values of its features (so equal features
    draw equal reports). Global random state is neither read nor moved.

    Args:
        temperature: log-probabilities are divided by it; below 1 the likely grow likelier.
        top_k: only the k likeliest words are drawn; 0 allows all.
        top_p: only the likeliest words that together reach this probability are drawn (nucleus,
            Holtzman et al. 2020, section 3.1); 1 allows all. At least one word is kept.
        n_samples: reports a study, all returned; equal ones may be among them.
        seed: another seed, other reports.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    n_samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("temperature", self.temperature, above=0.0)
        check_count("top_k", self.top_k, least=0)
        check_number("top_p", self.top_p, above=0.0, most=1.0)
        check_count("n_samples", self.n_samples)
        check_count("seed", self.seed, least=0)
        if self.seed >= 1 << 63:
            raise OptionError(f"seed must be below 2 ** 63, got {self.seed}")

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return n_samples hypotheses for each of the B studies; arguments as in `Search`."""
        if study_ids is None:
            keys = feature_keys(features, view_mask)
        else:
            keys = study_keys(study_ids, features.device)

        def choose(candidates: Tensor, step: int, studies: Tensor) -> Tensor:
            draws = uniform(keys[studies], self.seed, step, self.n_samples)
            return self._draw(candidates, draws.flatten())

        return roll_out(
            model, features, view_mask, self, choose, places=self.n_samples, penalty=LengthPenalty()
        )

    def _draw(self, candidates: Tensor, draws: Tensor) -> Tensor:
        """Words [N] of candidates [N, V] where the cumulative distribution passes draws [N]."""
        probabilities = (candidates / self.temperature).softmax(1)
        words = None
        if self.top_k or self.top_p < 1:
            kept = min(self.top_k or candidates.shape[1], candidates.shape[1])
            probabilities, words = probabilities.topk(kept, dim=1)
            probabilities = probabilities / probabilities.sum(1, keepdim=True)
            before = probabilities.cumsum(1) - probabilities
            probabilities = probabilities.masked_fill(before >= self.top_p, 0.0)
        mass = probabilities.cumsum(1)
        # A draw has so few bits that the target rounds to less than the whole mass.
        target = draws.unsqueeze(1) * mass[:, -1:]
        index = torch.searchsorted(mass, target, right=True).clamp(max=mass.shape[1] - 1)
        return (index if words is None else words.gather(1, index)).squeeze(1)


# Random numbers by counter: a study draws the same ones in whatever batch it stands.
#
# A generator's stream would tie a study's numbers to its place in the batch. Here a number is a
# hash of what it is for: the seed, the study, the sample and the step.


def study_keys(study_ids: Sequence[str], device: torch.device) -> Tensor:
    """int64 [B], one key for each name."""
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in study_ids]
    keys = [int.from_bytes(digest, "little", signed=True) for digest in digests]
    return torch.tensor(keys, dtype=torch.long, device=device)


def feature_keys(features: Tensor, view_mask: Tensor) -> Tensor:
    """int64 [B], keys of the features [B, 2, C, h, w] of the views that are present.

    Sums of the values' bits: exact, so neither the order of summation nor the batch matters.
    """
    bits = (features.float() + 0.0).contiguous().view(torch.int32)
    channels = bits.sum((-2, -1)).masked_fill(~view_mask.unsqueeze(-1), 0).flatten(1)
    place = torch.arange(channels.shape[1], device=features.device)
    return mix((channels * mix(place)).sum(1))


BITS = 23
"""Of a random number: one less than a float32 holds, and the same on every device."""


def uniform(keys: Tensor, seed: int, step: int, places: int) -> Tensor:
    """Numbers in [0, 1), float32 [B, places], for each of the keys [B] at this step."""
    place = torch.arange(places, device=keys.device)
    # Filled on the device: a tensor made from the number would make the host wait for a copy.
    start = mix(keys ^ mix(torch.full_like(keys, seed)))
    mixed = mix(mix(start.unsqueeze(1) + place) + step)
    return _shift(mixed, 64 - BITS).float() * 2.0**-BITS


def mix(values: Tensor) -> Tensor:
    """int64 values scrambled; the finaliser of SplitMix64 (Steele et al. 2014)."""
    values = values + _signed(0x9E3779B97F4A7C15)
    values = (values ^ _shift(values, 30)) * _signed(0xBF58476D1CE4E5B9)
    values = (values ^ _shift(values, 27)) * _signed(0x94D049BB133111EB)
    return values ^ _shift(values, 31)


def _shift(values: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: torch's keeps the sign."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
