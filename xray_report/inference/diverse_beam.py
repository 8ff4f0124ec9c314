"""Diverse beam search (Vijayakumar et al. 2018, "Diverse beam search for improved description")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch
from xray_report.inference.beam_loop import search_beams
from xray_report.inference.lengths import LengthPenalty
from xray_report.inference.protocol import Hypothesis, StepModel
from xray_report.options import check_count, check_number


@dataclass(frozen=True, kw_only=True)
class DiverseBeamSearch(BeamSearch):
    """Beam search in groups, each kept away from the words the groups before it just chose.

    Hamming diversity: a group chooses by the log-probability less `diversity` for each time an
    earlier group wrote the word at the same step (algorithm 1 there). What it carries on, scores
    and returns is the log-probability itself.

    Args:
        groups: number of groups; beam_width is a multiple of it.
        diversity: strength of the penalty; 0 makes all groups the same.
    """

    beam_width: int = 6
    groups: int = 3
    diversity: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("groups", self.groups)
        check_number("diversity", self.diversity)
        if self.diversity < 0:
            raise OptionError(f"diversity must not be negative, got {self.diversity}")
        if self.beam_width % self.groups:
            raise OptionError(
                f"beam_width must be a multiple of groups ({self.groups}), got {self.beam_width}"
            )

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return the n_best hypotheses over all groups; arguments as in `Search`."""
        return search_beams(
            model,
            features,
            view_mask,
            self,
            LengthPenalty(self.length_penalty, self.length_penalty_kind),
            width=self.beam_width // self.groups,
            n_best=self.n_best,
            groups=self.groups,
            diversity=self.diversity,
        )
