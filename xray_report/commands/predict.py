"""`xray-report predict`: reports of one study, of a folder or PACS export, or of a table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, compress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from xray_report.commands.shared import write_json
from xray_report.errors import ImageError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from xray_report.commands.hospital import HospitalOutputs
    from xray_report.data.incoming import Incoming
    from xray_report.data.study import Study, StudyImage
    from xray_report.evaluation.page import PageStudy
    from xray_report.inference.checkpoint import ReportCheckpoint
    from xray_report.inference.film_check import FilmStatistics
    from xray_report.inference.generator import Report, ReportGenerator
    from xray_report.inference.search import Search
    from xray_report.models.encoders.extractor import FeatureExtractor
    from xray_report.text.tokenizer import Tokenizer

SCREEN = Path("-")
DRAWN_WORDS = 3
"""Words of a report whose attention is drawn."""
SEARCHES = ("greedy", "beam", "consensus")
BEAM_WIDTH = 5
OUTPUTS = (".jsonl", ".csv", ".html", ".json")
BATCH = 64
"""Studies encoded and decoded at once, while the next ones are loaded."""
SLOTS = ("frontal", "lateral")


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
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="Checkpoint, exported folder or name on the Hugging Face hub; the newest training "
            "run's best if left out, or else the bundled model. Give several for an ensemble."
        ),
    ] = None,
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
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto: a GPU where there is one.")
    ] = "auto",
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
    runs_dir: Annotated[Path, typer.Option(help="Where training runs lie.")] = Path("runs"),
) -> None:
    """Write the reports of one study (--frontal, --lateral), a --folder or a --table.

    A film that cannot be read stops nothing: it is named, and exit status 1.
    Research software, not for clinical use.

    Examples: xray-report predict --frontal f.png --lateral l.png;
    xray-report predict --folder export --out reports.jsonl
    """
    from xray_report.commands.hospital import HospitalOutputs
    from xray_report.inference.checkpoint import load_checkpoint, newest_or_bundled
    from xray_report.models.encoders.extractor import resolve_device
    from xray_report.models.folder import BUNDLED_MODEL

    if schema:
        from json import dumps

        typer.echo(dumps(SCHEMA, indent=2))
        return
    views = one_image("--frontal", frontal), one_image("--lateral", lateral)
    alone = views != (None, None)
    check_given(alone, folder, table, root)
    check_outputs(alone, out, json, attention, table)
    page = out is not None and out.suffix.lower() == ".html"
    attentive = attention is not None or page
    search = search_of(decode, beam_width, length_penalty, n_best, attentive)
    place = resolve_device(device)
    incoming = gathered(views, folder, table, root)
    hospital = HospitalOutputs(fhir, dicom_sr, incoming.studies)
    paths = checkpoint or [newest_or_bundled(runs_dir)]
    if paths == [BUNDLED_MODEL]:
        typer.echo(
            f"note: no --checkpoint, and no training run below {runs_dir}: the bundled model "
            "writes, which knows drawings only",
            err=True,
        )
    reader = reader_of(
        [load_checkpoint(path, place) for path in paths], search, n_best, place, decode, strict
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
    if out is not None and table is not None and out.suffix.lower() == ".json":
        counts = Counts()
        write_submission(out, map(counts.count, readings), table)
    else:
        counts = write(readings, reader, out, json, alone, len(incoming.studies))
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


def search_of(
    decode: str, width: int | None, penalty: float | None, n_best: int, attention: bool
) -> Search:
    """The search of that name. Raises `OptionError` for an option that it would not read."""
    from xray_report.inference.beam import BeamSearch
    from xray_report.inference.consensus import ConsensusSearch
    from xray_report.inference.greedy import GreedySearch
    from xray_report.options import check_choice, check_count

    check_choice("--decode", decode, SEARCHES)
    check_count("n_best", n_best)
    if decode == "beam":
        width = BEAM_WIDTH if width is None else width
        return BeamSearch(
            beam_width=width,
            n_best=n_best,
            length_penalty=1.0 if penalty is None else penalty,
            return_attention=attention,
        )
    for option, value in (("--beam-width", width), ("--length-penalty", penalty)):
        if value is not None:
            raise OptionError(f"{option} is of --decode beam: leave it out with {decode}")
    if decode == "greedy":
        if n_best > 1:
            raise OptionError("n_best must be 1 with --decode greedy, which finds one report")
        return GreedySearch(return_attention=attention)
    search = ConsensusSearch(return_attention=attention)
    if n_best > search.n_candidates:
        raise OptionError(f"n_best must be at most {search.n_candidates} with --decode consensus")
    return search


def gathered(
    views: tuple[Path | None, Path | None],
    folder: Path | None,
    table: Path | None,
    root: Path | None,
) -> Incoming:
    """The studies asked for. Raises `DataError`."""
    from xray_report.data.images import FilePixels
    from xray_report.data.incoming import Incoming, studies_of_folder, studies_of_table
    from xray_report.data.study import Study, StudyImage, View

    if folder is not None:
        return studies_of_folder(folder)
    if table is not None:
        return studies_of_table(table, root)
    images = tuple(
        StudyImage(FilePixels(path), view, "given")
        for path, view in zip(views, (View.FRONTAL, View.LATERAL), strict=True)
        if path is not None
    )
    return Incoming([Study("study", images=images)], [])


# Reading: from films to reports.


class Film(NamedTuple):
    """What became of one image of a study.

    Args:
        image: the image.
        slot: which view it is read as, 0 frontal, 1 lateral; None where it is not read.
        error: why it could not be read; "" otherwise.
    """

    image: StudyImage
    slot: int | None
    error: str = ""

    @property
    def path(self) -> str:
        """The file, as it was given."""
        return str(getattr(self.image.pixels, "path", ""))


class Loaded(NamedTuple):
    """A study with its pixels: uint8 [2, S, S], black where the view mask, bool [2], is false."""

    study: Study
    films: list[Film]
    images: Tensor
    view_mask: Tensor


class Reading(NamedTuple):
    """A study that was read: the report, if any film of it could be, and all there is to say."""

    films: list[Film]
    images: Tensor
    view_mask: Tensor
    report: Report | None
    record: dict[str, Any]


@dataclass(frozen=True)
class Reader:
    """A model ready to read.

    Args:
        extractor: of features, in the precision of training, so that the decoder reads what it
            has learnt to read.
        generator: of reports.
        n_best: how many hypotheses are told of.
        facts: what every record says of the model.
        note: what must be said wherever its output is shown.
        known: what it remembers of its training films, if it does.
        strict: whether films that it does not know are refused.
    """

    extractor: FeatureExtractor
    generator: ReportGenerator
    n_best: int
    facts: dict[str, Any]
    note: str
    known: FilmStatistics | None = None
    strict: bool = False

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's."""
        return self.generator.tokenizer

    def read(self, batch: Sequence[Loaded]) -> Iterator[Reading]:
        """Readings of loaded studies, in their order."""
        import torch

        seen = [one for one in batch if one.view_mask.any()]
        reports: list[Report] = []
        unknown: dict[str, list[tuple[str, str]]] = {}
        if seen:
            mask = torch.stack([one.view_mask for one in seen])
            maps = torch.from_numpy(self.extractor(torch.stack([one.images for one in seen])[mask]))
            features = maps.new_zeros(*mask.shape, *maps.shape[1:])
            features[mask] = maps
            unknown = self._unknown(seen, mask, maps)
            kept = [
                not self.strict
                or all(kind not in REFUSED for kind, _ in unknown[one.study.study_id])
                for one in seen
            ]
            seen, device = list(compress(seen, kept)), self.extractor.device
        if seen:
            reports = self.generator.generate(
                features=features[kept].to(device),
                view_mask=mask[kept].to(device),
                study_ids=[one.study.study_id for one in seen],
            )
        by_id = {report.study_id: report for report in reports}
        for one in batch:
            report, name = by_id.get(one.study.study_id), one.study.study_id
            record = self._record(one, report, unknown.get(name, []))
            yield Reading(one.films, one.images, one.view_mask, report, record)

    def _unknown(
        self, seen: Sequence[Loaded], mask: Tensor, maps: Tensor
    ) -> dict[str, list[tuple[str, str]]]:
        """Kind and sentence of all that makes the studies' films no films that the model knows.

        Args:
            seen: N studies.
            mask: bool [N, 2], which of their views were read.
            maps: [M, C, h, w] of those.
        """
        import torch

        from xray_report.data.incoming import tag_warnings
        from xray_report.data.study import View
        from xray_report.inference.film_check import Films, check_films, pooled

        rows, slots = mask.nonzero(as_tuple=True)
        films = Films(torch.stack([one.images for one in seen])[mask], slots, pooled(maps))
        read = [
            next(film for film in seen[row].films if film.slot == slot)
            for row, slot in zip(rows.tolist(), slots.tolist(), strict=True)
        ]
        found: dict[str, list[tuple[str, str]]] = {one.study.study_id: [] for one in seen}
        checked = check_films(films, self.known, [film.path for film in read])
        for row, film, warnings in zip(rows.tolist(), read, checked, strict=True):
            view = (View.FRONTAL, View.LATERAL)[film.slot or 0]
            tagged = tag_warnings(Path(film.path), view, film.path) if film.path else {}
            found[seen[row].study.study_id] += [*tagged.items(), *warnings.items()]
        return {name: list(dict.fromkeys(warnings)) for name, warnings in found.items()}

    def _record(
        self, one: Loaded, report: Report | None, unknown: Sequence[tuple[str, str]]
    ) -> dict[str, Any]:
        """All there is to say of a study, as `SCHEMA` has it."""
        from xray_report.inference.generator import plain_report, text_warnings
        from xray_report.metrics.findings.labeller import label_report
        from xray_report.metrics.findings.negation import Assertion

        warnings = [*film_warnings(one.films), *unknown]
        plain: dict[str, Any] = {"report": None, "sentences": [], "hypotheses": []}
        findings: dict[str, str] = {}
        if report is not None:
            shown = report._replace(hypotheses=report.hypotheses[: self.n_best])
            plain = plain_report(shown, self.tokenizer)
            warnings += text_warnings(report, self.tokenizer).items()
            findings = {
                name: said.value
                for name, said in label_report(report.readable).items()
                if said is not Assertion.UNMENTIONED
            }
        if self.note:
            warnings.append(("drawings", self.note))
        return {
            "format": FORMAT,
            "study_id": one.study.study_id,
            "files": [plain_film(film) for film in one.films],
            **self.facts,
            "report": plain["report"],
            "sentences": plain["sentences"],
            "findings": findings,
            "warnings": [{"kind": kind, "text": text} for kind, text in warnings],
            "hypotheses": plain["hypotheses"],
        }


def reader_of(
    loaded: Sequence[ReportCheckpoint],
    search: Search,
    n_best: int,
    device: Any,
    decode: str,
    strict: bool = False,
) -> Reader:
    """A model, or several that write together, ready to read on a device.

    The films that it knows are those of the first.

    Raises `OptionError` or `CheckpointError` where they do not fit together, and where `strict` is
    asked of a model that does not remember its training films.
    """
    import xray_report
    from xray_report.inference.checkpoint import joint_decoder, longest_report, model_note
    from xray_report.inference.generator import ReportGenerator
    from xray_report.models.encoders.extractor import FeatureExtractor

    first = loaded[0]
    if strict and first.films is None:
        raise OptionError(
            f"--strict: {first.path} keeps no statistics of the films of its training, so that no "
            "film can be told from them: train again on more films, or leave --strict out"
        )
    generator = ReportGenerator(
        None,
        joint_decoder(loaded),
        first.tokenizer,
        search,
        batch_size=BATCH,
        max_length=longest_report(loaded),
    )
    checkpoints = [{"path": str(one.path), "sha256": one.sha256} for one in loaded]
    facts = {"checkpoints": checkpoints, "version": xray_report.__version__, "decode": decode}
    extractor = FeatureExtractor(first.model.encoder, device, first.about["precision"])
    note = model_note(loaded)
    return Reader(extractor, generator, n_best, facts, note, first.films, strict)


def load_study(study: Study, size: int) -> Loaded:
    """The pixels of a study's two views at the encoder's size; what cannot be read is noted."""
    import torch

    from xray_report.data.images import resize_gray
    from xray_report.data.study import pair_views

    images = torch.zeros(2, size, size, dtype=torch.uint8)
    view_mask = torch.zeros(2, dtype=torch.bool)
    films, pair = [], pair_views(study)
    for image in study.images:
        slot = next((slot for slot in range(2) if pair[slot] is image), None)
        error = ""
        if slot is not None:
            try:
                images[slot] = torch.from_numpy(resize_gray(image.pixels.load(), size))
                view_mask[slot] = True
            except (ImageError, MissingExtraError) as mistake:
                error = str(mistake)
        films.append(Film(image, slot, error))
    return Loaded(study, films, images, view_mask)


def read_all(reader: Reader, studies: Sequence[Study], strict: bool) -> Iterator[Reading]:
    """Read studies batch by batch, the next one being loaded meanwhile; tell how far it is.

    Raises `XrayReportError` for a film that cannot be read where `strict`; else it is named.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    shown = len(studies) > 1 and console.is_terminal
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        Progress(transient=True, console=console, disable=not shown) as progress,
    ):
        task, done = progress.add_task("Reading studies", total=len(studies)), 0
        for batch in _loaded(pool, studies, reader.extractor.size):
            for error in (film.error for one in batch for film in one.films if film.error):
                if strict:
                    raise ImageError(error)
                console.print(f"error: {error}")
            for one in batch:
                if not one.films:
                    console.print(f"error: study {one.study.study_id} has no image")
            yield from reader.read(batch)
            progress.advance(task, len(batch))
            tenth, done = done * 10 // len(studies), done + len(batch)
            if not shown and tenth < done * 10 // len(studies) < 10:
                console.print(f"{done} of {len(studies)} studies read")


def _loaded(
    pool: ThreadPoolExecutor, studies: Sequence[Study], size: int
) -> Iterator[list[Loaded]]:
    """Loaded studies, a batch at a time; while one is in use the next is being loaded."""
    starts = range(0, len(studies), BATCH)
    parts = ([pool.submit(load_study, one, size) for one in studies[i : i + BATCH]] for i in starts)
    coming = next(parts, None)
    while coming is not None:
        following = next(parts, None)
        yield [one.result() for one in coming]
        coming = following


# What is said of a study.

FORMAT = 1
"""Of the JSON; changes where a reader of it must."""
REFUSED = {
    "modality": "an image's DICOM tags say that it is no projection film",
    "body_part": "an image's DICOM tags name another part of the body than the chest",
    "tagged_view": "an image is read as one view, and its DICOM tags name the other",
    "flat": "an image shows nothing: it is of (nearly) one grey level",
    "noise": "an image is noise: neighbouring pixels have nothing to do with each other",
    "inverted": "black and white of an image are exchanged, against the films of training",
    "turned": "an image is turned by 90 or 180 degrees, against the films of training",
    "swapped": "an image is read as one view, and looks like the other",
    "unlike": "an image is unlike the films of training: no chest film, or one of another kind",
}
"""Kinds of warnings that say that an image is no film that the model knows: --strict refuses it."""
WARNINGS = {
    **REFUSED,
    "unchecked": "it is not known what films the model knows: its training kept too few, or none",
    "unreadable": "an image of the study cannot be read",
    "missing_view": "the study has no image of one of the two views",
    "unknown_view": "nothing trusted says which view an image is, and it is read as one",
    "not_read": "an image is left out, since there is another of its view",
    "cut": "the report was cut at the longest length it may have",
    "repeated": "a sentence stands in the report three times, or words do so in a row",
    "drawings": "the model has learnt from drawings alone",
}
"""Kinds of warnings, and what they mean."""

_TEXT = {"type": "string"}
_NUMBER = {"type": ["number", "null"], "maximum": 0}


def _object(**properties: Any) -> dict[str, Any]:
    """Schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of}


SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "One study as `xray-report predict` writes it: --json, a line of --out .jsonl",
    **_object(
        format={"const": FORMAT},
        study_id=_TEXT,
        files=_list(
            _object(
                path=_TEXT,
                view={"enum": ["frontal", "lateral", "unknown"]},
                view_from={**_TEXT, "description": "given, table, name, dicom, projections, none"},
                read_as={"enum": [*SLOTS, None]},
                error={"type": ["string", "null"]},
            )
        ),
        checkpoints=_list(_object(path=_TEXT, sha256={**_TEXT, "pattern": "^[0-9a-f]{64}$"})),
        version=_TEXT,
        decode={"enum": list(SEARCHES)},
        report={
            "type": ["string", "null"],
            "description": "null where no image of the study could be read, or --strict refused "
            "one: files[].error or warnings say why, or files is empty",
        },
        sentences=_list(
            _object(
                text=_TEXT,
                confidence={
                    "type": "number",
                    "minimum": 0,
                    "maximum": 1,
                    "description": "mean probability of the sentence's words",
                },
            )
        ),
        findings={
            "type": "object",
            "description": "CheXpert class: what the labeller reads; classes not mentioned are out",
            "additionalProperties": {"enum": ["present", "uncertain", "absent"]},
        },
        warnings=_list(_object(kind={"enum": list(WARNINGS)}, text=_TEXT)),
        hypotheses=_list(
            _object(
                report=_TEXT,
                text={**_TEXT, "description": "as the model writes it"},
                score={
                    "type": ["number", "null"],
                    "description": "what the search ranks by: of greedy and beam a log-probability "
                    "divided by length, of consensus the agreement, 0 to 1",
                },
                log_prob=_NUMBER,
                finished={"type": "boolean"},
                words=_list(_object(word=_TEXT, log_prob=_NUMBER)),
                end_log_prob=_NUMBER,
            )
        ),
    ),
}
"""JSON Schema of a record, printed by --schema."""


def plain_film(film: Film) -> dict[str, str | None]:
    """One of a record's files."""
    from xray_report.data.study import View

    return {
        "path": film.path,
        "view": View(film.image.view).value,
        "view_from": film.image.view_from,
        "read_as": None if film.slot is None or film.error else SLOTS[film.slot],
        "error": film.error or None,
    }


def refusal(record: Mapping[str, Any]) -> str:
    """Why --strict refuses a study, or ""."""
    return "; ".join(one["text"] for one in record["warnings"] if one["kind"] in REFUSED)


def film_warnings(films: Sequence[Film]) -> Iterator[tuple[str, str]]:
    """Kind and sentence of what is wrong with the images of a study."""
    from xray_report.data.study import View

    for film in films:
        if film.error:
            yield "unreadable", film.error
    for slot, name in enumerate(SLOTS):
        if all(film.slot != slot for film in films):
            yield "missing_view", f"the study has no {name} image"
    for film in films:
        if film.slot is None:
            view = View(film.image.view)
            other = "two others" if view is View.UNKNOWN else f"another {view.value} image"
            yield "not_read", f"{film.path} is not read: the study has {other}"
        elif View(film.image.view) is View.UNKNOWN and not film.error:
            told = f"{film.path} is read as {SLOTS[film.slot]}: nothing trusted says its view"
            yield "unknown_view", told


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
    readings: Iterable[Reading],
    reader: Reader,
    out: Path | None,
    json: Path | None,
    alone: bool,
    total: int,
) -> Counts:
    """Write readings as they come to where they were asked for, and count them."""
    counts = Counts()
    counted = map(counts.count, readings)
    if out is None:
        for reading in counted:
            show(reading, json, alone)
    elif out.suffix.lower() == ".html":
        write_html(out, counted, reader, total)
    elif out.suffix.lower() == ".csv":
        write_csv(out, counted)
    else:
        write_lines(out, counted)
    return counts


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
        plural = "study" if counts.studies == 1 else "studies"
        typer.echo(f"{counts.studies} {plural} read{where}{warned}", err=True)
    if reader.note:
        typer.echo(f"note: {reader.note}", err=True)
    if counts.refused:
        typer.echo(
            f"error: {counts.refused} of {counts.studies} studies refused (--strict), each with "
            "its reason among its warnings",
            err=True,
        )
    if counts.films or counts.without:
        typer.echo(
            f"error: {counts.films} films could not be read (named above), {counts.without} of "
            f"{counts.studies} studies have no report",
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
    summary = [f"Reports of {total} {'study' if total == 1 else 'studies'}, written by a machine."]
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
