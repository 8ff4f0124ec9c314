"""Benchmark: training speed of the attention model by the length of reports.

It trains as it does by default (see `training`) on reports of each length in turns; the best turn
counts. Cost grows linearly with length if a line fits the seconds of a step.
"""

from __future__ import annotations

import json
from functools import partial

import numpy as np

from tests.benchmarks.training import case, ours, seconds, training_step
from tests.benchmarks.training_bound import Sizes, bound, peaks

LENGTHS = (20, 40, 60, 80, 100, 120)


def run(repeats: int = 4) -> dict[str, dict[str, float]]:
    """Words/s by length, the line through a step's seconds, and how much words/s grow.

    A batch's maps are read once whatever its length, so words/s grow with it even where all
    arithmetic runs at the machine's peak: the last number says by how much.
    """
    before = peaks()
    found = tokens_by_length(repeats)
    rates = {name: max(rate, before[name]) for name, rate in peaks().items()}
    least = [sum(bound(Sizes(words=words), rates).values()) / words for words in LENGTHS]
    growth = {
        "ours_last_over_first": found[f"{LENGTHS[-1]} words"] / found[f"{LENGTHS[0]} words"],
        "bound_last_over_first": least[0] / least[-1],
    }
    return {"words/s": found, "a line through seconds": line_through(found), "growth": growth}


def tokens_by_length(repeats: int) -> dict[str, float]:
    """Ours on reports of each of `LENGTHS`, in turns."""
    cases = {f"{words} words": case(Sizes(words=words)) for words in LENGTHS}
    steps = {
        name: training_step(one.model.parameters(), partial(ours, one))
        for name, one in cases.items()
    }
    best = seconds(steps, repeats)
    return {name: cases[name].tokens[:, 1:].numel() / taken for name, taken in best.items()}


def line_through(by_length: dict[str, float]) -> dict[str, float]:
    """Least squares line through the seconds of a step by length: cost is linear if it fits.

    Its start is what a batch costs whatever its length: reading the maps of its studies.
    """
    rates = np.array(list(by_length.values()))
    seconds = Sizes().batch * np.array(LENGTHS) / rates
    slope, start = np.polyfit(LENGTHS, seconds, 1)
    off = np.abs(start + slope * np.array(LENGTHS) - seconds) / seconds
    return {
        "fixed_ms_per_step": 1e3 * float(start),
        "us_per_token_beyond": 1e6 * float(slope) / Sizes().batch,
        "worst_distance_from_line": float(off.max()),
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
