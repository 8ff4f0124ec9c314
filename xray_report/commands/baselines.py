"""`xray-report baselines`: what reports score that are written without looking at an image."""

from __future__ import annotations

from typing import Annotated

import typer

from xray_report.commands.shared import (
    AnnotationOption,
    ColumnOption,
    JsonOption,
    ProtocolsOption,
    ReportsOption,
    RootOption,
    SeedOption,
    SplitOption,
    TableOption,
    TargetOption,
    load_corpus,
)


def baselines(
    data: Annotated[
        str, typer.Argument(help="Data set with reports: phantom, iu_xray, mimic_cxr or csv.")
    ],
    split: SplitOption = None,
    annotation: AnnotationOption = None,
    root: RootOption = None,
    reports: ReportsOption = None,
    table: TableOption = None,
    column: ColumnOption = None,
    seed: SeedOption = None,
    target: TargetOption = None,
    protocol: ProtocolsOption = None,
    json: JsonOption = None,
) -> None:
    """Score the text baselines on a data set's test reports, with 95 % intervals; no images.

    Example: xray-report baselines iu_xray --annotation annotation.json
    """
    from xray_report.evaluation.tables import print_metrics
    from xray_report.metrics.baselines import text_baselines
    from xray_report.metrics.evaluation import CorpusScorer
    from xray_report.metrics.files import write_metrics
    from xray_report.metrics.protocols import protocols_by_name, usable_protocols

    corpus = load_corpus(
        data, split=split, annotation=annotation, root=root, reports=reports, table=table,
        column=column, seed=seed, target=target,
    )  # fmt: skip
    chosen = protocols_by_name(protocol) if protocol else usable_protocols(corpus.train)
    scorer = CorpusScorer(corpus.test, chosen, corpus.train)
    texts_of = text_baselines(corpus.train, corpus.val, len(corpus.test))
    metrics = {"studies": float(len(corpus.test))}
    for name, texts in texts_of.items():
        metrics |= scorer.baseline(name, texts)
    if json is not None:
        write_metrics(json, metrics)
    typer.echo(
        f"{corpus.name}: {len(corpus.train)} train, {len(corpus.val)} val, {len(corpus.test)} test"
    )
    print_metrics(metrics)
    for name in ("constant", "most_frequent"):
        typer.echo(f"{name}: {texts_of[name][0]}")
