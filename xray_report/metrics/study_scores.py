"""Corpus scores as functions of per-study rows, so that any subset or resample is a mean away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray_report.errors import DataError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def check_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Raise `DataError` unless both are lists of texts of one length."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise DataError("hypotheses and references must be lists of texts, got a single text")
    if len(hypotheses) != len(references):
        raise DataError(
            f"{len(hypotheses)} hypotheses but {len(references)} references: "
            "give exactly one hypothesis for each reference, in the same order"
        )


def _identity(means: Floats) -> Floats:
    return means


@dataclass(frozen=True)
class StudyScores:
    """Scores of one family, such as those of one protocol, for N studies.

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

    def corpus(self, subset: Sequence[int] | Indices | None = None) -> dict[str, float]:
        """Scores of all studies, or of those at the indices `subset`; 0 where there are none."""
        rows = self.rows if subset is None else self.rows[np.asarray(subset, dtype=np.int64)]
        if len(rows) == 0:
            return dict.fromkeys(self.keys, 0.0)
        values = self.combine(rows.mean(axis=0))
        return dict(zip(self.keys, values.tolist(), strict=True))

    def resampled(self, weights: Floats) -> Floats:
        """Scores [R, M] of R resamples; weights [R, N] sum to 1 in each row."""
        return self.combine(weights @ self.rows)


# Bootstrap intervals over studies (Efron 1979; for BLEU: Koehn 2004), by matrix products. Because
# every corpus score is a function of the means of per-study rows, one resample is one row of
# weights, and a thousand of them are one product.

RESAMPLES = 1000
BOOTSTRAP_SEED = 20
CONFIDENCE = 0.95


@lru_cache(maxsize=1)
def resampling_weights(
    studies: int, resamples: int = RESAMPLES, seed: int = BOOTSTRAP_SEED
) -> Floats:
    """Weights [resamples, studies] of as many draws with replacement; each row sums to 1.

    Remembered for the next score of as many studies; read-only.
    """
    generator = np.random.default_rng(seed)
    draws = generator.integers(studies, size=(resamples, studies))
    offsets = np.arange(resamples)[:, None] * studies
    counts = np.bincount((draws + offsets).ravel(), minlength=resamples * studies)
    weights = counts.reshape(resamples, studies) / studies
    weights.flags.writeable = False
    return weights


def intervals(
    families: Sequence[StudyScores], resamples: int = RESAMPLES, seed: int = BOOTSTRAP_SEED
) -> dict[str, float]:
    """95 % percentile intervals of every score, as `<key>_low` and `<key>_high`.

    All families share the same resamples and must hold the same studies in the same order; the
    order itself matters only through the resampling, so sort the studies by id for exact repeats.

    Raises:
        DataError: families of different numbers of studies.
    """
    studies = {len(family.rows) for family in families}
    if len(studies) > 1:
        raise DataError(f"scores of different numbers of studies: {sorted(studies)}")
    if not studies or studies == {0}:
        return {}
    weights = resampling_weights(studies.pop(), resamples, seed)
    found: dict[str, float] = {}
    for family in families:
        point = np.array(list(family.corpus().values()))
        low, high = _bounds(family.resampled(weights), point)
        for index, key in enumerate(family.keys):
            found[f"{key}_low"], found[f"{key}_high"] = float(low[index]), float(high[index])
    return found


def _bounds(samples: Floats, point: Floats) -> tuple[Floats, Floats]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    # A percentile interval of a biased statistic can miss the point value; ours never does.
    return np.minimum(low, point), np.maximum(high, point)


class Difference(NamedTuple):
    """One score of two systems on the same studies.

    Args:
        first, second: the corpus scores.
        difference: second - first, with its 95 % interval low..high.
        p_value: two-sided, 2 * the smaller share of resamples on one side of zero, with one
            resample added to either side (never 0).
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired_differences(
    first: StudyScores, second: StudyScores, resamples: int = RESAMPLES, seed: int = BOOTSTRAP_SEED
) -> dict[str, Difference]:
    """Paired bootstrap of two systems: both are resampled with the same studies.

    Raises:
        DataError: other keys, another number of studies, or none.
    """
    if first.keys != second.keys or first.rows.shape != second.rows.shape or not len(first.rows):
        raise DataError(
            "a paired comparison needs the same scores of the same studies on each side"
        )
    weights = resampling_weights(len(first.rows), resamples, seed)
    samples = second.resampled(weights) - first.resampled(weights)
    before, after = first.corpus(), second.corpus()
    point = np.array([after[key] - before[key] for key in first.keys])
    low, high = _bounds(samples, point)
    side = np.minimum((samples <= 0).sum(axis=0), (samples >= 0).sum(axis=0))
    p_values = np.minimum(1.0, 2 * (side + 1) / (resamples + 1))
    columns = zip(before.values(), after.values(), point, low, high, p_values, strict=True)
    rows = [Difference(*(float(value) for value in column)) for column in columns]
    return dict(zip(first.keys, rows, strict=True))
