"""`xray-report predict`: the report of one study's image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xray_report.commands.shared import write_json
from xray_report.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from xray_report.inference.generator import Report
    from xray_report.text.tokenizer import Tokenizer

SCREEN = Path("-")
DRAWN_WORDS = 3
"""Words of a report whose attention is drawn."""


def predict(
    frontal: Annotated[
        list[Path] | None, typer.Option(help="Frontal image: PNG, JPEG, DICOM.", show_default=False)
    ] = None,
    lateral: Annotated[
        list[Path] | None, typer.Option(help="Lateral image.", show_default=False)
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="Checkpoint; the newest training run's best if left out. Give several for an "
            "ensemble."
        ),
    ] = None,
    beam_width: Annotated[int, typer.Option(help="Width of the beam; 1 decodes greedily.")] = 5,
    n_best: Annotated[int, typer.Option(help="Reports to show, best first.")] = 1,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write reports, scores and each word's log-probability to this file; - prints "
            "them instead of the text."
        ),
    ] = None,
    attention: Annotated[
        Path | None, typer.Option(help="PNG to draw the attention of three words into.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto: a GPU where there is one.")
    ] = "auto",
    runs_dir: Annotated[Path, typer.Option(help="Where training runs lie.")] = Path("runs"),
) -> None:
    """Write the report of one study. Research software, not for clinical use."""
    import torch

    from xray_report.inference.beam import BeamSearch
    from xray_report.inference.checkpoint import (
        joint_decoder,
        load_checkpoint,
        longest_report,
        newest_checkpoint,
    )
    from xray_report.inference.generator import ReportGenerator
    from xray_report.models.encoders.extractor import FeatureExtractor, resolve_device

    views = one_image("--frontal", frontal), one_image("--lateral", lateral)
    if views == (None, None):
        raise OptionError("give --frontal FILE, --lateral FILE or both")
    if attention is not None and attention.suffix.lower() != ".png":
        raise OptionError(f"--attention writes a PNG: name it .png, not {attention}")
    search = BeamSearch(
        beam_width=beam_width, n_best=n_best, return_attention=attention is not None
    )
    place = resolve_device(device)
    paths = checkpoint or [newest_checkpoint(runs_dir)]
    loaded = [load_checkpoint(path, place) for path in paths]
    encoder, tokenizer = loaded[0].model.encoder, loaded[0].tokenizer
    images, view_mask = load_pair(*views, encoder.preprocessing.size)
    # In the precision of training, so that the decoder reads what it has learnt to read.
    extractor = FeatureExtractor(encoder, place, loaded[0].about["precision"])
    features = torch.zeros(1, 2, *encoder.map_shape, dtype=torch.float16)
    features[view_mask] = torch.from_numpy(extractor(images[view_mask]))
    generator = ReportGenerator(
        None, joint_decoder(loaded), tokenizer, search, max_length=longest_report(loaded)
    )
    (report,) = generator.generate(
        features=features.to(place), view_mask=view_mask.to(place), study_ids=["study"]
    )
    if attention is not None:
        draw_attention(attention, report, images[0])
    show(report, tokenizer, json)
    if any(one.about.get("data") == "phantom" for one in loaded):
        typer.echo("note: this model has only ever seen drawn phantom studies", err=True)


def one_image(option: str, paths: list[Path] | None) -> Path | None:
    """The path given by an option, if one was.

    Raises:
        OptionError: several, of which a model would see but one.
    """
    if paths and len(paths) > 1:
        raise OptionError(
            f"{option} was given {len(paths)} times: a study has one image of each view here; give "
            "the other as another study"
        )
    return paths[0] if paths else None


def load_pair(frontal: Path | None, lateral: Path | None, size: int) -> tuple[Tensor, Tensor]:
    """Grey images uint8 [1, 2, size, size] and view mask [1, 2] of up to two files."""
    import torch

    from xray_report.data.images import FilePixels, resize_gray

    images = torch.zeros(1, 2, size, size, dtype=torch.uint8)
    for slot, path in enumerate((frontal, lateral)):
        if path is not None:
            images[0, slot] = torch.from_numpy(resize_gray(FilePixels(path).load(), size))
    return images, torch.tensor([[frontal is not None, lateral is not None]])


def show(report: Report, tokenizer: Tokenizer, json: Path | None) -> None:
    """Print the report, or each with its score where there are several; write JSON."""
    from json import dumps

    from xray_report.inference.generator import plain_report

    plain = plain_report(report, tokenizer)
    if json == SCREEN:
        typer.echo(dumps(plain, indent=2, ensure_ascii=False))
        return
    if json is not None:
        write_json(json, plain)
    several = len(plain["hypotheses"]) > 1
    for one in plain["hypotheses"]:
        shown = one["report"] or "(empty report)"
        typer.echo(f"{one['score']:.3f}  {shown}" if several else shown)


def draw_attention(path: Path, report: Report, images: Tensor) -> None:
    """Write a PNG of the words with the narrowest attention, over both views.

    Args:
        path: the PNG.
        report: with attention [pieces, 2, h, w].
        images: uint8 [2, S, S], grey; a missing view is black.

    Raises:
        OptionError: an empty report, or a model without attention.
    """
    import torch
    from PIL import Image

    from xray_report.files import replacing
    from xray_report.inference.attention_picture import most_focused, overlay

    words = report.pieces
    if not words:
        raise OptionError("--attention: the report is empty, so there is no word to draw")
    if report.attention is None:
        raise OptionError("--attention needs an attention model; this one has none")
    weights = report.attention.flatten(1).numpy()
    chosen = most_focused(words, weights, DRAWN_WORDS) or range(min(DRAWN_WORDS, len(words)))
    rows = [overlay(images, report.attention[at], words[at]) for at in chosen]
    picture = torch.cat(rows, dim=1).permute(1, 2, 0)
    with replacing(path) as temporary:
        Image.fromarray(picture.contiguous().numpy()).save(temporary, format="PNG")
