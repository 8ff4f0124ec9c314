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
    shared = set(runs[0]).intersection(*runs[1:])
    keys = sorted(key for key in shared if not key.endswith(("_low", "_high")))
    if not keys:
        raise DataError("the runs have no metric in common")
    values = np.array([[run[key] for key in keys] for run in runs], dtype=np.float64)
    means, spreads = values.mean(axis=0), values.std(axis=0, ddof=1)
    found = {"runs": float(len(runs))}
    for key, mean, spread in zip(keys, means, spreads, strict=True):
        found[f"{key}/mean"], found[f"{key}/std"] = float(mean), float(spread)
    return found
