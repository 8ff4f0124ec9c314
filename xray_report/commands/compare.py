"""`xray-report compare` and `xray-report aggregate`: results beside results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xray_report.commands.corpora import JsonFile, Train, TrainColumn

if TYPE_CHECKING:
    from xray_report.metrics.files import ReportRecord
    from xray_report.metrics.intervals import Difference


def compare(
    first: Annotated[Path, typer.Argument(help="Result folder or reports.jsonl.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same studies.")],
    train: Train = None,
    train_column: TrainColumn = None,
    json: JsonFile = None,
) -> None:
    """Compare two systems study by study: differences with 95 % intervals (paired bootstrap)."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xray_report.commands.corpora import training_texts
    from xray_report.metrics.evaluation import is_overall
    from xray_report.metrics.files import read_reports, write_metrics

    train_texts = training_texts(train, train_column)
    differences = compare_records(read_reports(first), read_reports(second), train_texts)
    if json is not None:
        write_metrics(
            json,
            {
                f"{key}/{name}": value
                for key, row in differences.items()
                for name, value in row._asdict().items()
            },
        )
    title = escape(f"first: {first}\nsecond: {second}")
    table = Table(title=title, title_justify="left", padding=0)
    table.add_column("", overflow="fold")
    for name in ("first", "second", "second - first", "p"):
        table.add_column(name, no_wrap=True)
    for key, row in differences.items():
        if is_overall(key):
            interval = f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
            interval = f"[bold]{interval}[/]" if row.clear else interval
            values = (f"{row.first:.3f}", f"{row.second:.3f}", interval, f"{row.p_value:.3f}")
            table.add_row(key, *values)
    Console().print(table)
    typer.echo("95 % intervals by paired bootstrap; bold where they leave out zero")


def compare_records(
    first: list[ReportRecord], second: list[ReportRecord], train_texts: list[str] | None = None
) -> dict[str, Difference]:
    """Paired differences of every score of two systems' reports on the same studies.

    Raises:
        DataError: other studies, or other references for the same study.
    """
    from xray_report.errors import DataError
    from xray_report.metrics.evaluation import CorpusScorer
    from xray_report.metrics.files import merge_records
    from xray_report.metrics.intervals import paired_differences
    from xray_report.metrics.protocols import usable_protocols
    from xray_report.metrics.rule_labeller import RuleLabeller

    left, right = merge_records([first]), merge_records([second])
    if [r.study_id for r in left] != [r.study_id for r in right]:
        missing = {r.study_id for r in left} ^ {r.study_id for r in right}
        raise DataError(
            f"the two results hold different studies: {len(missing)} stand in one only, "
            f"the first is {min(missing)!r}"
        )
    other = [a.study_id for a, b in zip(left, right, strict=True) if a.reference != b.reference]
    if other:
        raise DataError(f"{len(other)} studies have different references, the first is {other[0]}")
    references = [record.reference for record in left]
    scorer = CorpusScorer(references, usable_protocols(train_texts), train_texts, RuleLabeller())
    ours = scorer.families([record.hypothesis for record in left])
    theirs = scorer.families([record.hypothesis for record in right])
    found: dict[str, Difference] = {}
    for one, another in zip(ours, theirs, strict=True):
        found |= paired_differences(one, another)
    return found


def aggregate(
    runs: Annotated[
        list[Path], typer.Argument(help="Result folders or metrics.json, two or more.")
    ],
    json: JsonFile = None,
) -> None:
    """Mean and standard deviation of every metric over several runs (seeds) of one experiment."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xray_report.errors import OptionError
    from xray_report.metrics.evaluation import is_overall
    from xray_report.metrics.files import METRICS_FILE, inside, read_metrics, write_metrics
    from xray_report.metrics.intervals import aggregate_runs, unequal_runs

    files = [inside(path, METRICS_FILE).resolve() for path in runs]
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
