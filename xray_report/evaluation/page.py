"""The worst studies of an evaluation, drawn with the attention of their reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from xray_report.evaluation.html import PageStudy, mistakes, write_page
from xray_report.evaluation.run import Decoded
from xray_report.inference.attention_picture import overlay, telling_words
from xray_report.inference.generator import Report, ReportGenerator
from xray_report.inference.options import SearchOptions
from xray_report.text.cleaning import Cleaner

HEADLINES = (
    "clean/bleu4", "clean/rouge_l", "clean/cider", "findings/micro_f1", "facts/f1",
    "baseline/constant/clean/bleu4", "ceiling/clean/bleu4", "collapse/distinct_reports",
)  # fmt: skip
WORDS = 3


def write_evaluation_page(
    path: Path,
    title: str,
    metrics: Mapping[str, float],
    decoded: Decoded,
    generator: ReportGenerator,
    cleaner: Cleaner,
    most: int,
) -> None:
    """Write report.html with the `most` studies whose reports get the most findings wrong."""
    references = [cleaner(reference) for reference in decoded.references]
    wrong = [
        mistakes(reference, report.text)
        for reference, report in zip(references, decoded.reports, strict=True)
    ]
    worst = sorted(range(len(wrong)), key=lambda i: -wrong[i])[:most]
    attentive = _with_attention(generator)
    studies = (
        PageStudy(
            decoded.reports[i].study_id,
            references[i],
            decoded.reports[i].text,
            images := decoded.dataset.gray([decoded.rows[i]])[0],
            _attention(images, _again(attentive, decoded, i)),
        )
        for i in worst
    )
    summary = [
        (key, f"{metrics[key]:.3f}{_interval(metrics, key)}") for key in HEADLINES if key in metrics
    ]
    write_page(path, title, summary, studies)


def _with_attention(generator: ReportGenerator) -> ReportGenerator:
    search = generator.search
    if isinstance(search, SearchOptions):
        search = replace(search, return_attention=True)
    return ReportGenerator(generator.encoder, generator.decoder, generator.vocabulary, search)


def _again(generator: ReportGenerator, decoded: Decoded, index: int) -> Report:
    """The same report once more, with its attention: kept for all studies it would fill memory."""
    batch = decoded.dataset.__getitems__([decoded.rows[index]])
    assert batch.features is not None
    return generator.generate(
        features=batch.features.float().to(decoded.device),
        view_mask=batch.view_mask.to(decoded.device),
        study_ids=[decoded.reports[index].study_id],
    )[0]


def _attention(images: Tensor, report: Report) -> list[Tensor]:
    if report.attention is None:
        return []
    words = report.text.split()
    chosen = telling_words(words, report.attention.flatten(1).numpy(), WORDS)
    return [overlay(images, report.attention[at], words[at]) for at in chosen]


def _interval(metrics: Mapping[str, float], key: str) -> str:
    if f"{key}_low" not in metrics:
        return ""
    return f" ({metrics[f'{key}_low']:.3f} to {metrics[f'{key}_high']:.3f})"
