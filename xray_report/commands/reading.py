"""From films to reports and their records: what `predict`, `demo` and programs have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xray_report.errors import ImageError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from torch import Tensor

    from xray_report.data.study import Pixels, Study, StudyImage
    from xray_report.inference.checkpoint import ReportCheckpoint
    from xray_report.inference.film_check import FilmStatistics
    from xray_report.inference.generator import Report, ReportGenerator
    from xray_report.inference.search import Search
    from xray_report.models.encoders.extractor import FeatureExtractor
    from xray_report.text.tokenizer import Tokenizer

SEARCHES = ("greedy", "beam", "consensus")
AMONG_REPORTS = "consensus among reports"
"""What a record calls consensus where people's reports are the candidates."""
BEAM_WIDTH = 5
BATCH = 64
"""Studies encoded and decoded at once, while the next ones are loaded."""
SLOTS = ("frontal", "lateral")
"""Views of a study, in the order of its images."""

# What is asked for.


def study_of(frontal: Pixels | None, lateral: Pixels | None) -> Study:
    """A study of these images, either of which may be missing."""
    from xray_report.data.study import Study, StudyImage, View

    views = ((frontal, View.FRONTAL), (lateral, View.LATERAL))
    images = (StudyImage(image, view, "given") for image, view in views if image is not None)
    return Study("study", images=tuple(images))


def search_of(
    decode: str,
    width: int | None,
    penalty: float | None,
    n_best: int,
    attention: bool,
    reports: bool = False,
) -> Search:
    """The search of that name, choosing among `reports` that are given or not.

    Raises `OptionError` for an option that it would not read.
    """
    from xray_report.inference.beam import BeamSearch
    from xray_report.inference.consensus import KEPT, ConsensusSearch
    from xray_report.inference.greedy import GreedySearch
    from xray_report.options import check_choice, check_count

    check_choice("--decode", decode, SEARCHES)
    check_count("n_best", n_best)
    if reports and decode != "consensus":
        raise OptionError(f"--reports is of --decode consensus: leave it out with {decode}")
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
    if reports:  # held against what the model would say, not against what it would say first
        search = replace(search, candidates="reports", n_candidates=64, temperature=1.0)
    most = KEPT if reports else search.n_candidates
    if n_best > most:
        also = " --reports FILE" if reports else ""
        raise OptionError(f"n_best must be at most {most} with --decode consensus{also}")
    return search


# The model: from films to reports.


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
        from xray_report.metrics.findings.labeller import mentioned_classes

        warnings = [*film_warnings(one.films), *unknown]
        plain: dict[str, Any] = {"report": None, "sentences": [], "hypotheses": []}
        findings: dict[str, str] = {}
        if report is not None:
            shown = report._replace(hypotheses=report.hypotheses[: self.n_best])
            plain = plain_report(shown, self.tokenizer)
            looked = sentence_attention(report, self.tokenizer, one.view_mask)
            for sentence, where in zip(plain["sentences"], looked, strict=True):
                sentence["attention"] = where
            warnings += text_warnings(report, self.tokenizer).items()
            findings = mentioned_classes(report.readable)
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
    reports: Sequence[str] = (),
) -> Reader:
    """A model, or several that write together, ready to read on a device.

    The films that it knows are those of the first. Consensus chooses among `reports`, if given.

    Raises `OptionError` or `CheckpointError` where they do not fit together, and where `strict` is
    asked of a model that does not remember its training films.
    """
    import xray_report
    from xray_report.inference.checkpoint import joint_decoder, longest_report, model_note
    from xray_report.inference.consensus import ConsensusSearch
    from xray_report.inference.generator import ReportGenerator
    from xray_report.models.encoders.extractor import FeatureExtractor

    first = loaded[0]
    if strict and first.films is None:
        raise OptionError(
            f"--strict: {first.path} keeps no statistics of the films of its training, so that no "
            "film can be told from them: train again on more films, or leave --strict out"
        )
    if reports and isinstance(search, ConsensusSearch):
        search = search.choosing_among(reports, first.tokenizer, longest_report(loaded))
        decode = AMONG_REPORTS
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


# The record: what is said of a study.

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
        decode={"enum": [*SEARCHES, AMONG_REPORTS]},
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
                attention={
                    "type": ["object", "null"],
                    "description": "shares of attention, the mean of the sentence's words, of each "
                    "view's locations, row by row; null for a view that is missing, and as a whole "
                    "of a model that has none. All of both views add up to 1",
                    "properties": {
                        name: {"type": ["array", "null"], "items": _list({"type": "number"})}
                        for name in SLOTS
                    },
                    "required": list(SLOTS),
                    "additionalProperties": False,
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


def sentence_attention(
    report: Report, tokenizer: Tokenizer, view_mask: Tensor
) -> Iterator[dict[str, list[list[float]] | None] | None]:
    """Where the model looked for each sentence: shares of a view's locations, rows of columns.

    The mean over the sentence's words, all locations of both views summing to 1; None for a view
    that the study does not have, and where the report was written without keeping attention.
    """
    from xray_report.inference.generator import worded_sentences

    for _, words in worded_sentences(report.hypotheses[0], tokenizer):
        if report.attention is None:
            yield None
            continue
        tokens = sorted({token for word in words for token in word.tokens})
        maps = report.attention[tokens].mean(0)
        yield {
            name: [[round(one, 5) for one in row] for row in view.tolist()] if seen else None
            for name, view, seen in zip(SLOTS, maps, view_mask.tolist(), strict=True)
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
