"""Sampling: words drawn from the model's distribution, sharpened or cut where asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xray_report.errors import OptionError
from xray_report.inference.lengths import LengthPenalty
from xray_report.inference.noise import feature_keys, study_keys, uniform
from xray_report.inference.options import SearchOptions
from xray_report.inference.protocol import Hypothesis, StepModel
from xray_report.inference.rollout import roll_out
from xray_report.options import check_count, check_number


@dataclass(frozen=True, kw_only=True)
class SampleSearch(SearchOptions):
    """`n_samples` reports a study, drawn word by word, the one of the best mean first.

    The draws hang on `seed`, the study and the step alone, not on the batch: the study is known by
    its id where ids are given, else by the exact values of its features (so equal features draw
    equal reports). Global random state is neither read nor moved.

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
            model,
            features,
            view_mask,
            self,
            choose,
            places=self.n_samples,
            penalty=LengthPenalty(),
        )

    def _draw(self, candidates: Tensor, draws: Tensor) -> Tensor:
        """Words [N] of candidates [N, V] where the cumulative distribution passes draws [N]."""
        probabilities = (candidates.double() / self.temperature).softmax(1)
        words = None
        if self.top_k or self.top_p < 1:
            kept = min(self.top_k or candidates.shape[1], candidates.shape[1])
            probabilities, words = probabilities.topk(kept, dim=1)
            probabilities = probabilities / probabilities.sum(1, keepdim=True)
            before = probabilities.cumsum(1) - probabilities
            probabilities = probabilities.masked_fill(before >= self.top_p, 0.0)
        mass = probabilities.cumsum(1)
        target = draws.unsqueeze(1) * mass[:, -1:]
        index = torch.searchsorted(mass, target, right=True).clamp(max=mass.shape[1] - 1)
        return (index if words is None else words.gather(1, index)).squeeze(1)
