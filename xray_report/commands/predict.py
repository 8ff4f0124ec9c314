"""`xray-report predict`: the report of one study's image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
    from xray_report.inference.generator import ReportGenerator, readable
    from xray_report.inference.runs import newest_checkpoint

    if frontal is None and lateral is None:
        raise OptionError("give --frontal FILE, --lateral FILE or both")
    loaded = load_checkpoint(checkpoint or newest_checkpoint(runs_dir))
    search = BeamSearch(beam_width=beam_width, return_attention=attention is not None)
    size = loaded.model.encoder.preprocessing.size
    images, view_mask = study_images((frontal, lateral), size)
    generator = ReportGenerator(
        loaded.model.encoder, loaded.model.decoder, loaded.vocabulary, search
    )
    report = generator.generate(images=images, view_mask=view_mask)[0]
    print(readable(report.text))
    if loaded.about.get("data") == "phantom":
        typer.echo("note: this model has only ever seen drawn phantom studies", err=True)
    if attention is not None:
        draw_attention(attention, report, images[0])
