"""`xray-report convert-weights`: encoder weights to a small file that describes itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer


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
    export_encoder(encoder, dest, read_json(metadata) if metadata else None)
    for theirs, ours in report.mapped:
        typer.echo(f"{theirs} -> {ours}")
    for name in report.aside:
        typer.echo(f"{name} (left aside: no part of an encoder)")
    typer.echo(str(report))
    typer.echo(f"trained on: {', '.join(encoder.source['trained_on']) or 'not known'}")
    typer.echo(f"wrote {dest}")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    from xray_report.errors import WeightsError

    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: cannot read metadata: {error}") from error
    if not isinstance(plain, dict):
        raise WeightsError(f"{path}: metadata must be one JSON object")
    return plain
