"""`python -m tests.trials [NAME ...] [--count N] [--seed S] [--first I]`: what must never happen.

Each trial puts the project through many cases, drawn at random from a seed: none of them may end
in a traceback, a hang, half a file, a lost file, a wrong value or in someone else's code. What is
tried, and what counts as a fault, stands in the docstring of the module of that name. A fault is
printed with its case; `NAME --seed S --first CASE --count 1` runs that one alone. Exits with 1 if
there was any.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.trials.processes import load_libraries

CASES = {
    "kills": 6, "cache": 12, "disk": 8, "readers": 3000, "overrides": 100, "bombs": 37,
    "strangers": 60, "configs": 60,
}  # fmt: skip
"""The trials, and how many cases each has where none is asked for: some minutes on two cores."""
EVERY = 10.0
"""Seconds between two lines of progress."""


def run(name: str, numbers: range, seed: int, folder: Path) -> int:
    """Run cases of one trial, say what became of them, and return how many had a fault."""
    trial = importlib.import_module(f"tests.trials.{name}")
    done, faults, counts = 0, 0, Counter[str]()
    start = said = time.monotonic()
    for number, outcome in zip(numbers, trial.cases(numbers, seed, folder), strict=True):
        done += 1
        counts.update(outcome.kinds)
        if outcome.fault:
            faults += 1
            print(f"{name}, seed {seed}, case {number}: {outcome.fault}", flush=True)
        if time.monotonic() - said > EVERY:
            said = time.monotonic()
            print(f"{name}: {done} of {len(numbers)} cases, {faults} with a fault", flush=True)
    found = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    seconds = time.monotonic() - start
    print(f"{name}: {done} cases in {seconds:.0f} s, {faults} with a fault: {found}", flush=True)
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*CASES, []], help="all if left out")
    parser.add_argument("--count", type=int, help="how many cases of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    given = parser.parse_args()
    load_libraries()
    faults = 0
    for name in given.names or CASES:
        numbers = range(given.first, given.first + (given.count or CASES[name]))
        with tempfile.TemporaryDirectory(prefix=f"trial-{name}-") as folder:
            faults += run(name, numbers, given.seed, Path(folder).resolve())
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
