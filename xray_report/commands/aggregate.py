"""`xray-report aggregate`: several runs (seeds) of one experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from xray_report.commands.shared import JsonOption
from xray_report.errors import DataError, OptionError


def aggregate(
    runs: Annotated[
        list[Path], typer.Argument(help="Result folders or metrics.json, two or more.")
    ],
    json: JsonOption = None,
) -> None:
    """Mean and standard deviation of every metric over several runs (seeds) of one experiment.

    Example: xray-report aggregate runs/evaluate/A runs/evaluate/B runs/evaluate/C
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xray_report.metrics.evaluation import is_overall
    from xray_report.metrics.files import METRICS_FILE, read_metrics, result_file, write_metrics

    files = [result_file(path, METRICS_FILE).resolve() for path in runs]
    for path, file in zip(runs, files, strict=True):
        if files.count(file) > 1:
            raise OptionError(f"{path} is given more than once; name different runs")
    metrics = [read_metrics(path) for path in runs]
    found = aggregate_runs(metrics)
    if json is not None:
        write_metrics(json, found)
    for line in unequal_runs(metrics):
        typer.echo(line, err=True)
    table = Table("", "mean", "standard deviation", title=f"{len(runs)} runs")
    for key in (key.removesuffix("/mean") for key in found if key.endswith("/mean")):
        if is_overall(key):
            table.add_row(escape(key), f"{found[f'{key}/mean']:.4f}", f"{found[f'{key}/std']:.4f}")
    Console().print(table)


def aggregate_runs(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """`<key>/mean` and `<key>/std` over runs, for keys that every run has, and `runs`.

    The standard deviation is the sample's (n - 1). Intervals within a run (`_low`, `_high`) are
    left out: they are about studies, not about seeds.

    Raises:
        DataError: fewer than two runs, or no key in common.
    """
    import numpy as np

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
