"""`xray-report predict`: reports of one study, of a folder or PACS export, or of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xray_report.commands.reading import (
    BEAM_WIDTH,
    SCHEMA,
    SLOTS,
    WARNINGS,
    Reader,
    Reading,
    read_all,
    reader_of,
    refusal,
    search_of,
    study_of,
)
from xray_report.commands.shared import (
    CheckpointOption,
    DeviceOption,
    RunsOption,
    own_or_bundled,
    write_json,
)
from xray_report.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from xray_report.commands.hospital import HospitalOutputs
    from xray_report.data.incoming import Incoming
    from xray_report.evaluation.page import PageStudy
    from xray_report.inference.generator import Report

SCREEN = Path("-")
DRAWN_WORDS = 3
"""Words of a report whose attention is drawn."""
OUTPUTS = (".jsonl", ".csv", ".html", ".json")


def predict(
    frontal: Annotated[
        list[Path] | None, typer.Option(help="Frontal image: PNG, JPEG, DICOM.", show_default=False)
    ] = None,
    lateral: Annotated[
        list[Path] | None, typer.Option(help="Lateral image.", show_default=False)
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder or PACS export of any depth: DICOM by study, other images by name."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="CSV with columns study_id, frontal, lateral; or ReXrank's JSON."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Folder that the table's paths are relative to; else its own."),
    ] = None,
    checkpoint: CheckpointOption = None,
    decode: Annotated[str, typer.Option(help="greedy, beam or consensus.")] = "beam",
    beam_width: Annotated[
        int | None,
        typer.Option(help=f"Width of the beam, {BEAM_WIDTH} if left out.", show_default=False),
    ] = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(
            help="Of the beam: 0 ranks by log-probability, above 0 favours long reports; 1 if "
            "left out.",
            show_default=False,
        ),
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(
            help="Reports to choose from, such as those of training: a text file with one a line, "
            "or a table as for `score --references`. --decode consensus then shows the one of them "
            "that agrees best with what the model would write."
        ),
    ] = None,
    n_best: Annotated[int, typer.Option(help="Reports to show, best first.")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write: .jsonl (all there is to say), .csv (its column error says why a "
            "study has no report), .html (a page), or .json: ReXrank's submission form of its "
            "--table."
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(help="Write one study as JSON to this file; - prints it instead of the text."),
    ] = None,
    attention: Annotated[
        Path | None, typer.Option(help="PNG to draw the attention of three words into.")
    ] = None,
    fhir: Annotated[
        Path | None,
        typer.Option(
            help="Write FHIR R4 DiagnosticReports, marked machine-made and preliminary: a folder, "
            "or a .json of one study. With patient and study of DICOM films."
        ),
    ] = None,
    dicom_sr: Annotated[
        Path | None,
        typer.Option(
            help="Folder of DICOM Basic Text SRs, marked likewise, with the films' patient, study "
            "and UIDs; DICOM films only (extra `hospital`)."
        ),
    ] = None,
    device: DeviceOption = "auto",
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Refuse what is otherwise warned of: films unlike those of training, inverted, "
            "turned, of the other view, no chest. No report of them, and exit status 1.",
        ),
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of one study's JSON, and stop.")
    ] = False,
    runs_dir: RunsOption = Path("runs"),
) -> None:
    """Write the reports of one study (--frontal, --lateral), a --folder or a --table.

    A film that cannot be read stops nothing: it is named, and exit status 1.
    Research software, not for clinical use.

    Examples: xray-report predict --frontal f.png --lateral l.png;
    xray-report predict --folder export --out reports.jsonl
    """
    from xray_report.commands.hospital import HospitalOutputs
    from xray_report.inference.checkpoint import load_checkpoint
    from xray_report.metrics.files import CHOSEN_AMONG, read_texts
    from xray_report.models.encoders.extractor import resolve_device

    if schema:
        from json import dumps

        typer.echo(dumps(SCHEMA, indent=2))
        return
    views = one_image("--frontal", frontal), one_image("--lateral", lateral)
    alone = views != (None, None)
    check_given(alone, folder, table, root)
    check_outputs(alone, out, json, attention, table)
    kind = "" if out is None else out.suffix.lower()
    attentive = attention is not None or json is not None or kind in (".html", ".jsonl")
    search = search_of(decode, beam_width, length_penalty, n_best, attentive, reports is not None)
    among = [] if reports is None else read_texts(reports, CHOSEN_AMONG, has_ids=False).texts
    place = resolve_device(device)
    incoming = gathered(views, folder, table, root)
    hospital = HospitalOutputs(fhir, dicom_sr, incoming.studies)
    paths = checkpoint or [own_or_bundled(runs_dir)]
    reader = reader_of(
        [load_checkpoint(path, place) for path in paths],
        search,
        n_best,
        place,
        decode,
        strict,
        among,
    )
    if reports is not None:
        most = len(getattr(reader.generator.search, "reports", ()))
        typer.echo(
            f"note: consensus chooses among {most} of {len(among)} reports of {reports}", err=True
        )
    for note in incoming.notes:
        typer.echo(f"note: {note}", err=True)
    readings = documented(read_all(reader, incoming.studies, strict=alone), hospital)
    if alone:
        first = next(readings)
        if attention is not None:
            if first.report is None:
                raise OptionError(f"--attention: {refusal(first.record)}")
            draw_attention(attention, first.report, first.images)
        readings = chain([first], readings)
    counts = Counts()
    counted = map(counts.count, readings)
    if out is None:
        for reading in counted:
            show(reading, json, alone)
    else:
        write(out, counted, reader, table, len(incoming.studies))
    finish(counts, reader, out)


# What was asked for.


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


def check_given(alone: bool, folder: Path | None, table: Path | None, root: Path | None) -> None:
    """Raise `OptionError` unless exactly one of the three inputs is given."""
    if alone + (folder is not None) + (table is not None) != 1:
        raise OptionError(
            "give --frontal FILE, --lateral FILE or both; or else --folder DIR or --table FILE"
        )
    if root is not None and table is None:
        raise OptionError("--root goes with --table FILE, whose paths it is for")


def check_outputs(
    alone: bool, out: Path | None, json: Path | None, attention: Path | None, table: Path | None
) -> None:
    """Raise `OptionError` for a suffix that says no format, or an output of one study alone."""
    if out is not None and out.suffix.lower() not in OUTPUTS:
        raise OptionError(f"--out decides by its suffix: name it {', '.join(OUTPUTS)}, not {out}")
    rexrank = table is not None and table.suffix.lower() == ".json"
    if out is not None and out.suffix.lower() == ".json" and not rexrank:
        raise OptionError(
            f"--out {out} is ReXrank's form, of a --table that is its JSON: name it .jsonl"
        )
    if not alone and (json is not None or attention is not None):
        raise OptionError(
            "--json and --attention are of one study; use --out reports.jsonl, or .html for "
            "attention"
        )
    if out is not None and json is not None:
        raise OptionError("give --out or --json, not both: a line of --out .jsonl is that JSON")
    if attention is not None and attention.suffix.lower() != ".png":
        raise OptionError(f"--attention writes a PNG: name it .png, not {attention}")


def gathered(
    views: tuple[Path | None, Path | None],
    folder: Path | None,
    table: Path | None,
    root: Path | None,
) -> Incoming:
    """The studies asked for. Raises `DataError`."""
    from xray_report.data.images import FilePixels
    from xray_report.data.incoming import Incoming, studies_of_folder, studies_of_table

    if folder is not None:
        return studies_of_folder(folder)
    if table is not None:
        return studies_of_table(table, root)
    frontal, lateral = (None if path is None else FilePixels(path) for path in views)
    return Incoming([study_of(frontal, lateral)], [])


# Where it is written.


def documented(readings: Iterable[Reading], hospital: HospitalOutputs) -> Iterator[Reading]:
    """The readings, each when its documents for hospitals are written."""
    for reading in readings:
        hospital.write(reading.record)
        yield reading


class Counts:
    """What the end has to say: of studies, films that could not be read, and warnings."""

    def __init__(self) -> None:
        self.studies, self.films, self.without, self.refused = 0, 0, 0, 0
        self.warnings = Counter[str]()

    def count(self, reading: Reading) -> Reading:
        """Count a reading, and hand it on."""
        self.studies += 1
        self.films += sum(bool(film.error) for film in reading.films)
        refused = reading.report is None and bool(refusal(reading.record))
        self.refused += refused
        self.without += reading.report is None and not refused
        self.warnings.update({one["kind"] for one in reading.record["warnings"]})
        return reading


def write(
    out: Path, readings: Iterable[Reading], reader: Reader, table: Path | None, total: int
) -> None:
    """Write readings as they come, in the form that the suffix of `out` says."""
    suffix = out.suffix.lower()
    if suffix == ".html":
        write_html(out, readings, reader, total)
    elif suffix == ".csv":
        write_csv(out, readings)
    elif suffix == ".json" and table is not None:
        write_submission(out, readings, table)
    else:
        write_lines(out, readings)


def studies(count: int) -> str:
    """So many studies, in words."""
    return f"{count} {'study' if count == 1 else 'studies'}"


def finish(counts: Counts, reader: Reader, out: Path | None) -> None:
    """Say in the end what must be known; exit with status 1 if a film could not be read."""
    if counts.studies > 1 or out is not None:
        told = [
            f"{counts.warnings[kind]} {kind.replace('_', ' ')}"
            for kind in WARNINGS
            if kind != "drawings" and counts.warnings[kind]
        ]
        warned = f"; studies with warnings: {', '.join(told)}" if told else ""
        where = f", written to {out}" if out is not None else ""
        typer.echo(f"{studies(counts.studies)} read{where}{warned}", err=True)
    if reader.note:
        typer.echo(f"note: {reader.note}", err=True)
    if counts.refused:
        typer.echo(
            f"error: {counts.refused} of {studies(counts.studies)} refused (--strict), each with "
            "its reason among its warnings",
            err=True,
        )
    if counts.films or counts.without:
        typer.echo(
            f"error: films that could not be read (named above): {counts.films}; studies without "
            f"a report: {counts.without} of {counts.studies}",
            err=True,
        )
    if counts.films or counts.without or counts.refused:
        raise typer.Exit(1)


def show(reading: Reading, json: Path | None, alone: bool) -> None:
    """Print a report, or each hypothesis with its score where there are several; write JSON."""
    from json import dumps

    record = reading.record
    if json == SCREEN:
        typer.echo(dumps(record, indent=2, ensure_ascii=False, allow_nan=False))
        return
    if json is not None:
        write_json(json, record)
    name = "" if alone else f"{record['study_id']}: "
    several = len(record["hypotheses"]) > 1
    none = "no image could be read" if not (why := refusal(record)) else f"refused, {why}"
    for one in record["hypotheses"] or [{"report": f"(no report: {none})"}]:
        shown = one["report"] or "(empty report)"
        typer.echo(f"{name}{one['score']:.3f}  {shown}" if several else f"{name}{shown}")
    for warning in record["warnings"] if alone else ():
        if warning["kind"] != "drawings":  # said in the end
            typer.echo(f"warning: {warning['text']}", err=True)


def write_lines(path: Path, readings: Iterable[Reading]) -> None:
    """Write JSON lines, a study each."""
    from json import dumps

    from xray_report.files import replacing

    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for reading in readings:
            line = dumps(reading.record, ensure_ascii=False, allow_nan=False)
            file.write(line + "\n")


def write_submission(path: Path, readings: Iterable[Reading], table: Path) -> None:
    """Write what ReXrank takes: its own JSON, each study with `model_prediction`.

    Of a study that could not be read it is empty. github.com/rajpurkarlab/ReXrank,
    example_files/prediction.json.
    """
    from json import loads

    from xray_report.data.tables import read_text

    studies = loads(read_text(table))
    for reading in readings:
        name = reading.record["study_id"]
        studies[name]["model_prediction"] = reading.record["report"] or ""
    write_json(path, studies)


COLUMNS = ("study_id", "report", "sentence_confidences", "present", "warnings", *SLOTS, "error")


def failures(record: dict[str, Any]) -> list[str]:
    """Why films of a record could not be read, or that it has none."""
    told = [one["error"] for one in record["files"] if one["error"]]
    return told if record["files"] else ["the study has no image"]


def write_csv(path: Path, readings: Iterable[Reading]) -> None:
    """Write a table that a spreadsheet opens, a study a row; `xray-report score` reads it too.

    The report of a study that could not be read is empty, and `error` says why; it also names a
    film that could not be read beside one that was. Empty, it says that all went well.
    """
    from csv import writer

    from xray_report.files import replacing

    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for _, _, _, _, record in readings:
            files = {one["read_as"]: one["path"] for one in record["files"]}
            table.writerow(
                (
                    record["study_id"],
                    record["report"] or "",
                    " ".join(f"{one['confidence']:.2f}" for one in record["sentences"]),
                    "; ".join(
                        name for name, said in record["findings"].items() if said == "present"
                    ),
                    "; ".join(one["kind"] for one in record["warnings"]),
                    *(files.get(slot, "") for slot in SLOTS),
                    "; ".join(failures(record)),
                )
            )


def write_html(path: Path, readings: Iterable[Reading], reader: Reader, total: int) -> None:
    """Write a self-contained page: films, report, findings, warnings and attention of each."""
    from xray_report.evaluation.page import NOT_CLINICAL, PageHead, write_page

    details = {
        "checkpoint": ", ".join(one["path"] for one in reader.facts["checkpoints"]),
        "sha256": ", ".join(one["sha256"] for one in reader.facts["checkpoints"]),
        "decode": reader.facts["decode"],
        "version": reader.facts["version"],
    }
    notices = [part for part in (reader.note, NOT_CLINICAL) if part]
    summary = [f"Reports of {studies(total)}, written by a machine."]
    head = PageHead("Generated reports", notices, summary=summary, details=details)
    write_page(path, head, map(page_study, readings))


def page_study(reading: Reading) -> PageStudy:
    """A reading as the page shows it."""
    from xray_report.evaluation.page import PageStudy, film_of, word_attention

    seen = [slot for slot in range(2) if reading.view_mask[slot]]
    record, images = reading.record, {film.slot: film.image for film in reading.films}
    return PageStudy(
        record["study_id"],
        None,
        record["report"] or "",
        [film_of(images[slot], SLOTS[slot]) for slot in seen],
        word_attention(reading.report, seen) if reading.report else (),
        [f"{one['kind'].replace('_', ' ')}: {one['text']}" for one in record["warnings"]],
    )


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
