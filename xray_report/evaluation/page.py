"""report.html: the worst studies of an evaluation with their attention, and the scores.

One self-contained page that opens offline: pictures are part of it, its style is report.css.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image
from torch import Tensor

from xray_report.evaluation.differences import (
    FindingDifferences,
    compare_findings,
    findings_in,
    in_words,
)
from xray_report.evaluation.run import Decoded, EvaluationOptions, about_texts
from xray_report.evaluation.tables import held_classes, table_rows
from xray_report.files import replacing
from xray_report.inference.attention_picture import most_focused, overlay
from xray_report.inference.generator import Report, ReportGenerator
from xray_report.inference.search import SearchOptions
from xray_report.metrics.diagnostics import warnings_of
from xray_report.metrics.findings.labeller import finding_words
from xray_report.metrics.findings.scores import RATIOS
from xray_report.text.cleaning import split_sentences

NOT_CLINICAL = "Research software, not for clinical use."
VIEW_NAMES = ("frontal", "lateral")
ATTENTION_PICTURES = 4
"""Words of a report whose attention is shown."""

# What the page shows.


@dataclass(frozen=True)
class Picture:
    """An image, uint8 [1 or 3, H, W], and its caption."""

    caption: str
    image: Tensor


@dataclass(frozen=True)
class PageStudy:
    """One study to show.

    Args:
        study_id: of the study.
        reference, hypothesis: texts for people; reference None where there is nothing to compare
            with.
        views: the images it has.
        attention: of single words.
        warnings: what is wrong with it in words, `NAME: what`.
    """

    study_id: str
    reference: str | None
    hypothesis: str
    views: Sequence[Picture]
    attention: Sequence[Picture] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class PageHead:
    """The top of the page.

    Args:
        title: what was evaluated, such as the checkpoint and the split.
        notices: sentences that stand out.
        warnings: what is wrong with the model in words, `NAME: what`.
        summary: further sentences.
        tables: markup, as `score_tables` makes it.
        details: what was evaluated, and how, by name.
    """

    title: str
    notices: Sequence[str] = ()
    warnings: Sequence[str] = ()
    summary: Sequence[str] = ()
    tables: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


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
    """Write report.html with the studies whose reports get the most findings wrong.

    Args:
        path: of the page.
        system: what a table calls the model.
        options: of the evaluation; they say how many studies are shown.
        metrics, decoded: what it gave.
        generator: decodes again, with attention.
        about: what was evaluated, as `run.record` says it.
        note: on the data.
    """
    pairs = zip(decoded.references, decoded.reports, strict=True)
    wrong = [compare_findings(truth, report.readable).mistakes for truth, report in pairs]
    worst = sorted(range(len(wrong)), key=lambda i: -wrong[i])[: options.page_studies]
    order = (
        f"{wrong.count(0)} of {len(wrong)} reports hold no mistake in their findings; "
        f"below are {len(worst)}, the worst first."
    )
    head = PageHead(
        f"{system}, {options.split} split",
        [part for part in (note, NOT_CLINICAL) if part],
        list(warnings_of(metrics).values()),
        [*score_sentences(metrics), order],
        score_tables(metrics, system),
        about_texts(about),
    )
    attentive = _with_attention(generator)
    write_page(path, head, (_page_study(decoded, attentive, i) for i in worst))


def _with_attention(generator: ReportGenerator) -> ReportGenerator:
    search = generator.search
    if isinstance(search, SearchOptions):
        search = replace(search, return_attention=True)
    return ReportGenerator(generator.encoder, generator.decoder, generator.tokenizer, search)


def _page_study(decoded: Decoded, attentive: ReportGenerator, index: int) -> PageStudy:
    report, seen = _decode_again(attentive, decoded, index)
    images = decoded.dataset.gray([decoded.rows[index]])[0]
    return PageStudy(
        report.study_id,
        decoded.references[index],
        report.readable,
        [Picture(VIEW_NAMES[slot], images[slot : slot + 1]) for slot in seen],
        attention_pictures(images[seen], seen, report),
        [
            f"{kind.replace('_', ' ')}: {text}"
            for kind, text in decoded.warnings.get(report.study_id, {}).items()
        ],
    )


def _decode_again(
    generator: ReportGenerator, decoded: Decoded, index: int
) -> tuple[Report, list[int]]:
    """The same report with its attention (kept for all studies it would fill memory).

    Beside it the slots of the views that the study has.
    """
    batch = decoded.dataset.__getitems__([decoded.rows[index]])
    assert batch.features is not None
    report = generator.generate(
        features=batch.features.float().to(decoded.device),
        view_mask=batch.view_mask.to(decoded.device),
        study_ids=[decoded.reports[index].study_id],
    )[0]
    return report, batch.view_mask[0].nonzero().flatten().tolist()


def attention_pictures(images: Tensor, seen: list[int], report: Report) -> list[Picture]:
    """Pictures of the words that name findings, or else of those with the narrowest attention.

    Args:
        images: uint8 [V, S, S], the views that the study has.
        seen: their slots in the report's attention [pieces, 2, h, w].
    """
    if report.attention is None:
        return []
    words = report.pieces
    narrowest = most_focused(words, report.attention.flatten(1).numpy(), ATTENTION_PICTURES)
    chosen = finding_words(words)[:ATTENTION_PICTURES] or narrowest
    return [
        Picture(f"looked here for “{words[at]}”", overlay(images, report.attention[at, seen]))
        for at in chosen
    ]


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


def score_tables(metrics: Mapping[str, float], system: str) -> str:
    """Markup: the system beside its baselines, and class by class."""
    rows = [
        [ROW_TITLES.get(name, name), *(_cell(metrics, prefix + key) for key in SCORE_COLUMNS)]
        for name, prefix in table_rows(metrics, system)
    ]
    classes = [
        [name.replace("_", " "), f"{metrics[f'findings/{name}/studies']:.0f}"]
        + [_cell(metrics, f"findings/{name}/{ratio}") for ratio in RATIOS]
        for name in held_classes(metrics)
    ]
    first = _table(["", *SCORE_COLUMNS.values()], rows)
    second = _table(["finding", "studies", *RATIOS], classes)
    return f"{first}<details><summary>Findings, class by class</summary>{second}</details>"


def _cell(metrics: Mapping[str, float], key: str) -> str:
    if key not in metrics:
        return "–"
    if f"{key}_low" not in metrics:
        return f"{metrics[key]:.3f}"
    low, high = metrics[f"{key}_low"], metrics[f"{key}_high"]
    return f"{metrics[key]:.3f}<small>{low:.3f} to {high:.3f}</small>"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr><td>{escape(first)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for first, *cells in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll">{table}</div>'


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


# The markup.

JPEG_QUALITY = 85
EMPTY = '<span class="soft">(empty)</span>'
LEGEND = {
    "agreed": "in both reports",
    "altered": "side, zone or size differ",
    "missed": "missed: in the reference alone",
    "invented": "invented: in the generated report alone",
}

PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
$style</style></head><body>
<h1>$title</h1>
<p class="notice">$notices</p>
$warnings
$tables
<p>$summary</p>
$details
$studies
</body></html>
""")

STUDY = Template("""<article><header><h2>$study</h2><span class="soft">$mistakes</span></header>
$warnings<div class="study"><div class="views">$views</div>
<div><h3>Generated</h3><p>$hypothesis</p>
$reference
<h3>Findings</h3>$findings</div></div>
$attention</article>
""")


def write_page(path: Path, head: PageHead, studies: Iterable[PageStudy]) -> None:
    """Write the page, the studies in the order given."""
    page = PAGE.substitute(
        title=escape(head.title),
        style=files(__package__).joinpath("report.css").read_text(encoding="utf-8"),
        notices=escape(" ".join(head.notices)),
        warnings="".join(map(_warning, head.warnings)),
        summary=escape(" ".join(head.summary)),
        tables=head.tables,
        details=_details(head.details),
        studies="".join(_with_legend(studies)),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _details(details: Mapping[str, str]) -> str:
    if not details:
        return ""
    table = _table(["", ""], [[name, escape(value)] for name, value in details.items()])
    return f"<details><summary>What was evaluated, and how</summary>{table}</details>"


def _warning(text: str) -> str:
    name, _, rest = text.partition(":")
    return f'<p class="warning" role="alert"><b>{escape(name)}:</b>{escape(rest)}</p>'


def _with_legend(studies: Iterable[PageStudy]) -> Iterator[str]:
    """Markup of the studies, before them what the colours mean where there are any."""
    for number, study in enumerate(studies):
        if number == 0 and study.reference is not None:
            yield _chips(LEGEND.items())
        yield _study(study)


def _study(study: PageStudy) -> str:
    pictures = "".join(map(_figure, study.attention))
    return STUDY.substitute(
        study=escape(study.study_id),
        warnings="".join(map(_warning, study.warnings)),
        views="".join(map(_figure, study.views)),
        attention=f'<div class="attention">{pictures}</div>' if pictures else "",
        **(_alone(study.hypothesis) if study.reference is None else _compared(study)),
    )


def _alone(hypothesis: str) -> dict[str, str]:
    """What a report says where there is none to compare it with."""
    found = (("", in_words(fact)) for fact in sorted(findings_in(hypothesis)))
    return {
        "mistakes": "",
        "hypothesis": escape(hypothesis) or EMPTY,
        "reference": "",
        "findings": _chips(found) or '<p class="soft">nothing abnormal</p>',
    }


def _compared(study: PageStudy) -> dict[str, str]:
    """How a report differs from its reference."""
    reference = study.reference or ""
    found = compare_findings(reference, study.hypothesis)
    number = found.mistakes
    return {
        "mistakes": "no mistake" if not number else f"{number} mistake{'s' * (number > 1)}",
        "hypothesis": _marked(study.hypothesis, found, "invented"),
        "reference": f"<h3>Reference</h3><p>{_marked(reference, found, 'missed')}</p>",
        "findings": _chips(_named(found)) or '<p class="soft">nothing abnormal in either</p>',
    }


def _named(found: FindingDifferences) -> Iterable[tuple[str, str]]:
    for truth, other in found.altered:
        yield "altered", f"{in_words(other)} (reference: {in_words(truth)})"
    for kind in ("missed", "invented", "agreed"):
        yield from ((kind, in_words(fact)) for fact in getattr(found, kind))


def _chips(items: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f'<li class="{kind} sign">{escape(text)}</li>' for kind, text in items)
    return f"<ul>{rows}</ul>" if rows else ""


def _marked(text: str, found: FindingDifferences, alone: str) -> str:
    """A text whose sentences are coloured by how their findings compare with the other's.

    Args:
        alone: `missed` or `invented`: the colour of findings that are in this text alone.
    """
    if not text.strip():
        return EMPTY
    return " ".join(_sentence(sentence, found, alone) for sentence in split_sentences(text))


def _sentence(sentence: str, found: FindingDifferences, alone: str) -> str:
    findings = findings_in(sentence)
    if not findings:
        return escape(sentence)
    if findings & set(found.missed + found.invented):
        kind = alone
    else:
        kind = "agreed" if findings <= set(found.agreed) else "altered"
    return f'<mark class="{kind}" title="{LEGEND[kind]}">{escape(sentence)}</mark>'


def _figure(picture: Picture) -> str:
    """A picture inside the page itself, its caption below."""
    pixels = picture.image.permute(1, 2, 0).squeeze(-1).cpu().numpy()
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=JPEG_QUALITY)
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"
    caption = escape(picture.caption)
    return (
        f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )
