"""`xray-report download` and `convert-weights`: data and weights of others, as we read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from xray_report.data.download import Progress

CONVERTED = {"chest-encoder": "TorchXRayVision", "chexnet": "arnoweng CheXNet"}
"""Weights that are made a file of our own, and the format they are published in."""


def download(
    what: Annotated[
        str,
        typer.Argument(
            help="iu-xray, glove, imagenet-weights, chest-encoder or chexnet; mimic-cxr, "
            "rexgradient, chexpert-plus, nih-chestxray14, iu-xray-kaggle and r2gen are explained "
            "step by step."
        ),
    ],
    dest: Annotated[Path, typer.Argument(help="Folder to put it in.")] = Path(),
    weights: Annotated[
        str | None,
        typer.Option(
            help="chest-encoder: films it was trained on, nih (the default), chex, mimic_ch or pc."
        ),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Address of a mirror that holds files of the same names.")
    ] = None,
) -> None:
    """Download a data set, word vectors or weights from the official source.

    An interrupted download goes on where it stopped when the command is run again. Encoders of
    others are turned into a safetensors file for encoder.weights=, without running their code.

    Example: xray-report download iu-xray data/iu_xray
    """
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from xray_report.data.download import EXPLAINED, LICENCES, NEXT_STEP, check_name, files_of
    from xray_report.data.download import download as fetch_all

    check_name(what)
    if what in EXPLAINED:
        typer.echo(EXPLAINED[what])
        raise typer.Exit(1)
    (first, *_) = files_of(what, weights)
    columns = (*Progress.get_default_columns()[:2], DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn()) as bars:
        made = fetch_all(
            what, dest, weights=weights, mirror=mirror, watch=lambda name: _watch(bars, name)
        )
    if what in CONVERTED:
        url = f"{mirror.rstrip('/')}/{first.file_name}" if mirror else first.url
        made.append(convert(made[0], what, {"url": url, "licence": LICENCES[what]}))
    for path in made:
        typer.echo(f"have {path}")
    typer.echo(f"licence: {LICENCES[what]}")
    typer.echo(f"next: {NEXT_STEP[what].format(dest=dest, weights=made[-1])}")


def convert(source: Path, what: str, about: dict[str, str]) -> Path:
    """Write an encoder's weights, as published, beside `source` as safetensors that say all.

    The file says its format, what it was trained on, how images are normalised for it, and `about`.

    Raises `WeightsError` if the file is not what its publisher gives out.
    """
    from xray_report.data.download import CHEST_ENCODER, digest
    from xray_report.errors import WeightsError
    from xray_report.models.encoders.load import export_encoder, read_weights

    try:
        encoder, report = read_weights(source)
        if report.format != CONVERTED[what]:
            raise WeightsError(f"{source.name} is no file of {CONVERTED[what]}: {report.format}")
    except WeightsError as error:
        raise WeightsError(f"{error}. To fetch it anew, remove {source} first") from error
    films = f"-{source.name.partition('-')[0]}" if what == CHEST_ENCODER else ""
    made = source.with_name(f"{what}{films}.safetensors")
    export_encoder(encoder, made, {**about, "sha256": digest(source)}, compact=False)
    typer.echo(str(report))
    typer.echo(f"trained on: {', '.join(encoder.source['trained_on'])}")
    return made


def _watch(bars: Bars, name: str) -> Progress:
    task = bars.add_task(name, total=None)
    return lambda done, total: bars.update(task, completed=done, total=total)


# A file of weights that lies here already.


def convert_weights(
    source: Annotated[
        Path,
        typer.Argument(
            help="Weight file: PyTorch (.pt, .pth.tar, .ckpt), Keras HDF5 or safetensors; "
            "the format is recognised by content."
        ),
    ],
    dest: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Load a file of pickled Python objects (TorchXRayVision). Loading one runs "
            "whatever code it holds: only for files you trust.",
        ),
    ] = False,
    metadata: Annotated[
        Path | None,
        typer.Option(help="JSON file of what else the new file shall say: command, seed, scores."),
    ] = None,
) -> None:
    """Convert encoder weights, of DenseNet121 or a checkpoint of ours, for encoder.weights=DEST.

    Every tensor must land; what was mapped and what was left aside is printed.

    Example: xray-report convert-weights model.pth.tar chexnet.safetensors
    """
    from xray_report.errors import WeightsError
    from xray_report.models.encoders.load import export_encoder, read_weights

    if dest.suffix != ".safetensors":
        raise WeightsError(f"the converted file is safetensors: name it so, not {dest}")
    encoder, report = read_weights(source, allow_pickle=allow_pickle)
    export_encoder(encoder, dest, read_about(metadata) if metadata else None)
    for theirs, ours in report.mapped:
        typer.echo(f"{theirs} -> {ours}")
    for name in report.aside:
        typer.echo(f"{name} (left aside: no part of an encoder)")
    typer.echo(str(report))
    typer.echo(f"trained on: {', '.join(encoder.source['trained_on']) or 'not known'}")
    typer.echo(f"wrote {dest}")


def read_about(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `DataError`, `WeightsError` where it is another value."""
    from xray_report.data.tables import read_json
    from xray_report.errors import WeightsError

    plain = read_json(path, "--metadata takes one JSON object")
    if not isinstance(plain, dict):
        raise WeightsError(f"{path}: metadata must be one JSON object")
    return plain
