"""Reports of known data sets as plain texts, for commands that need no images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from xray_report.errors import DataError, OptionError

DATA_CHOICES = ("iu_xray",)


class Corpus(NamedTuple):
    """Study ids and reports of the three sides of a split."""

    name: str
    train: list[str]
    val: list[str]
    test_ids: list[str]
    test: list[str]


def load_corpus(data: str, split: str | None, annotation: Path | None, root: Path | None) -> Corpus:
    """The FINDINGS sections of a data set.

    Args:
        data: `iu_xray`.
        split: `r2gen` (the default; needs the annotation), or any split of the data set's own.
        annotation: R2Gen's annotation.json; its study ids are the ids.
        root: folder with the reports; None takes those of the extra `iu-xray`.

    Raises:
        OptionError: an unknown data set, or `r2gen` without the annotation or with a root.
        DataError: files that are missing or malformed, or an empty side.
    """
    if data not in DATA_CHOICES:
        raise OptionError(f"unknown data set {data!r}; choose from {', '.join(DATA_CHOICES)}")
    split = split or "r2gen"
    if split == "r2gen":
        entries = _annotated(annotation, root)
    else:
        entries = _own_split(split, annotation, root)
    sides: dict[str, list[tuple[str, str]]] = {"train": [], "val": [], "test": []}
    for study_id, side, text in entries:
        sides[side].append((study_id, text))
    for side, members in sides.items():
        if not members:
            raise DataError(f"{data} split={split}: no {side} reports")
    # In the order that evaluations score in, so that equal texts get equal intervals.
    sides["test"].sort()
    texts = {side: [text for _, text in members] for side, members in sides.items()}
    test_ids = [study_id for study_id, _ in sides["test"]]
    name = f"{data}, split {split}"
    return Corpus(name, texts["train"], texts["val"], test_ids, texts["test"])


def training_texts(train: Path | None, column: str | None) -> list[str] | None:
    """The training reports of a file. Raises `OptionError` for a column without a file."""
    from xray_report.metrics.files import TRAINING, read_texts

    if train is not None:
        return read_texts(train, TRAINING, column=column).texts
    if column is not None:
        raise OptionError("--train-column goes with --train FILE")
    return None


def _annotated(annotation: Path | None, root: Path | None) -> list[tuple[str, str, str]]:
    from xray_report.data.sources.r2gen import read_annotation

    if annotation is None:
        raise OptionError(
            "split r2gen was drawn at random and stands in R2Gen's annotation.json; "
            "give --annotation FILE"
        )
    if root is not None:
        raise OptionError("split r2gen reads the reports in --annotation: leave out --root")
    entries = read_annotation(annotation)
    return [(entry.entry_id, entry.split, entry.report) for entry in entries]


def _own_split(
    split: str, annotation: Path | None, root: Path | None
) -> list[tuple[str, str, str]]:
    from xray_report.data.sources.iu_xray import IUXRay

    studies = IUXRay(root, annotation=annotation, split=split).studies()
    kept = [study for study in studies if study.findings and study.split]
    return [(study.study_id, str(study.split), study.findings or "") for study in kept]


# ------------------------------------------------------------------------------
# Options that the scoring commands share.

Split = Annotated[
    str | None, typer.Option(help="Split of the data set: r2gen (the default), study, dedup.")
]
Annotation = Annotated[Path | None, typer.Option(help="R2Gen's annotation.json.")]
Root = Annotated[Path | None, typer.Option(help="Folder with the reports, if not the extra's.")]
Protocols = Annotated[
    list[str] | None,
    typer.Option(help="clean, r2gen, sacrebleu, original, ptb; repeatable. All by default."),
]
Train = Annotated[
    Path | None,
    typer.Option(help="Training reports; with them r2gen's protocol and copying are scored."),
]
TrainColumn = Annotated[str | None, typer.Option(help="Column or field of the training text.")]
JsonFile = Annotated[Path | None, typer.Option(help="Write all numbers to this file.")]
Column = Annotated[str | None, typer.Option(help="Column or field of the text in that file.")]
IdColumn = Annotated[
    str | None, typer.Option(help="Column or field with the study's id, the same in both files.")
]
Extras = Annotated[
    list[str] | None,
    typer.Option(help="meteor, meteor_nltk, bertscore, chexbert, radgraph; repeatable."),
]
