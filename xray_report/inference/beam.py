"""Beam search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from xray_report.errors import OptionError
from xray_report.inference.beam_loop import search_beams
from xray_report.inference.lengths import LengthPenalty
from xray_report.inference.options import SearchOptions
from xray_report.inference.protocol import Hypothesis, StepModel
from xray_report.options import check_count


@dataclass(frozen=True, kw_only=True)
class BeamSearch(SearchOptions):
    """The `beam_width` best prefixes of each study are carried on at every step.

    A hypothesis that ends keeps its place in the beam (Sutskever et al. 2014, section 3.2), so a
    width of 1 is greedy search. A study stops once `n_best` reports have ended and no open one
    can reach a better score than theirs, whatever words followed.

    Args:
        beam_width: hypotheses a study.
        n_best: how many of them to return, at most beam_width.
        length_penalty: exponent of the length by which scores are divided, see `LengthPenalty`.
        length_penalty_kind: "normalised" or "gnmt".
    """

    beam_width: int = 5
    n_best: int = 1
    length_penalty: float = 1.0
    length_penalty_kind: str = "normalised"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("beam_width", self.beam_width)
        check_count("n_best", self.n_best)
        if self.n_best > self.beam_width:
            raise OptionError(
                f"n_best must be at most beam_width ({self.beam_width}), got {self.n_best}"
            )
        LengthPenalty(self.length_penalty, self.length_penalty_kind)

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return the n_best hypotheses of each of the B studies; arguments as in `Search`."""
        penalty = LengthPenalty(self.length_penalty, self.length_penalty_kind)
        return search_beams(
            model, features, view_mask, self, penalty, width=self.beam_width, n_best=self.n_best
        )
