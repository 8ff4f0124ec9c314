"""`xray-report baselines`: what reports score that are written without looking at an image."""

from __future__ import annotations

from typing import Annotated

import typer

from xray_report.commands.shared import (
    AnnotationOption,
    JsonOption,
    ProtocolsOption,
    RootOption,
    SplitOption,
    load_corpus,
)


def baselines(
    data: Annotated[str, typer.Argument(help="Data set: iu_xray.")],
    split: SplitOption = None,
    annotation: AnnotationOption = None,
    root: RootOption = None,
    protocol: ProtocolsOption = None,
    json: JsonOption = None,
) -> None:
    """Score the text baselines on a data set's test reports, with 95 % intervals; no images."""
    from xray_report.evaluation.tables import print_metrics
    from xray_report.metrics.baselines import text_baselines
    from xray_report.metrics.evaluation import CorpusScorer
    from xray_report.metrics.files import write_metrics
    from xray_report.metrics.protocols import protocols_by_name, usable_protocols

    corpus = load_corpus(data, split, annotation, root)
    chosen = protocols_by_name(protocol) if protocol else usable_protocols(corpus.train)
    scorer = CorpusScorer(corpus.test, chosen, corpus.train)
    reports = text_baselines(corpus.train, corpus.val, len(corpus.test))
    metrics = {"studies": float(len(corpus.test))}
    for name, texts in reports.items():
        metrics |= scorer.baseline(name, texts)
    if json is not None:
        write_metrics(json, metrics)
    typer.echo(
        f"{corpus.name}: {len(corpus.train)} train, {len(corpus.val)} val, {len(corpus.test)} test"
    )
    print_metrics(metrics)
    for name in ("constant", "most_frequent"):
        typer.echo(f"{name}: {reports[name][0]}")
