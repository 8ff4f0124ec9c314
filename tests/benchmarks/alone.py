"""One benchmark in a process of its own."""

from __future__ import annotations

import importlib
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def measure(name: str, **options: Any) -> dict[str, Any]:
    """Numbers of one benchmark, `run(**options)`, with the peak memory of this process."""
    found = importlib.import_module(f"tests.benchmarks.{name}").run(**options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**found, "peak memory, MiB": round(peak)}


def measure_alone(name: str, **options: Any) -> dict[str, Any]:
    """The same from a fresh process; unlike a Pool, this one raises if its process dies.

    `measure` must not stand in `__main__`, which a spawned process does not import under -m.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, name, **options).result()
