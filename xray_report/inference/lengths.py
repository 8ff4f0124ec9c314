"""Length penalties: what a sum of log-probabilities is worth at a length."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xray_report.errors import OptionError
from xray_report.options import check_number

KINDS = ("normalised", "gnmt")
STRONGEST = 10.0
"""Largest exponent of either sign: with more, float32 cannot hold the divisor of a long report."""


@dataclass(frozen=True)
class LengthPenalty:
    """score = log_prob / divisor; length counts the words, and the end token where finished.

    Args:
        alpha: 0 ranks by log_prob, 1 (normalised) by the mean of a word; above 0 favours long
            reports, below 0 short ones; -10 to 10.
        kind: "normalised", divisor = length ** alpha; "gnmt", divisor =
            ((5 + length) / 6) ** alpha (Wu et al. 2016, equation 14).
    """

    alpha: float = 1.0
    kind: str = "normalised"

    def __post_init__(self) -> None:
        check_number("length_penalty", self.alpha, least=-STRONGEST, most=STRONGEST)
        if self.kind not in KINDS:
            raise OptionError(
                f"length_penalty_kind must be one of {', '.join(KINDS)}, got {self.kind}"
            )

    def score(self, sums: Tensor, length: Tensor | int) -> Tensor:
        """Scores of summed log-probabilities at `length` (at least 1; one, or one for each)."""
        base = length if self.kind == "normalised" else (5.0 + length) / 6.0
        return torch.as_tensor(sums / base ** float(self.alpha))

    def best_possible(self, sums: Tensor, length: int, max_length: int) -> Tensor:
        """Upper bound of the scores that open hypotheses of `length` tokens can still reach.

        A sum can only fall from here, so the bound keeps it and takes the best length left. The
        divisor is monotone in the length, hence the best is the next length or the last.
        """
        following = min(length + 1, max_length)
        return torch.maximum(self.score(sums, following), self.score(sums, max_length))
