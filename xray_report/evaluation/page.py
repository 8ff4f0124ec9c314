"""report.html: every study of an evaluation beside its reference, with films and attention.

One self-contained page that opens offline: pictures, style and script are part of it. What it looks
like is said in templates/, jinja2 with every text escaped.
"""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from xray_report.data.study import StudyImage, ViewPair
from xray_report.errors import XrayReportError
from xray_report.evaluation.differences import (
    FindingDifferences,
    compare_findings,
    denies,
    findings_in,
    in_words,
)
from xray_report.evaluation.run import Decoded, EvaluationOptions, about_texts
from xray_report.evaluation.tables import held_classes, table_rows
from xray_report.files import replacing
from xray_report.inference.attention_picture import FULL_HEAT, heat, most_focused
from xray_report.inference.generator import Report, ReportGenerator
from xray_report.inference.search import SearchOptions
from xray_report.metrics.diagnostics import warnings_of
from xray_report.metrics.findings.labeller import finding_words
from xray_report.metrics.findings.scores import RATIOS
from xray_report.text.cleaning import split_sentences

NOT_CLINICAL = "Research software, not for clinical use."
ATTENTION_WORDS = 6
"""Words of a report whose attention is shown."""
FILM_SIZE = 384
"""Longer side of a film on the page, in pixels."""

# What the page shows.


@dataclass(frozen=True)
class Picture:
    """A film, uint8 [1, H, W], and its caption."""

    caption: str
    image: Tensor


@dataclass(frozen=True)
class WordAttention:
    """Where the model looked for a word: attention [V, h, w] over a study's V films.

    As multiples of what each place would get if it were spread evenly over all films.
    """

    word: str
    share: Tensor


@dataclass(frozen=True)
class PageStudy:
    """One study to show.

    Args:
        study_id: of the study.
        reference, hypothesis: texts for people; reference None where there is nothing to compare
            with.
        views: the films it has.
        attention: of single words, over those films.
        warnings: what is wrong with it in words, `NAME: what`.
    """

    study_id: str
    reference: str | None
    hypothesis: str
    views: Sequence[Picture] = ()
    attention: Sequence[WordAttention] = ()
    warnings: Sequence[str] = ()


class PageTable(NamedTuple):
    """A table: column titles, if it has any, and rows, each cell a text or (number, interval)."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | tuple[str, str]]]


@dataclass(frozen=True)
class PageHead:
    """The top of the page.

    Args:
        title: what was evaluated, such as the checkpoint and the split.
        notices: sentences that stand out.
        warnings: what is wrong with the model in words, `NAME: what`.
        summary: further sentences.
        tables: the first is shown, the others are unfolded on request.
        details: what was evaluated, and how, by name.
        order: of the studies, in words.
    """

    title: str
    notices: Sequence[str] = ()
    warnings: Sequence[str] = ()
    summary: Sequence[str] = ()
    tables: Sequence[PageTable] = ()
    details: Mapping[str, str] = field(default_factory=dict)
    order: str = "as given"


def write_evaluation_page(
    path: Path,
    system: str,
    options: EvaluationOptions,
    metrics: Mapping[str, float],
    decoded: Decoded,
    generator: ReportGenerator,
    about: Mapping[str, Any],
    *,
    note: str = "",
) -> None:
    """Write report.html with all studies, those whose reports get the most findings wrong first.

    Args:
        path: of the page.
        system: what a table calls the model.
        options: of the evaluation; they say how many studies are shown with films and attention.
        metrics, decoded: what it gave.
        generator: decodes again, with attention.
        about: what was evaluated, as `run.record` says it.
        note: on the data.
    """
    pairs = zip(decoded.references, decoded.reports, strict=True)
    found = [compare_findings(truth, report.readable) for truth, report in pairs]
    worst = sorted(range(len(found)), key=lambda i: _badness(found[i]), reverse=True)
    right = sum(not one.mistakes for one in found)
    said = (
        f"{right} of {len(found)} reports hold no mistake in their findings, as rules read them. "
        "All are below, the worst first."
    )
    bare = len(found) - options.page_studies
    if bare > 0:
        said += (
            f" The {bare} with the fewest mistakes have no films here: "
            f"evaluation.page_studies={len(found)} shows all."
        )
    head = PageHead(
        f"{system}, {options.split} split",
        [part for part in (note, NOT_CLINICAL) if part],
        list(warnings_of(metrics).values()),
        [*score_sentences(metrics), said],
        score_tables(metrics, system),
        about_texts(about),
        "worst first",
    )
    write_page(path, head, _page_studies(decoded, generator, options, worst))


def _badness(found: FindingDifferences) -> tuple[int, int]:
    return found.mistakes, len(found.contradicted)


def _page_studies(
    decoded: Decoded, generator: ReportGenerator, options: EvaluationOptions, order: list[int]
) -> Iterator[PageStudy]:
    """The studies in an order of their indices, the first `options.page_studies` with films."""
    attentive, pictured = _with_attention(generator), order[: options.page_studies]
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(pictured), options.batch_size):
            indices = pictured[start : start + options.batch_size]
            again, seen = _decode_again(attentive, decoded, indices)
            views = [decoded.dataset.examples[decoded.rows[index]].views for index in indices]
            films = [
                [pool.submit(film_of, pair[slot], ViewPair._fields[slot]) for slot in slots]
                for pair, slots in zip(views, seen, strict=True)
            ]
            for index, report, slots, loading in zip(indices, again, seen, films, strict=True):
                yield replace(
                    _text_study(decoded, index),
                    views=[film.result() for film in loading],
                    # Of another batch, a near tie may end in another word.
                    attention=word_attention(report, slots)
                    if report.text == decoded.reports[index].text
                    else (),
                )
    for index in order[len(pictured) :]:
        yield _text_study(decoded, index)


def _text_study(decoded: Decoded, index: int) -> PageStudy:
    report = decoded.reports[index]
    warned = decoded.warnings.get(report.study_id, {})
    return PageStudy(
        report.study_id,
        decoded.references[index],
        report.readable,
        warnings=[f"{kind.replace('_', ' ')}: {text}" for kind, text in warned.items()],
    )


def _with_attention(generator: ReportGenerator) -> ReportGenerator:
    search = generator.search
    if isinstance(search, SearchOptions):
        search = replace(search, return_attention=True)
    return ReportGenerator(generator.encoder, generator.decoder, generator.tokenizer, search)


def _decode_again(
    generator: ReportGenerator, decoded: Decoded, indices: list[int]
) -> tuple[list[Report], list[list[int]]]:
    """The same reports with their attention (kept for all studies it would fill memory).

    Beside them the slots of the views that each study has.
    """
    batch = decoded.dataset.__getitems__([decoded.rows[index] for index in indices])
    assert batch.features is not None
    reports = generator.generate(
        features=batch.features.float().to(decoded.device),
        view_mask=batch.view_mask.to(decoded.device),
        study_ids=[decoded.reports[index].study_id for index in indices],
    )
    return reports, [mask.nonzero().flatten().tolist() for mask in batch.view_mask]


def film_of(image: StudyImage | None, name: str) -> Picture:
    """An image of a study in its own proportions, its longer side at most `FILM_SIZE` pixels.

    One that cannot be read any more is black, and its caption says so.
    """
    try:
        assert image is not None  # the slot is one that was read
        film = Image.fromarray(image.pixels.load())
    except XrayReportError:
        return Picture(f"{name} (cannot be read now)", torch.zeros(1, 64, 64, dtype=torch.uint8))
    film.thumbnail((FILM_SIZE, FILM_SIZE))
    return Picture(name, torch.from_numpy(np.array(film))[None])


def word_attention(report: Report, seen: Sequence[int]) -> list[WordAttention]:
    """Attention of the words that name findings, or else of those with the narrowest one.

    Args:
        report: with attention [pieces, 2, h, w], or without any, and then there is nothing to show.
        seen: slots of the views that the study has.
    """
    if report.attention is None:
        return []
    words = report.pieces
    narrowest = most_focused(words, report.attention.flatten(1).numpy(), ATTENTION_WORDS)
    chosen = finding_words(words)[:ATTENTION_WORDS] or narrowest
    places = len(seen) * report.attention[0, 0].numel()
    return [
        WordAttention(_numbered(words, at), report.attention[at, list(seen)] * places)
        for at in chosen
    ]


def _numbered(words: Sequence[str], at: int) -> str:
    """A word, and which of its kind it is where the report has several."""
    word = words[at].strip()
    if [one.strip() for one in words].count(word) == 1:
        return word
    return f"{word} ({[one.strip() for one in words[: at + 1]].count(word)})"


# The scores.

SCORE_COLUMNS = {
    "clean/bleu4": "BLEU-4",
    "clean/rouge_l": "ROUGE-L",
    "clean/cider": "CIDEr",
    "findings/micro_f1": "findings F1",
    "facts/f1": "fact F1",
}
ROW_TITLES = {
    "exchanged": "the same, images exchanged",
    "constant": "one fixed report for all",
    "most frequent": "most frequent training report",
    "random": "random training reports",
    "nearest": "report of the nearest training study",
    "two constants": "two fixed reports, normal and abnormal",
    "ceiling*": "ceiling: the truth in other words",
}


def score_tables(metrics: Mapping[str, float], system: str) -> list[PageTable]:
    """The system beside its baselines, and class by class."""
    rows = [
        [ROW_TITLES.get(name, name), *(_cell(metrics, prefix + key) for key in SCORE_COLUMNS)]
        for name, prefix in table_rows(metrics, system)
    ]
    classes = [
        [
            name.replace("_", " "),
            f"{metrics[f'findings/{name}/studies']:.0f}",
            *(_cell(metrics, f"findings/{name}/{ratio}") for ratio in RATIOS),
        ]
        for name in held_classes(metrics)
    ]
    return [
        PageTable("Scores", ["", *SCORE_COLUMNS.values()], rows),
        PageTable("Findings, class by class", ["finding", "studies", *RATIOS], classes),
    ]


def _cell(metrics: Mapping[str, float], key: str) -> str | tuple[str, str]:
    if key not in metrics:
        return "–"
    if f"{key}_low" not in metrics:
        return f"{metrics[key]:.3f}"
    low, high = metrics[f"{key}_low"], metrics[f"{key}_high"]
    return f"{metrics[key]:.3f}", f"{low:.3f} to {high:.3f}"


def score_sentences(metrics: Mapping[str, float]) -> list[str]:
    """What the tables leave out, in words."""
    found = ["Protocol clean; fractions (CIDEr 0 to 10) with 95 % intervals over studies."]
    if "collapse/distinct_reports" in metrics:
        found.append(
            f"{metrics['collapse/distinct_reports']:.0f} different reports for "
            f"{metrics['studies']:.0f} studies (the references hold "
            f"{metrics['collapse/reference_distinct_reports']:.0f}); the most frequent one is "
            f"given to {metrics['collapse/most_frequent_share']:.0%}."
        )
    return found


# Kinds of findings, and the sentences and marks they make.

LEGEND = {
    "contradicted": "present in one report, denied in the other",
    "altered": "in both reports, with another side, zone or size",
    "missed": "in the reference alone",
    "invented": "in the generated report alone",
    "agreed": "in both reports",
}
SIGNS = {"contradicted": "≠", "altered": "≈", "missed": "−", "invented": "+", "agreed": "✓"}


def by_kind(found: FindingDifferences) -> Iterator[tuple[str, str, str]]:
    """Kind, finding and words of all findings of two reports, the worst kind first."""
    for fact in found.contradicted:
        denier = "generated report" if fact in found.missed else "reference"
        yield "contradicted", fact.finding, f"{in_words(fact)} (the {denier} denies it)"
    for truth, other in found.altered:
        yield "altered", truth.finding, f"{in_words(other)} (reference: {in_words(truth)})"
    for kind in ("missed", "invented", "agreed"):
        for fact in getattr(found, kind):
            if fact not in found.contradicted:
                yield kind, fact.finding, in_words(fact)


def _marked(text: str, found: FindingDifferences, own: str) -> list[tuple[str, str]]:
    """The sentences of a text, each with the kind of its findings; "" where it has none.

    Args:
        own: `missed` or `invented`: the kind of findings that are in this text alone.
    """
    return [(_kind(sentence, found, own), sentence) for sentence in split_sentences(text)]


def _kind(sentence: str, found: FindingDifferences, own: str) -> str:
    """The worst first, so that a contradiction is marked in both texts, whatever else is said."""
    findings, alone = findings_in(sentence), set(getattr(found, own))
    others = [fact for fact in found.contradicted if fact not in alone]
    if findings & alone & set(found.contradicted) or any(denies(sentence, one) for one in others):
        return "contradicted"
    if findings & alone:
        return own
    if not findings:
        return ""
    return "agreed" if findings <= set(found.agreed) else "altered"


# The page.

JPEG_QUALITY = 80


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals.update(LEGEND=LEGEND, SIGNS=SIGNS)
    return found


def write_page(path: Path, head: PageHead, studies: Iterable[PageStudy]) -> None:
    """Write the page, the studies in the order given, one at a time."""
    templates = _templates()
    sources = [_source(templates, name) for name in ("report.css", "report.js")]
    ramp = torch.logspace(0, math.log2(FULL_HEAT), 64, base=2)[None]
    page = templates.get_template("page.html").generate(
        head=head,
        warnings=[_parts(text) for text in head.warnings],
        details=PageTable("What was evaluated, and how", (), list(head.details.items())),
        digests=[_digest(text) for text in sources],
        style=sources[0],
        script=sources[1],
        scale_source=_heat_source(ramp),
        scale_end=FULL_HEAT,
        studies=map(_study, studies),
    )
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(page)


def _source(templates: Environment, name: str) -> Markup:
    """One of our own files as it stands, to be part of the page."""
    assert templates.loader is not None
    return Markup(templates.loader.get_source(templates, name)[0])


def _digest(text: str) -> str:
    """What the page's policy knows its own style or script by: no other one is run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _parts(warning: str) -> tuple[str, str]:
    name, _, rest = warning.partition(":")
    return name, rest


def _study(study: PageStudy) -> Markup:
    text = (
        _templates()
        .get_template("study.html")
        .render(
            study=study,
            warnings=[_parts(text) for text in study.warnings],
            films=[_film(picture) for picture in study.views],
            words=[
                {"text": one.word, "sources": [_heat_source(share) for share in one.share]}
                for one in study.attention
            ],
            **(_alone(study.hypothesis) if study.reference is None else _compared(study)),
        )
    )
    return Markup(text)  # what came from elsewhere was escaped in it


def _alone(hypothesis: str) -> dict[str, Any]:
    """What a report says where there is none to compare it with."""
    facts = sorted(findings_in(hypothesis))
    return {
        "differs": "",
        "mistakes": 0,
        "marks": " ".join(f"present:{fact.finding}" for fact in facts),
        "reference": [],
        "hypothesis": [("", sentence) for sentence in split_sentences(hypothesis)],
        "findings": [("present", in_words(fact)) for fact in facts],
    }


def _compared(study: PageStudy) -> dict[str, Any]:
    """How a report differs from its reference."""
    reference = study.reference or ""
    found = compare_findings(reference, study.hypothesis)
    number, worst = found.mistakes, len(found.contradicted)
    kinds = list(by_kind(found))
    marks = [f"{kind}:{finding}" for kind, finding, _ in kinds]
    if not number:
        marks += [f"none:{finding}" for _, finding, _ in kinds] or ["none:"]
    differs = f"{number} mistake{'s' * (number > 1)}" if number else "no mistake"
    return {
        "differs": f"{differs}, {worst} contradicted" if worst else differs,
        "mistakes": number,
        "marks": " ".join(marks),
        "reference": _marked(reference, found, "missed"),
        "hypothesis": _marked(study.hypothesis, found, "invented"),
        "findings": [(kind, words) for kind, _, words in kinds],
    }


def _film(picture: Picture) -> dict[str, Any]:
    """A film inside the page itself."""
    pixels = Image.fromarray(picture.image[0].cpu().numpy())
    return {
        "caption": picture.caption,
        "source": data_address(pixels, "JPEG"),
        "width": pixels.width,
        "height": pixels.height,
    }


def _heat_source(share: Tensor) -> str:
    """Attention [h, w] as a picture of as many pixels, which the browser spreads smoothly."""
    return data_address(Image.fromarray(heat(share).numpy(), "RGBA"), "PNG")


def data_address(picture: Image.Image, kind: str) -> str:
    """A `data:` address that holds a picture as JPEG or PNG."""
    file = io.BytesIO()
    picture.save(file, kind, quality=JPEG_QUALITY, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
