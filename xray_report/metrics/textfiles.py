"""Hypotheses and references from anybody's files: CSV, JSON, JSONL or plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from xray_report.errors import DataError, OptionError
from xray_report.metrics.rows import read_rows

EITHER = ("report", "text", "caption", "findings")
ID_COLUMNS = ("study_id", "id", "uid", "image_id")


class Side(NamedTuple):
    """What texts are for.

    Args:
        columns: names their column may have, the likeliest first; never the other side's names,
            or a file that holds both would be scored against itself.
        option: names another column on the command line.
    """

    columns: tuple[str, ...]
    option: str


HYPOTHESES = Side(("hypothesis", "prediction", "generated", *EITHER), "--hypothesis-column")
REFERENCES = Side(("reference", *EITHER), "--reference-column")
TRAINING = Side(REFERENCES.columns, "--train-column")


class TextTable(NamedTuple):
    """Texts of one file, and where it has any their ids and the name of their column."""

    source: str
    texts: list[str]
    ids: list[str] | None
    column: str | None = None


def read_texts(
    path: str | Path, side: Side, *, column: str | None = None, id_column: str | None = None
) -> TextTable:
    """Read the texts of a file, chosen by its suffix.

    Args:
        path: `.csv`/`.tsv` with a header; `.json` (a list of texts, a list of objects, or one
            object id -> text); `.jsonl` (an object or a text a line); anything else: one text a
            line, an empty line being an empty text.
        side: what the texts are.
        column: the column or field with the text; by default the side's first that is there.
        id_column: the column or field with the study's id; by default the same way.

    Raises:
        DataError: the file cannot be read, is empty, lacks the column, or repeats an id.
    """
    path = Path(path)
    rows = read_rows(path)
    if not rows:
        raise DataError(f"{path} holds no texts")
    if isinstance(rows[0], str):
        if column or id_column:
            raise OptionError(f"{path} holds bare texts, so no column can be chosen in it")
        return TextTable(str(path), [_text(path, i, row) for i, row in enumerate(rows, 1)], None)
    return _table(path, rows, side, column, id_column)


def _text(path: Path, number: int, value: object) -> str:
    # Some tools wrap the single reference in a list.
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise DataError(f"{path} entry {number}: expected a text, got {type(value).__name__}")
    if value.strip().lower() == "nan":
        raise DataError(f"{path} entry {number}: the text is {value!r}, a missing value")
    return value


def _table(
    path: Path, rows: Sequence[Any], side: Side, column: str | None, id_column: str | None
) -> TextTable:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise DataError(f"{path} entry {number}: expected an object like the first entry")
    names = [str(name) for name in rows[0]]
    column = _column(path, names, column, side.columns, "column")
    if column is None:
        raise DataError(
            f"{path} has none of the columns {', '.join(side.columns)}; it has "
            f"{', '.join(names)}: name one by {side.option}"
        )
    id_column = _column(path, names, id_column, ID_COLUMNS, "id column")
    texts = [_text(path, i, row.get(column)) for i, row in enumerate(rows, 1)]
    if id_column is None:
        return TextTable(str(path), texts, None, column)
    found = (row.get(id_column) for row in rows)
    ids = ["" if one is None else str(one).strip() for one in found]
    _refuse_duplicates(path, id_column, ids)
    return TextTable(str(path), texts, ids, column)


def _column(
    path: Path, names: Sequence[str], wanted: str | None, usual: Sequence[str], what: str
) -> str | None:
    if wanted is not None and wanted not in names:
        raise DataError(f"{path} has no {what} {wanted!r}; it has {', '.join(names)}")
    by_lower = {name.lower(): name for name in reversed(names)}
    return wanted or next((by_lower[name] for name in usual if name in by_lower), None)


def _refuse_duplicates(path: Path, column: str, ids: Sequence[str]) -> None:
    seen: set[str] = set()
    for number, study_id in enumerate(ids, 1):
        if not study_id:
            raise DataError(f"{path} entry {number}: {column} is empty")
        if study_id in seen:
            raise DataError(f"{path}: {column} {study_id!r} stands more than once")
        seen.add(study_id)


def join_texts(hypotheses: TextTable, references: TextTable) -> list[tuple[str, str, str]]:
    """(study id, hypothesis, reference) of every reference: by id where both have one, or by row.

    Raises:
        DataError: unequal lengths without ids, or an id that stands on one side only.
    """
    if hypotheses.ids is None or references.ids is None:
        if len(hypotheses.texts) != len(references.texts):
            raise DataError(
                f"{hypotheses.source} holds {len(hypotheses.texts)} texts but {references.source} "
                f"holds {len(references.texts)}; without ids on both sides they must match by row"
            )
        ids = references.ids or hypotheses.ids
        names = ids or [f"{row:06d}" for row in range(1, len(references.texts) + 1)]
        return list(zip(names, hypotheses.texts, references.texts, strict=True))
    by_id = dict(zip(hypotheses.ids, hypotheses.texts, strict=True))
    _refuse_missing(references, set(by_id), hypotheses.source)
    _refuse_missing(hypotheses, set(references.ids), references.source)
    pairs = zip(references.ids, references.texts, strict=True)
    return [(study_id, by_id[study_id], text) for study_id, text in pairs]


def _refuse_missing(table: TextTable, known: set[str], other: str) -> None:
    missing = [study_id for study_id in table.ids or () if study_id not in known]
    if missing:
        raise DataError(
            f"{len(missing)} ids of {table.source} are not in {other}, the first is {missing[0]!r}"
        )
