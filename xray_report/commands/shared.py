"""What commands share: options, reports of known data sets as plain texts, writing JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from xray_report.errors import DataError, OptionError

SplitOption = Annotated[
    str | None, typer.Option(help="Split of the data set: r2gen (the default), study, dedup.")
]
AnnotationOption = Annotated[Path | None, typer.Option(help="R2Gen's annotation.json.")]
RootOption = Annotated[
    Path | None, typer.Option(help="Folder with the reports, if not the extra's.")
]
ProtocolsOption = Annotated[
    list[str] | None,
    typer.Option(help="clean, r2gen, sacrebleu, original, ptb; repeatable. All by default."),
]
TrainOption = Annotated[
    Path | None,
    typer.Option(help="Training reports; with them r2gen's protocol and copying are scored."),
]
TrainColumnOption = Annotated[
    str | None, typer.Option(help="Column or field of the training text.")
]
JsonOption = Annotated[Path | None, typer.Option(help="Write all numbers to this file.")]


class Corpus(NamedTuple):
    """Reports of the three sides of a split, and the study ids of its test side."""

    name: str
    train: list[str]
    val: list[str]
    test_ids: list[str]
    test: list[str]


def load_corpus(data: str, split: str | None, annotation: Path | None, root: Path | None) -> Corpus:
    """The FINDINGS sections of a data set, its test side sorted by study id.

    Args:
        data: `iu_xray`.
        split: `r2gen` (the default; needs the annotation), or any split of the data set's own.
        annotation: R2Gen's annotation.json; its study ids are the ids.
        root: folder with the reports; None takes those of the extra `iu-xray`.

    Raises:
        OptionError: an unknown data set, or `r2gen` without the annotation or with a root.
        DataError: files that are missing or malformed, or an empty side.
    """
    if data != "iu_xray":
        raise OptionError(f"unknown data set {data!r}; choose from iu_xray")
    split = split or "r2gen"
    if split == "r2gen":
        reports = _annotated_reports(annotation, root)
    else:
        reports = _reports_of_split(split, annotation, root)
    sides: dict[str, list[tuple[str, str]]] = {"train": [], "val": [], "test": []}
    for study_id, side, text in reports:
        sides[side].append((study_id, text))
    for side, members in sides.items():
        if not members:
            raise DataError(f"{data} split={split}: no {side} reports")
    # In the order that evaluations score in, so that equal texts get equal intervals.
    test_ids, test = zip(*sorted(sides["test"]), strict=True)
    train, val = ([text for _, text in sides[side]] for side in ("train", "val"))
    return Corpus(f"{data}, split {split}", train, val, list(test_ids), list(test))


def _annotated_reports(annotation: Path | None, root: Path | None) -> list[tuple[str, str, str]]:
    """(study id, side, report) of the studies in R2Gen's annotation that have a report."""
    from xray_report.data.sources.r2gen import read_annotation
    from xray_report.text.cleaning import text_or_none

    if annotation is None:
        raise OptionError(
            "split r2gen was drawn at random and is in R2Gen's annotation.json; "
            "give --annotation FILE"
        )
    if root is not None:
        raise OptionError("split r2gen reads the reports in --annotation: leave out --root")
    entries = [one for one in read_annotation(annotation) if text_or_none(one.report)]
    return [(entry.entry_id, entry.split, entry.report) for entry in entries]


def _reports_of_split(
    split: str, annotation: Path | None, root: Path | None
) -> list[tuple[str, str, str]]:
    """(study id, side, report) of the studies with FINDINGS, under a split of the data set's."""
    from xray_report.data.sources.iu_xray import IUXRay

    studies = IUXRay(root, annotation=annotation, split=split).studies()
    kept = [study for study in studies if study.findings and study.split]
    return [(study.study_id, str(study.split), study.findings or "") for study in kept]


def training_texts(train: Path | None, column: str | None) -> list[str] | None:
    """The training reports of a file. Raises `OptionError` for a column without a file."""
    from xray_report.metrics.files import TRAINING, read_texts

    if train is not None:
        return read_texts(train, TRAINING, column=column).texts
    if column is not None:
        raise OptionError("--train-column goes with --train FILE")
    return None


def write_json(path: Path, plain: object) -> None:
    """Write plain values as JSON, in their order."""
    from json import dumps

    from xray_report.files import replacing

    with replacing(path) as temporary:
        text = dumps(plain, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
