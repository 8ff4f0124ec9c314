"""`xray-report data audit`: looking at a data set before training on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from xray_report.commands.shared import AnnotationOption, write_json
from xray_report.errors import OptionError

if TYPE_CHECKING:
    from xray_report.data.study import Audited

app = typer.Typer(help="Look at a data set before training on it.", no_args_is_help=True)


@app.callback()
def data() -> None:
    """Keep `audit` a command of its own, though it is the only one."""


@app.command()
def audit(
    name: Annotated[
        str, typer.Argument(help="iu_xray, nih_chestxray14, mimic_cxr or csv.", metavar="DATA")
    ],
    root: Annotated[
        Path | None, typer.Option(help="Its folder; iu_xray without it: the extra's reports alone.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="How it is split, as data.split.")] = None,
    annotation: AnnotationOption = None,
    reports: Annotated[
        Path | None, typer.Option(help="mimic_cxr: folder of the reports, as data.reports.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="csv: the table; --root: its images.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="csv: MEANING=NAME, such as image=file or findings=report; repeat it."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="csv: a column that holds a label; repeat it.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random splits, as data.seed.")] = 0,
    target: Annotated[
        str | None, typer.Option(help="findings, impression or both, as data.target.")
    ] = None,
    vectors: Annotated[
        str, typer.Option(help="Word vectors to measure coverage of: bundled, or a GloVe file.")
    ] = "bundled",
    workers: Annotated[
        int | None, typer.Option(help="Processes that decode images; 0 for none.", min=0)
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the numbers to this file.")] = None,
) -> None:
    """Count studies, images and views, what was dropped and why, texts, splits and damage."""
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


# The data set.

OPTIONS = {
    "iu_xray": ("root", "split", "annotation", "seed", "target"),
    "nih_chestxray14": ("root", "split", "seed"),
    "mimic_cxr": ("root", "split", "annotation", "reports", "seed", "target"),
    "csv": ("root", "split", "table", "column", "label", "seed", "target"),
}
"""Data set -> the options it has."""


def make_source(name: str, **options: Any) -> Audited:
    """The data set `name` with the options that were given.

    Raises:
        OptionError: no such data set, an option it does not have, or one it needs is missing.
    """
    from xray_report.data.sources.csv import CSVSource
    from xray_report.data.sources.iu_xray import IUXRay
    from xray_report.data.sources.mimic_cxr import MimicCXR
    from xray_report.data.sources.nih_chestxray14 import NIHChestXray14

    if name not in OPTIONS:
        raise OptionError(f"DATA must be one of {', '.join(OPTIONS)}, got {name!r}")
    given = {key: value for key, value in options.items() if value is not None and value != []}
    for option in given:
        if option not in OPTIONS[name]:
            raise OptionError(f"--{option} is no option of {name}")
    if name == "iu_xray":
        return IUXRay(**given)
    if name == "csv":
        if "table" not in given:
            raise OptionError("csv needs --table FILE and --column MEANING=NAME")
        columns, labels = given.pop("column", []), given.pop("label", [])
        images = given.pop("root", None)
        return CSVSource(images=images, columns=_by_meaning(columns), labels=labels, **given)
    if "root" not in given:
        raise OptionError(f"{name} needs --root DIR")
    return MimicCXR(**given) if name == "mimic_cxr" else NIHChestXray14(**given)


def _by_meaning(columns: list[str]) -> dict[str, str]:
    names = {}
    for column in columns:
        meaning, equals, name = column.partition("=")
        if not (meaning and equals and name):
            raise OptionError(f"--column must be MEANING=NAME, such as image=file; got {column!r}")
        names[meaning] = name
    return names


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
