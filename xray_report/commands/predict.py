"""`xray-report predict`: the report of one study's image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from xray_report.inference.generator import Report


def predict(
    frontal: Annotated[Path | None, typer.Option(help="Frontal image: PNG, JPEG, DICOM.")] = None,
    lateral: Annotated[Path | None, typer.Option(help="Lateral image.")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint; the newest training run's best if left out.")
    ] = None,
    beam_width: Annotated[int, typer.Option(help="1 decodes greedily.")] = 5,
    attention: Annotated[
        Path | None, typer.Option(help="PNG to draw the most telling words' attention into.")
    ] = None,
    runs_dir: Annotated[Path, typer.Option(help="Where training runs lie.")] = Path("runs"),
) -> None:
    """Write the report of one study. Research software, not for clinical use."""
    from xray_report.errors import OptionError
    from xray_report.inference.beam import BeamSearch
    from xray_report.inference.checkpoint import load_checkpoint
    from xray_report.inference.generator import ReportGenerator
    from xray_report.inference.runs import newest_checkpoint

    if frontal is None and lateral is None:
        raise OptionError("give --frontal FILE, --lateral FILE or both")
    loaded = load_checkpoint(checkpoint or newest_checkpoint(runs_dir))
    search = BeamSearch(beam_width=beam_width, return_attention=attention is not None)
    images, view_mask = load_pair(frontal, lateral, loaded.model.encoder.preprocessing.size)
    generator = ReportGenerator(
        loaded.model.encoder, loaded.model.decoder, loaded.vocabulary, search
    )
    (report,) = generator.generate(images=images, view_mask=view_mask, study_ids=["study"])
    typer.echo(report.readable)
    if loaded.about.get("data") == "phantom":
        typer.echo("note: this model has only ever seen drawn phantom studies", err=True)
    if attention is not None:
        draw_attention(attention, report, images[0])


def load_pair(frontal: Path | None, lateral: Path | None, size: int) -> tuple[Tensor, Tensor]:
    """Grey images uint8 [1, 2, size, size] and view mask [1, 2] of up to two files."""
    import torch

    from xray_report.data.images import FilePixels, resize_gray

    images = torch.zeros(1, 2, size, size, dtype=torch.uint8)
    for slot, path in enumerate((frontal, lateral)):
        if path is not None:
            images[0, slot] = torch.from_numpy(resize_gray(FilePixels(path).load(), size))
    return images, torch.tensor([[frontal is not None, lateral is not None]])


def draw_attention(path: Path, report: Report, images: Tensor) -> None:
    """Write a PNG of the report's most telling words' attention over both views."""
    import torch
    from PIL import Image

    from xray_report.errors import OptionError
    from xray_report.files import replacing
    from xray_report.inference.attention_picture import overlay, telling_words

    if report.attention is None:
        raise OptionError("--attention needs an attention model; this one has none")
    words = report.text.split()
    if not words:
        raise OptionError("--attention: the report is empty, there is no word to draw")
    chosen = telling_words(words, report.attention.flatten(1).numpy(), 3)
    rows = [overlay(images, report.attention[at], words[at]) for at in chosen]
    with replacing(path) as temporary:
        picture = torch.cat(rows, dim=1).permute(1, 2, 0).numpy()
        Image.fromarray(picture).save(temporary, format="PNG")
