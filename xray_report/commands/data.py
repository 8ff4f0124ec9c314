"""`xray-report data audit`: looking at a data set before training on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from xray_report.commands.shared import (
    AnnotationOption,
    ColumnOption,
    LabelOption,
    ReportsOption,
    RootOption,
    SeedOption,
    SplitOption,
    TableOption,
    TargetOption,
    make_source,
    write_json,
)

app = typer.Typer(help="Look at a data set before training on it.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Keep `audit` a command of its own, though it is the only one."""


@app.command()
def audit(
    name: Annotated[
        str,
        typer.Argument(
            help="phantom, iu_xray, nih_chestxray14, mimic_cxr, rexgradient, chexpert_plus or csv; "
            "of a union each by itself.",
            metavar="DATA",
        ),
    ],
    root: RootOption = None,
    split: SplitOption = None,
    annotation: AnnotationOption = None,
    reports: ReportsOption = None,
    table: TableOption = None,
    column: ColumnOption = None,
    label: LabelOption = None,
    seed: SeedOption = None,
    target: TargetOption = None,
    vectors: Annotated[
        str, typer.Option(help="Word vectors to measure coverage of: bundled, or a GloVe file.")
    ] = "bundled",
    workers: Annotated[
        int | None, typer.Option(help="Processes that decode images; 0 for none.", min=0)
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the numbers to this file.")] = None,
) -> None:
    """Count studies, images and views, what was dropped and why, texts, splits and damage.

    Example: xray-report data audit csv --table t.csv --column image=file --column findings=report
    """
    from rich.console import Console
    from rich.progress import Progress

    from xray_report.data.audit import audit as run_audit

    source = make_source(
        name, root=root, split=split, annotation=annotation, reports=reports, table=table,
        column=column, label=label, seed=seed, target=target,
    )  # fmt: skip
    with Progress(transient=True, console=Console(stderr=True)) as bars:
        task = bars.add_task("decoding images", total=None, visible=False)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, visible=True)

        numbers = run_audit(source, vectors=vectors, workers=workers, progress=show)
    if json is not None:
        write_json(json, numbers)
    Console().print(audit_table(numbers))


# The table.

PER_CENT = ("normal", "with a vector", "unknown to train", "also in train")
"""Fractions under these names are shown in per cent."""
MOST_ROWS = 20
"""Unreadable images listed in the table; the JSON has them all."""


def audit_table(numbers: Mapping[str, Any]) -> Table:
    """One row a number; mappings are indented under their name."""
    table = Table("", "", title=f"Audit of {numbers['data']}", show_header=False)
    table.columns[1].justify = "right"
    table.columns[1].overflow = "fold"
    for depth, name, value in _rows(numbers, 0, ""):
        table.add_row("  " * depth + escape(name), escape(value))
    return table


def _rows(numbers: Mapping[str, Any], depth: int, above: str) -> Iterator[tuple[int, str, str]]:
    for name, value in numbers.items():
        share = any(f"{above}/{name}".endswith(end) or above.endswith(end) for end in PER_CENT)
        if isinstance(value, Mapping):
            yield depth, name, ""
            yield from _rows(value, depth + 1, name)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield depth, name, str(len(value))
            for row in value[:MOST_ROWS]:
                yield depth + 1, str(row["study"]), str(row["error"])
        else:
            yield depth, name, _shown(value, share)


def _shown(value: Any, share: bool) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{100 * value:.1f} %" if share else f"{value:.1f}".removesuffix(".0")
    return f"{value:,}" if isinstance(value, int) else str(value)
