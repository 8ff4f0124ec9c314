"""Benchmark: how long until something happens, whole processes as a user starts them.

Wall time from the start of the interpreter to its end, the median of a few runs after one that
fills the caches (of the disk, of features and of torch.compile).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPEATS = 3


def seconds(*command: str, folder: str | Path = ROOT) -> float:
    """Median wall time of a command after one run to warm the disk's cache."""
    times = []
    for _ in range(1 + REPEATS):
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env=dict(os.environ))
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[REPEATS // 2]


def run() -> dict[str, float]:
    """Seconds of `--help` of the commands, and to the end of one training step, cache warm."""
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        one_step = (
            python, str(ROOT / "train.py"), "trainer.fast_dev_run=true", "data.train=64",
            "data.val=32", "data.test=1", f"paths.runs_dir={folder}/runs",
            f"paths.cache_dir={folder}/cache",
        )  # fmt: skip
        return {
            "train.py --help, s": seconds(python, "train.py", "--help"),
            "evaluate.py --help, s": seconds(python, "evaluate.py", "--help"),
            "xray-report --help, s": seconds(python, "-m", "xray_report", "--help"),
            "first training step with a warm cache, s": seconds(*one_step, folder=ROOT),
        }
