"""`xray-report baselines`: what reports score that are written without looking at an image."""

from __future__ import annotations

from typing import Annotated

import typer

from xray_report.commands.corpora import Annotation, JsonFile, Protocols, Root, Split


def baselines(
    data: Annotated[str, typer.Argument(help="Data set: iu_xray.")],
    split: Split = None,
    annotation: Annotation = None,
    root: Root = None,
    protocol: Protocols = None,
    json: JsonFile = None,
) -> None:
    """Score the text baselines on a data set's test reports, with 95 % intervals; no images."""
    from xray_report.commands.corpora import load_corpus
    from xray_report.metrics.baselines import text_baselines
    from xray_report.metrics.evaluation import CorpusScorer
    from xray_report.metrics.files import write_metrics
    from xray_report.metrics.protocols import protocols_by_name, usable_protocols
    from xray_report.metrics.rule_labeller import RuleLabeller
    from xray_report.metrics.table import print_metrics

    corpus = load_corpus(data, split, annotation, root)
    chosen = protocols_by_name(protocol) if protocol else usable_protocols(corpus.train)
    scorer = CorpusScorer(corpus.test, chosen, corpus.train, RuleLabeller())
    systems = text_baselines(corpus.train, corpus.val, len(corpus.test))
    metrics = scorer.baselines(systems)
    if json is not None:
        write_metrics(json, metrics)
    typer.echo(
        f"{corpus.name}: {len(corpus.train)} train, {len(corpus.val)} val, {len(corpus.test)} test"
    )
    print_metrics(metrics)
    for name in ("constant", "most_frequent"):
        typer.echo(f"{name}: {systems[name][0]}")
