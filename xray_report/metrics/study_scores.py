"""Corpus scores as functions of per-study rows, so that any subset or resample is a mean away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xray_report.errors import DataError

Floats = NDArray[np.float64]


def _identity(means: Floats) -> Floats:
    return means


@dataclass(frozen=True)
class StudyScores:
    """Scores of one family for N studies.

    Args:
        keys: M names of corpus scores, such as `clean/bleu4`.
        rows: float64 [N, K] sufficient statistics, one row a study.
        combine: means of rows [..., K] -> corpus scores [..., M]. It must not depend on the
            number of studies, which is why means are enough.
        counts: whether the rows count what texts say, so that zeros alone have no score.
    """

    keys: tuple[str, ...]
    rows: Floats
    combine: Callable[[Floats], Floats] = _identity
    counts: bool = False

    def corpus(self, subset: Sequence[int] | NDArray[np.int64] | None = None) -> dict[str, float]:
        """Scores of all studies, or of the studies whose indices are given; 0 for none."""
        rows = self.rows if subset is None else self.rows[np.asarray(subset, dtype=np.int64)]
        if len(rows) == 0:
            return dict.fromkeys(self.keys, 0.0)
        values = self.combine(rows.mean(axis=0))
        return dict(zip(self.keys, values.tolist(), strict=True))

    def resampled(self, weights: Floats) -> Floats:
        """Scores [R, M] of R resamples; weights [R, N] sum to 1 in each row."""
        return self.combine(weights @ self.rows)


# ------------------------------------------------------------------------------
# The one thing every score asks of its input: as many hypotheses as references.


def check_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Raise `DataError` unless both lists have the same length and are not single strings."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise DataError("hypotheses and references must be lists of texts, got a single text")
    if len(hypotheses) != len(references):
        raise DataError(
            f"{len(hypotheses)} hypotheses but {len(references)} references: "
            "give exactly one hypothesis for each reference, in the same order"
        )
