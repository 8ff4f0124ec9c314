"""`xray-report predict`: the report of one study's image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from xray_report.inference.generator import Report
    from xray_report.text.vocabulary import Vocabulary

SCREEN = Path("-")
TELLING_WORDS = 3


def predict(
    frontal: Annotated[Path | None, typer.Option(help="Frontal image: PNG, JPEG, DICOM.")] = None,
    lateral: Annotated[Path | None, typer.Option(help="Lateral image.")] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="Checkpoint; the newest training run's best if left out. Give several for an "
            "ensemble."
        ),
    ] = None,
    beam_width: Annotated[int, typer.Option(help="1 decodes greedily.")] = 5,
    n_best: Annotated[int, typer.Option(help="Reports to show, best first.")] = 1,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write reports, scores and each word's log-probability to this file; - prints "
            "them instead of the text."
        ),
    ] = None,
    attention: Annotated[
        Path | None, typer.Option(help="PNG to draw the most telling words' attention into.")
    ] = None,
    runs_dir: Annotated[Path, typer.Option(help="Where training runs lie.")] = Path("runs"),
) -> None:
    """Write the report of one study. Research software, not for clinical use."""
    from xray_report.errors import OptionError
    from xray_report.inference.beam import BeamSearch
    from xray_report.inference.checkpoint import joint_decoder, load_checkpoint, newest_checkpoint
    from xray_report.inference.generator import ReportGenerator

    if frontal is None and lateral is None:
        raise OptionError("give --frontal FILE, --lateral FILE or both")
    if attention is not None and attention.suffix.lower() != ".png":
        raise OptionError(f"--attention writes a PNG: name it .png, not {attention}")
    search = BeamSearch(
        beam_width=beam_width, n_best=n_best, return_attention=attention is not None
    )
    loaded = [load_checkpoint(path) for path in checkpoint or [newest_checkpoint(runs_dir)]]
    encoder, vocabulary = loaded[0].model.encoder, loaded[0].vocabulary
    generator = ReportGenerator(encoder, joint_decoder(loaded), vocabulary, search)
    images, view_mask = load_pair(frontal, lateral, encoder.preprocessing.size)
    (report,) = generator.generate(images=images, view_mask=view_mask, study_ids=["study"])
    if attention is not None:
        draw_attention(attention, report, images[0])
    show(report, vocabulary, json)
    if any(one.about.get("data") == "phantom" for one in loaded):
        typer.echo("note: this model has only ever seen drawn phantom studies", err=True)


def load_pair(frontal: Path | None, lateral: Path | None, size: int) -> tuple[Tensor, Tensor]:
    """Grey images uint8 [1, 2, size, size] and view mask [1, 2] of up to two files."""
    import torch

    from xray_report.data.images import FilePixels, resize_gray

    images = torch.zeros(1, 2, size, size, dtype=torch.uint8)
    for slot, path in enumerate((frontal, lateral)):
        if path is not None:
            images[0, slot] = torch.from_numpy(resize_gray(FilePixels(path).load(), size))
    return images, torch.tensor([[frontal is not None, lateral is not None]])


def show(report: Report, vocabulary: Vocabulary, json: Path | None) -> None:
    """Print the report, or each with its score where there are several; write JSON."""
    from json import dumps

    from xray_report.files import replacing
    from xray_report.inference.generator import plain_report

    plain = plain_report(report, vocabulary)
    text = dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    if json == SCREEN:
        typer.echo(text)
        return
    if json is not None:
        with replacing(json) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    several = len(plain["hypotheses"]) > 1
    for one in plain["hypotheses"]:
        shown = one["report"] or "(empty report)"
        typer.echo(f"{one['score']:.3f}  {shown}" if several else shown)


def draw_attention(path: Path, report: Report, images: Tensor) -> None:
    """Write a PNG of the report's most telling words' attention over both views."""
    import torch
    from PIL import Image

    from xray_report.errors import OptionError
    from xray_report.files import replacing
    from xray_report.inference.attention_picture import overlay, telling_words

    words = report.text.split()
    if not words:
        raise OptionError("--attention: the report is empty, so there is no word to draw")
    if report.attention is None:
        raise OptionError("--attention needs an attention model; this one has none")
    weights = report.attention.flatten(1).numpy()
    chosen = telling_words(words, weights, TELLING_WORDS) or range(min(TELLING_WORDS, len(words)))
    rows = [overlay(images, report.attention[at], words[at]) for at in chosen]
    picture = torch.cat(rows, dim=1).permute(1, 2, 0)
    with replacing(path) as temporary:
        Image.fromarray(picture.contiguous().numpy()).save(temporary, format="PNG")
