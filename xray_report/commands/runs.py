"""`xray-report runs`: trainings beside each other, the best first; `aggregate`: over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from xray_report.commands.shared import JsonOption
from xray_report.errors import CheckpointError, DataError, OptionError


class Run(NamedTuple):
    """A training run, as its folder tells it.

    Args:
        folder: of the run.
        overrides: what was typed, such as `model=transformer`.
        monitor: the score that chooses its checkpoint.
        mode: `min` or `max`, which of it is better.
        score: of the best checkpoint on the validation studies; None where none is kept.
        epoch: of that checkpoint, the first being 1.
        checkpoint: the best one, or the last where no best is kept.
    """

    folder: Path
    overrides: tuple[str, ...]
    monitor: str
    mode: str
    score: float | None
    epoch: int | None
    checkpoint: Path | None


def runs(
    folder: Annotated[
        Path, typer.Argument(help="Folder of runs, or of one sweep, at any depth.")
    ] = Path("runs"),
    csv: Annotated[Path | None, typer.Option(help="Also write them to this file.")] = None,
) -> None:
    """List training runs with what was typed and the score that chose their checkpoint, best first.

    Example: xray-report runs runs/train --csv runs.csv
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: train first, or give the folder of runs")
    found = read_runs(folder)
    if not found:
        raise DataError(f"{folder} holds no training runs, whose folders have .hydra/config.yaml")
    if csv is not None:
        write_runs(csv, found)
    print_runs(folder, found)


def sweep_table(folder: Path) -> None:
    """What a sweep in `folder` ends with: its jobs, the best first, here and in runs.csv there."""
    if found := read_runs(folder):
        print_runs(folder, found)
        write_runs(folder / "runs.csv", found)
        typer.echo(f"written to {folder / 'runs.csv'}")


HEADLINES = ("clean/cider", "clean/bleu4", "findings/micro_f1", "facts/f1")
"""Scores that a sweep of evaluations shows; it is ordered by the first."""


def evaluation_table(folder: Path) -> None:
    """What a sweep of evaluations in `folder` ends with: its jobs, the best first.

    Printed, and written to evaluations.csv there with all scores of each. Those that failed have
    no scores, and are left to what was said of them.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xray_report.metrics.files import METRICS_FILE, read_metrics

    found = []
    for path in folder.rglob(METRICS_FILE):
        typed = _yaml(path.parent / ".hydra" / "overrides.yaml")
        overrides = [str(one) for one in typed] if isinstance(typed, list) else []
        found.append((path.parent, overrides, read_metrics(path)))
    if not found:
        return
    found.sort(key=lambda one: (-one[2].get(HEADLINES[0], float("-inf")), str(one[0])))
    common = typed_for_all([overrides for _, overrides, _ in found])
    shown = [name for name in HEADLINES if any(name in scores for _, _, scores in found)]
    title = f"{len(found)} evaluation{'s, best first' if len(found) > 1 else ''}"
    table = Table(title=title, title_justify="left", padding=(0, 1, 0, 0))
    for name in shown:
        table.add_column(name, no_wrap=True)
    table.add_column("job", overflow="fold")
    table.add_column("typed", overflow="fold", ratio=1)
    for job, overrides, scores in found:
        values = [f"{scores[name]:.3f}" if name in scores else "-" for name in shown]
        table.add_row(
            *values,
            escape(job.relative_to(folder).as_posix()),
            escape(" ".join(one for one in overrides if one not in common)),
        )
    Console().print(table)
    if common:
        typer.echo(f"typed for all of them: {' '.join(common)}")
    write_evaluations(folder / "evaluations.csv", found)
    typer.echo(f"written to {folder / 'evaluations.csv'}")


def write_evaluations(path: Path, found: list[tuple[Path, list[str], dict[str, float]]]) -> None:
    """Write a CSV of evaluations, in their order: job, overrides, and every score of any."""
    import csv

    from xray_report.files import replacing

    first = [name for name in HEADLINES if any(name in scores for _, _, scores in found)]
    others = sorted(set().union(*(scores for _, _, scores in found)) - set(first))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("job", "overrides", *first, *others))
        for job, overrides, scores in found:
            values = (scores.get(name, "") for name in (*first, *others))
            writer.writerow((job, " ".join(overrides), *values))


def read_runs(folder: Path) -> list[Run]:
    """The training runs below `folder`, the best of each score first, those without one last.

    A checkpoint that cannot be read is said, and its run listed without a score.
    """
    configs = sorted(folder.rglob(".hydra/config.yaml"))
    found = [run for path in configs if (run := _read_run(path.parents[1])) is not None]
    return sorted(found, key=_rank)


def _rank(run: Run) -> tuple[bool, str, float]:
    score = run.score or 0.0
    return run.score is None, run.monitor, -score if run.mode == "max" else score


def _read_run(folder: Path) -> Run | None:
    """The run of a folder; None if it is none of training."""
    from xray_report.inference.checkpoint import read_file

    config = _yaml(folder / ".hydra" / "config.yaml")
    if not isinstance(config, Mapping) or "trainer" not in config:
        return None
    typed = _yaml(folder / ".hydra" / "overrides.yaml")
    overrides = tuple(map(str, typed)) if isinstance(typed, list) else ()
    kept = [folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    path = next((one for one in kept if one.is_file()), None)
    model, score, epoch = config.get("model"), None, None
    if path is not None:
        try:
            saved = read_file(path)
        except CheckpointError as error:
            typer.echo(f"note: {error}", err=True)
        else:
            about = saved.get("hyper_parameters", {}).get("about", {})
            model = about.get("options", {}).get("model", model)  # resumed: the run's, not typed
            score, epoch = _best_score(saved, str(_of(model, "monitor"))), saved["epoch"] + 1
    monitor, mode = str(_of(model, "monitor")), str(_of(model, "monitor_mode"))
    return Run(folder, overrides, monitor, mode, score, epoch, path)


def _best_score(saved: Mapping[str, Any], monitor: str) -> float | None:
    """What the callback that keeps the best checkpoint says of it."""
    for state in saved.get("callbacks", {}).values():
        if isinstance(state, Mapping) and state.get("monitor") == monitor:
            score = state.get("best_model_score")
            if score is not None:
                return float(score)
    return None


def _of(model: object, name: str) -> object:
    return model.get(name, "") if isinstance(model, Mapping) else ""


def _yaml(path: Path) -> object:
    """Plain values of a file that Hydra wrote; None if it is missing or damaged."""
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def typed_for_all(typed: Sequence[Sequence[str]]) -> list[str]:
    """What was typed for all of several runs, in the order of the first; nothing for a single."""
    in_all = set.intersection(*map(set, typed))
    return [one for one in typed[0] if one in in_all and len(typed) > 1]


def print_runs(folder: Path, found: list[Run]) -> None:
    """Print a table, a row a run, with what was typed for some and not for all of them."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    common = typed_for_all([run.overrides for run in found])
    title = f"{len(found)} training run{'s, best first' if len(found) > 1 else ''}"
    table = Table(title=title, title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("score", no_wrap=True)
    table.add_column("epoch", justify="right")
    table.add_column("run", overflow="fold")
    table.add_column("typed", overflow="fold", ratio=1)
    for run in found:
        score = "-" if run.score is None else f"{run.monitor} {run.score:.4f}"
        epoch = "-" if run.epoch is None else str(run.epoch)
        name = str(run.folder.relative_to(folder))
        typed = " ".join(one for one in run.overrides if one not in common)
        table.add_row(escape(score), epoch, escape(name), escape(typed))
    Console().print(table)
    if common:
        typer.echo(f"typed for all of them: {' '.join(common)}")
    best = found[0].checkpoint
    typer.echo("no run has kept a checkpoint" if best is None else f"best checkpoint: {best}")


def write_runs(path: Path, found: list[Run]) -> None:
    """Write a CSV of runs, in their order: run, monitor, score, epoch, checkpoint, overrides."""
    import csv

    from xray_report.files import replacing

    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("run", "monitor", "score", "epoch", "checkpoint", "overrides"))
        for run in found:
            writer.writerow(
                (run.folder, run.monitor, run.score, run.epoch, run.checkpoint,
                 " ".join(run.overrides))
            )  # fmt: skip


# `xray-report aggregate`: several evaluations (seeds) of one experiment.


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
