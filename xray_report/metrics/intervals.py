"""Bootstrap over studies (Efron 1979; for BLEU: Koehn 2004), by matrix products.

Because every corpus score is a function of the means of per-study rows, one resample is one row
of weights, and a thousand of them are one product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from xray_report.errors import DataError
from xray_report.metrics.study_scores import Floats, StudyScores

RESAMPLES = 1000
SEED = 20
CONFIDENCE = 0.95


@lru_cache(maxsize=1)
def resampling_weights(studies: int, resamples: int = RESAMPLES, seed: int = SEED) -> Floats:
    """Weights [resamples, studies] of as many draws with replacement; each row sums to 1.

    Remembered for the next score of as many studies; not to be written to.
    """
    generator = np.random.default_rng(seed)
    draws = generator.integers(studies, size=(resamples, studies))
    offsets = np.arange(resamples)[:, None] * studies
    counts = np.bincount((draws + offsets).ravel(), minlength=resamples * studies)
    weights = counts.reshape(resamples, studies) / studies
    weights.flags.writeable = False
    return weights


def _bounds(samples: Floats, point: Floats) -> tuple[Floats, Floats]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    # A percentile interval of a biased statistic can miss the point value; ours never does.
    return np.minimum(low, point), np.maximum(high, point)


def intervals(
    families: Sequence[StudyScores], resamples: int = RESAMPLES, seed: int = SEED
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
    first: StudyScores, second: StudyScores, resamples: int = RESAMPLES, seed: int = SEED
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


# ------------------------------------------------------------------------------
# Several runs (seeds) of one experiment as mean and standard deviation.


def aggregate_runs(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """`<key>/mean` and `<key>/std` over runs, for keys that every run has, and `runs`.

    The standard deviation is the sample's (n - 1). Intervals within a run (`_low`, `_high`) are
    left out: they speak of studies, not of seeds.

    Raises:
        DataError: fewer than two runs, or no key in common.
    """
    if len(runs) < 2:
        raise DataError(f"a spread over runs needs at least two runs, got {len(runs)}")
    keys = sorted(_points(runs[0]).intersection(*runs[1:]))
    if not keys:
        raise DataError("the runs have no metric in common")
    values = np.array([[run[key] for key in keys] for run in runs], dtype=np.float64)
    means, spreads = values.mean(axis=0), values.std(axis=0, ddof=1)
    found = {"runs": float(len(runs))}
    for key, mean, spread in zip(keys, means, spreads, strict=True):
        found[f"{key}/mean"], found[f"{key}/std"] = float(mean), float(spread)
    return found


def unequal_runs(runs: Sequence[Mapping[str, float]]) -> list[str]:
    """What makes the runs poor repeats of one experiment, a line each."""
    found = []
    studies = sorted({run["studies"] for run in runs if "studies" in run})
    if len(studies) > 1:
        numbers = ", ".join(f"{number:g}" for number in studies)
        found.append(f"the runs hold different numbers of studies ({numbers})")
    points = list(map(_points, runs))
    partial = set[str]().union(*points) - points[0].intersection(*points)
    if partial:
        found.append(f"left out, not in every run: {len(partial)} metrics, such as {min(partial)}")
    return found


def _points(run: Mapping[str, float]) -> set[str]:
    return {key for key in run if not key.endswith(("_low", "_high"))}
