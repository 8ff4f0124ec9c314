"""Area under the ROC curve with its bootstrap interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray_report.metrics.study_scores import RESAMPLES

AT_ONCE = 2_000_000
"""Numbers of a part of the resamples: 16 MB an array, whatever the number of images."""


class Auroc(NamedTuple):
    """AUROC of one label, 0..1, with its 95 % interval; NaN where only one class occurs."""

    value: float
    low: float
    high: float
    positives: int
    images: int


def auroc(
    scores: NDArray[np.floating],
    truth: NDArray[np.floating],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Auroc:
    """AUROC of `scores` [N] for `truth` [N] (1, 0 or NaN unknown), resampled over images.

    The Mann-Whitney form (Hanley and McNeil 1982): the share of (positive, negative) pairs that
    are in order, ties counting half. Resamples without both classes are left out; with none the
    interval is NaN.
    """
    known = ~np.isnan(truth)
    positive = truth[known] == 1
    _, rank = np.unique(scores[known], return_inverse=True)
    counts = (int(positive.sum()), int(known.sum()))
    if counts[0] in (0, counts[1]):
        return Auroc(np.nan, np.nan, np.nan, *counts)
    value = float(_pairs_in_order(np.ones((1, counts[1]), int), rank, positive)[0])
    if not resamples:
        return Auroc(value, np.nan, np.nan, *counts)
    random = np.random.default_rng(seed)
    share, part = np.full(counts[1], 1 / counts[1]), max(1, AT_ONCE // counts[1])
    drawn = np.concatenate(
        [
            _pairs_in_order(
                random.multinomial(counts[1], share, size=min(part, resamples - start)),
                rank,
                positive,
            )
            for start in range(0, resamples, part)
        ]
    )
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Auroc(value, float(low), float(high), *counts)


def _pairs_in_order(
    weights: NDArray[np.integer], rank: NDArray[np.intp], positive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """AUROC [R] of images that count `weights` [R, N] times, with scores ranked `rank` [N]."""
    order = np.argsort(rank, kind="stable")
    first = np.flatnonzero(np.diff(rank[order], prepend=-1))  # of each rank
    weights, positive = weights[:, order], positive[order]
    negative = np.add.reduceat(weights * ~positive, first, axis=1)
    positives = np.add.reduceat(weights * positive, first, axis=1)
    below = negative.cumsum(axis=1) - negative / 2
    pairs = negative.sum(axis=1) * positives.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((positives * below).sum(axis=1) / pairs)
