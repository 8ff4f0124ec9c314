"""`xray-report data`: looking at data sets before training on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from xray_report.data.audit import Audited

FOREIGN = {
    "iu_xray": ("reports",),
    "nih_chestxray14": ("annotation", "reports", "target"),
    "csv": ("annotation", "reports"),
}
"""Options that a data set does not have."""

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
        Path | None,
        typer.Option(help="Its folder; iu_xray without it: the extra's reports alone."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="How it is split, as data.split.")] = None,
    annotation: Annotated[Path | None, typer.Option(help="R2Gen's annotation.json.")] = None,
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
    options = {
        "root": root, "split": split, "annotation": annotation, "reports": reports, "seed": seed,
        "target": target,
    }  # fmt: skip
    source = make_source(name, options, table, column or [], label or [])
    _run(source, vectors, workers, json)


def make_source(
    name: str, options: dict[str, Any], table: Path | None, columns: list[str], labels: list[str]
) -> Audited:
    """The data set `name` with the options that were given. Raises `OptionError`."""
    from xray_report.data.sources.csv import CSVSource
    from xray_report.data.sources.iu_xray import IUXRay
    from xray_report.data.sources.mimic_cxr import MimicCXR
    from xray_report.data.sources.nih_chestxray14 import NIHChestXray14
    from xray_report.errors import OptionError

    given = {key: value for key, value in options.items() if value is not None}
    if name == "csv":
        if table is None:
            raise OptionError("csv needs --table FILE and --column MEANING=NAME")
        given["images"] = given.pop("root", None)
        given |= {"table": table, "columns": _pairs(columns), "labels": labels}
    elif table or columns or labels:
        raise OptionError(f"--table, --column and --label are options of csv, not of {name}")
    kinds: dict[str, Any] = {
        "iu_xray": IUXRay,
        "nih_chestxray14": NIHChestXray14,
        "mimic_cxr": MimicCXR,
        "csv": CSVSource,
    }
    if name not in kinds:
        raise OptionError(f"DATA must be one of {', '.join(kinds)}, got {name!r}")
    if name in ("nih_chestxray14", "mimic_cxr") and "root" not in given:
        raise OptionError(f"{name} needs --root DIR")
    for option in FOREIGN.get(name, ()):
        if option in given:
            raise OptionError(f"--{option} is no option of {name}")
    source: Audited = kinds[name](**given)
    return source


def _pairs(columns: list[str]) -> dict[str, str]:
    from xray_report.errors import OptionError

    pairs = {}
    for column in columns:
        meaning, equals, name = column.partition("=")
        if not (meaning and equals and name):
            raise OptionError(f"--column must be MEANING=NAME, such as image=file; got {column!r}")
        pairs[meaning] = name
    return pairs


def _run(source: Audited, vectors: str, workers: int | None, json: Path | None) -> None:
    from json import dumps

    from rich.console import Console
    from rich.progress import Progress

    from xray_report.commands.data import audit_table
    from xray_report.data.audit import audit as run_audit
    from xray_report.files import replacing

    with Progress(transient=True, console=Console(stderr=True)) as bars:
        task = bars.add_task("decoding images", total=None, visible=False)

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, visible=True)

        numbers = run_audit(source, vectors=vectors, workers=workers, progress=show)
    if json is not None:
        with replacing(json) as temporary:
            temporary.write_text(dumps(numbers, indent=2) + "\n", encoding="utf-8")
    Console().print(audit_table(numbers))


# ------------------------------------------------------------------------------
# An audit as a table for people.

SHARES = ("normal", "with a vector", "unknown to train", "also in train")
"""Fractions under these names are shown in per cent."""
SHOWN = 20
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
        share = any(f"{above}/{name}".endswith(end) or above.endswith(end) for end in SHARES)
        if isinstance(value, Mapping):
            yield depth, name, ""
            yield from _rows(value, depth + 1, name)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            yield depth, name, str(len(value))
            yield from ((depth + 1, str(row["study"]), str(row["error"])) for row in value[:SHOWN])
        else:
            yield depth, name, _text(value, share)


def _text(value: Any, share: bool) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{100 * value:.1f} %" if share else f"{value:.1f}".removesuffix(".0")
    return f"{value:,}" if isinstance(value, int) else str(value)
