"""`xray-report score` and `baselines`: any system's reports, and those of no system at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xray_report.commands.shared import (
    AnnotationOption,
    Corpus,
    JsonOption,
    ProtocolsOption,
    RootOption,
    SplitOption,
    TrainColumnOption,
    TrainOption,
    load_corpus,
    training_texts,
)
from xray_report.errors import DataError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from xray_report.metrics.files import TextTable


from xray_report.commands.shared import (
    ColumnOption,
    ReportsOption,
    SeedOption,
    TableOption,
    TargetOption,
)


def score(
    hypotheses: Annotated[
        Path, typer.Option(help="Generated reports: CSV, TSV, JSON, JSONL, or one a line.")
    ],
    references: Annotated[
        Path | None, typer.Option(help="True reports, in any of the same formats.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="References of a data set's test split: phantom, iu_xray, mimic_cxr, rexgradient, "
            "chexpert_plus."
        ),
    ] = None,
    split: SplitOption = None,
    annotation: AnnotationOption = None,
    root: RootOption = None,
    train: TrainOption = None,
    hypothesis_column: Annotated[
        str | None, typer.Option(help="Column or field of the text in --hypotheses.")
    ] = None,
    reference_column: Annotated[
        str | None, typer.Option(help="Column or field of the text in --references.")
    ] = None,
    train_column: TrainColumnOption = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="Column or field with the study's id, of one file or of both."),
    ] = None,
    protocol: ProtocolsOption = None,
    extra: Annotated[
        list[str] | None,
        typer.Option(
            help="meteor, meteor_nltk; by RadEval (extra `radeval`): radcliq, ratescore, green, "
            "chexbert, radgraph, bertscore. Repeatable."
        ),
    ] = None,
    json: JsonOption = None,
    reports: Annotated[
        Path | None, typer.Option(help="Write the joined texts (JSONL), for `compare`.")
    ] = None,
) -> None:
    """Score generated reports against true ones under named protocols, with 95 % intervals.

    Exit status 1 if an --extra that was asked for could not be computed.

    Example: xray-report score --hypotheses mine.csv --references true.csv --extra radcliq
    """
    from xray_report.evaluation.tables import print_metrics
    from xray_report.metrics.diagnostics import with_warnings
    from xray_report.metrics.extras import check_extras, score_extras
    from xray_report.metrics.files import (
        HYPOTHESES,
        ReportRecord,
        join_texts,
        read_texts,
        write_metrics,
        write_reports,
    )

    _check_sources(
        references, data, reference_column, split=split, annotation=annotation, root=root
    )
    check_extras(extra or [])
    generated = read_texts(
        hypotheses,
        HYPOTHESES,
        column=hypothesis_column,
        id_column=id_column,
        has_ids=references is None,
    )
    corpus = _corpus(data, split, annotation, root) if data else None
    truth = _truth(corpus, references, reference_column, id_column)
    if id_column not in (None, generated.id_column, truth.id_column):
        raise DataError(f"neither {generated.source} nor {truth.source} has the column {id_column}")
    train_texts = training_texts(train, train_column)
    rows, how = join_texts(generated, truth)
    typer.echo(how, err=True)
    for side, table in (("hypotheses", generated), ("references", truth)):
        if table.column is not None:
            typer.echo(f"{side}: column {table.column!r} of {table.source}", err=True)
    _say_empty_texts(rows)
    metrics = _evaluated(rows, corpus, train_texts, protocol)
    extras, missing = score_extras(extra or [], [row[1] for row in rows], [row[2] for row in rows])
    if json is not None:
        write_metrics(json, with_warnings(metrics | extras))
    if reports is not None:
        write_reports(reports, [ReportRecord(i, reference=r, hypothesis=h) for i, h, r in rows])
    # Printed last: whoever reads along may close the pipe.
    print_metrics(metrics, system=hypotheses.stem)
    for key, value in extras.items():
        typer.echo(f"{key}: {value:.4f}")
    if missing:
        raise MissingExtraError("; ".join(missing))


def _check_sources(
    references: Path | None, data: str | None, reference_column: str | None, **of_data: object
) -> None:
    if (references is None) == (data is None):
        raise OptionError("give the true reports by one of --references FILE and --data NAME")
    if references is not None:
        for name, value in of_data.items():
            if value is not None:
                raise OptionError(f"--{name} goes with --data NAME, not with --references")
    elif reference_column is not None:
        raise OptionError("--reference-column goes with --references FILE, not with --data")


def _corpus(data: str, split: str | None, annotation: Path | None, root: Path | None) -> Corpus:
    """A data set's reports; a table is a file of references."""
    if data == "csv":
        raise OptionError("give a table's reports by --references FILE, not by --data csv")
    return load_corpus(data, split=split, annotation=annotation, root=root)


def _truth(
    corpus: Corpus | None, references: Path | None, column: str | None, id_column: str | None
) -> TextTable:
    """The references: a data set's, or a file's."""
    from xray_report.metrics.files import REFERENCES, TextTable, read_texts

    if corpus is not None:
        return TextTable(f"the test side of {corpus.name}", corpus.test, corpus.test_ids)
    assert references is not None
    return read_texts(references, REFERENCES, column=column, id_column=id_column, has_ids=False)


def _say_empty_texts(rows: list[tuple[str, str, str]]) -> None:
    for name, side in (("hypotheses", 1), ("references", 2)):
        empty = [row[0] for row in rows if not row[side].strip()]
        if empty:
            first = f"the first is of study {empty[0]}"
            typer.echo(f"{len(empty)} of {len(rows)} {name} are empty; {first}", err=True)


def _evaluated(
    rows: list[tuple[str, str, str]],
    corpus: Corpus | None,
    train_texts: list[str] | None,
    protocol: list[str] | None,
) -> dict[str, float]:
    """Score (study id, hypothesis, reference) rows."""
    from xray_report.metrics.evaluation import evaluate_texts
    from xray_report.metrics.protocols import protocols_by_name

    if corpus is not None and train_texts is None:
        train_texts = corpus.train
    if not protocol and train_texts is None:
        typer.echo("protocol r2gen is left out: it needs training reports (--train FILE)", err=True)
    return evaluate_texts(
        [study_id for study_id, _, _ in rows],
        [hypothesis for _, hypothesis, _ in rows],
        [reference for _, _, reference in rows],
        train_texts=train_texts,
        val_texts=corpus.val if corpus else None,
        protocols=protocols_by_name(protocol) if protocol else None,
    )


# `xray-report baselines`: what reports score that are written without looking at an image.


def baselines(
    data: Annotated[
        str,
        typer.Argument(
            help="Data set with reports: phantom, iu_xray, mimic_cxr, rexgradient, chexpert_plus "
            "or csv."
        ),
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
