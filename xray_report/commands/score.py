"""`xray-report score`: score any system's reports, no model needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xray_report.commands.corpora import Corpus
    from xray_report.metrics.textfiles import TextTable


def score(
    hypotheses: Annotated[
        Path, typer.Option(help="Generated reports: CSV, TSV, JSON, JSONL, or one a line.")
    ],
    references: Annotated[
        Path | None, typer.Option(help="True reports, in any of the same formats.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Take the references from a data set's test split: iu_xray.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of --data: r2gen, study, dedup.")] = "r2gen",
    annotation: Annotated[
        Path | None, typer.Option(help="R2Gen's annotation.json, for --data iu_xray.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder with the reports of --data, if not the extra's.")
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(help="Training reports; with them r2gen's protocol and copying are scored."),
    ] = None,
    hypothesis_column: Annotated[
        str | None, typer.Option(help="Column or field of the generated text.")
    ] = None,
    reference_column: Annotated[
        str | None, typer.Option(help="Column or field of the true text.")
    ] = None,
    train_column: Annotated[
        str | None, typer.Option(help="Column or field of the training text.")
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="Column or field with the study's id, the same in both files."),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="clean, r2gen, sacrebleu, original, ptb; repeatable. All by default."),
    ] = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(help="meteor, meteor_nltk, bertscore, chexbert, radgraph; repeatable."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write all numbers to this file.")] = None,
    reports: Annotated[
        Path | None, typer.Option(help="Write the joined texts (JSONL), for `compare`.")
    ] = None,
) -> None:
    """Score generated reports against true ones under named protocols, with 95 % intervals."""
    from xray_report.commands.corpora import load_corpus
    from xray_report.errors import OptionError
    from xray_report.metrics.evaluation import evaluate_texts
    from xray_report.metrics.extras import score_extras
    from xray_report.metrics.protocols import protocols_by_name
    from xray_report.metrics.results import ReportRecord, write_metrics, write_reports
    from xray_report.metrics.table import print_metrics
    from xray_report.metrics.textfiles import join_texts, read_texts

    if (references is None) == (data is None):
        raise OptionError("give the true reports by one of --references FILE and --data NAME")
    chosen = protocols_by_name(protocol) if protocol else None
    told = read_texts(
        hypotheses, column=hypothesis_column, id_column=id_column, prefer=("hypothesis",)
    )
    corpus = load_corpus(data, split, annotation, root) if data else None
    if references is not None:
        truth = read_texts(
            references, column=reference_column, id_column=id_column, prefer=("reference",)
        )
    else:
        assert corpus is not None
        truth = _table_of(corpus)
    rows = join_texts(told, truth)
    ids, left, right = map(list, zip(*rows, strict=True))
    train_texts = read_texts(train, column=train_column).texts if train else None
    if corpus is not None and train_texts is None:
        train_texts = corpus.train
    metrics = evaluate_texts(
        ids,
        left,
        right,
        train_texts=train_texts,
        val_texts=corpus.val if corpus else None,
        protocols=chosen,
    )
    print_metrics(metrics, system=hypotheses.stem)
    extra_scores, missing = score_extras(extra or [], left, right)
    for key, value in extra_scores.items():
        typer.echo(f"{key}: {value:.4f}")
    for line in missing:
        typer.echo(f"not computed: {line}", err=True)
    if not chosen and train_texts is None:
        typer.echo("protocol r2gen is left out: it needs training reports (--train FILE)", err=True)
    if json is not None:
        write_metrics(json, metrics | extra_scores)
    if reports is not None:
        write_reports(reports, [ReportRecord(i, reference=r, hypothesis=h) for i, h, r in rows])


def _table_of(corpus: Corpus) -> TextTable:
    from xray_report.metrics.textfiles import TextTable

    return TextTable(f"the test side of {corpus.name}", corpus.test, corpus.test_ids)
