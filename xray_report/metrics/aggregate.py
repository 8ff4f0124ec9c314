"""Several runs (seeds) of one experiment as mean and standard deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xray_report.errors import DataError


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
