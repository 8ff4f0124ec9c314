"""The worst studies of an evaluation, drawn with the attention of their reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from xray_report.evaluation.differences import differences
from xray_report.evaluation.html import PageHead, PageStudy, Picture, write_page
from xray_report.evaluation.run import Decoded
from xray_report.evaluation.scores import score_sentences, score_tables
from xray_report.inference.attention_picture import overlay, telling_words
from xray_report.inference.generator import Report, ReportGenerator
from xray_report.inference.options import SearchOptions
from xray_report.metrics.findings.labeller import finding_words
from xray_report.metrics.verdicts import verdicts

VIEWS = ("frontal", "lateral")
WORDS = 4
NOT_CLINICAL = "Research software, not for clinical use."


def write_evaluation_page(
    path: Path,
    system: str,
    split: str,
    metrics: Mapping[str, float],
    decoded: Decoded,
    generator: ReportGenerator,
    *,
    note: str = "",
    most: int = 40,
) -> None:
    """Write report.html with the `most` studies whose reports get the most findings wrong."""
    pairs = zip(decoded.references, decoded.reports, strict=True)
    wrong = [differences(truth, report.readable).mistakes for truth, report in pairs]
    worst = sorted(range(len(wrong)), key=lambda i: -wrong[i])[:most]
    attentive = _with_attention(generator)
    head = PageHead(
        f"{system}, {split} split",
        [part for part in (note, NOT_CLINICAL) if part],
        list(verdicts(metrics).values()),
        [*score_sentences(metrics), _order(wrong, len(worst))],
        score_tables(metrics, system),
    )
    write_page(path, head, (_study(decoded, attentive, i) for i in worst))


def _order(wrong: Sequence[int], shown: int) -> str:
    return (
        f"{wrong.count(0)} of {len(wrong)} reports hold no mistake in their findings; "
        f"below stand {shown}, the worst first."
    )


def _study(decoded: Decoded, attentive: ReportGenerator, index: int) -> PageStudy:
    report, seen = _again(attentive, decoded, index)
    images = decoded.dataset.gray([decoded.rows[index]])[0]
    views = [Picture(VIEWS[slot], images[slot : slot + 1]) for slot in seen]
    return PageStudy(
        report.study_id,
        decoded.references[index],
        report.readable,
        views,
        _attention(images[seen], seen, report),
    )


def _with_attention(generator: ReportGenerator) -> ReportGenerator:
    search = generator.search
    if isinstance(search, SearchOptions):
        search = replace(search, return_attention=True)
    return ReportGenerator(generator.encoder, generator.decoder, generator.vocabulary, search)


def _again(generator: ReportGenerator, decoded: Decoded, index: int) -> tuple[Report, list[int]]:
    """The same report once more, with its attention (kept for all studies it would fill memory).

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


def _attention(images: Tensor, seen: list[int], report: Report) -> list[Picture]:
    """Pictures of the words that name findings, or else of those that look most closely."""
    if report.attention is None:
        return []
    words = report.text.split()
    closest = telling_words(words, report.attention.flatten(1).numpy(), WORDS)
    chosen = finding_words(words)[:WORDS] or closest
    return [
        Picture(f"looked here for “{words[at]}”", overlay(images, report.attention[at, seen]))
        for at in chosen
    ]
