"""`xray-report download`: data and weights from their official sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from xray_report.data.download import Progress


def download(
    what: Annotated[
        str,
        typer.Argument(
            help="iu-xray, glove or imagenet-weights; mimic-cxr, nih-chestxray14, "
            "iu-xray-kaggle and r2gen are explained step by step."
        ),
    ],
    dest: Annotated[Path, typer.Argument(help="Folder to put it in.")] = Path(),
    mirror: Annotated[
        str | None, typer.Option(help="Address of a mirror that holds files of the same names.")
    ] = None,
) -> None:
    """Download a data set, word vectors or weights from the official source.

    An interrupted download goes on where it stopped when the command is run again.
    """
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from xray_report.data.download import EXPLAINED, NEXT_STEP, check_name
    from xray_report.data.download import download as fetch_all

    check_name(what)
    if what in EXPLAINED:
        typer.echo(EXPLAINED[what])
        raise typer.Exit(1)
    columns = (*Progress.get_default_columns()[:2], DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn()) as bars:
        made = fetch_all(what, dest, mirror=mirror, watch=lambda name: _watch(bars, name))
    for path in made:
        typer.echo(f"have {path}")
    typer.echo(f"next: {NEXT_STEP[what].format(dest=dest)}")


def _watch(bars: Bars, name: str) -> Progress:
    task = bars.add_task(name, total=None)
    return lambda done, total: bars.update(task, completed=done, total=total)
