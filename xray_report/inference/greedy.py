"""Greedy search: the likeliest word at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from xray_report.inference.lengths import LengthPenalty
from xray_report.inference.options import SearchOptions
from xray_report.inference.protocol import Hypothesis, StepModel
from xray_report.inference.rollout import roll_out


@dataclass(frozen=True, kw_only=True)
class GreedySearch(SearchOptions):
    """One report a study, each word the likeliest; its score is the mean log-probability."""

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return one hypothesis for each of the B studies; arguments as in `Search`."""
        return roll_out(
            model, features, view_mask, self, _likeliest, places=1, penalty=LengthPenalty()
        )


def _likeliest(candidates: Tensor, step: int, studies: Tensor) -> Tensor:
    return candidates.argmax(1)
