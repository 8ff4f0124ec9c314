"""Files of reports and results.

Hypotheses and references from any file (CSV, JSON, JSON lines or plain lines), and the
result folders of this package: metrics.json (flat keys, fractions) and reports.jsonl (one study a
line).
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from xray_report.errors import DataError, OptionError
from xray_report.files import replacing
from xray_report.text.missing import is_placeholder

# Texts of any file.

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
    rows = _rows(path)
    if not rows:
        raise DataError(f"{path} holds no texts")
    if isinstance(rows[0], str):
        if column or id_column:
            raise OptionError(f"{path} holds bare texts, so no column can be chosen in it")
        return TextTable(str(path), [_text(path, i, row) for i, row in enumerate(rows, 1)], None)
    return _texts_of_rows(path, rows, side, column, id_column)


def _text(path: Path, number: int, value: object) -> str:
    # Some tools wrap the single reference in a list.
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise DataError(f"{path} entry {number}: expected a text, got {type(value).__name__}")
    if is_placeholder(value):
        raise DataError(
            f"{path} entry {number}: the text is {value!r}, a missing value; leave the cell empty "
            "where a report is empty, or leave the study out"
        )
    return value


def _texts_of_rows(
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
            raise DataError(f"{path}: {column} {study_id!r} occurs more than once")
        seen.add(study_id)


def join_texts(hypotheses: TextTable, references: TextTable) -> list[tuple[str, str, str]]:
    """(study id, hypothesis, reference) of every reference: by id where both have one, or by row.

    Raises:
        DataError: unequal lengths without ids, or an id that is on one side only.
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


# Result folders.

METRICS_FILE = "metrics.json"
REPORTS_FILE = "reports.jsonl"


@dataclass(frozen=True)
class ReportRecord:
    """One generated report beside its reference.

    Args:
        study_id: unique within a result.
        reference, hypothesis: texts.
        score: what the search ranked by; None where the text came from elsewhere.
        log_prob: log-probability of the hypothesis under its model, or None.
    """

    study_id: str
    reference: str
    hypothesis: str
    score: float | None = None
    log_prob: float | None = None


def write_metrics(path: str | Path, metrics: Mapping[str, float | str]) -> None:
    """Write flat metrics as sorted JSON; a value that is not finite becomes null."""
    plain = {
        key: (None if isinstance(value, float) and not math.isfinite(value) else value)
        for key, value in sorted(metrics.items())
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_metrics(path: str | Path) -> dict[str, float]:
    """Numbers of a metrics.json, or of the result folder that holds one; texts are left out.

    Raises:
        DataError: no such file, not JSON, or not a flat dictionary.
    """
    path = result_file(path, METRICS_FILE)
    loaded = _parse_json(path, _content(path))
    if not isinstance(loaded, dict):
        raise DataError(f"{path}: expected one dictionary of metrics, got {type(loaded).__name__}")
    nested = [key for key, value in loaded.items() if isinstance(value, (dict, list))]
    if nested:
        raise DataError(f"{path}: {nested[0]!r} is nested; metrics have flat keys and numbers")
    numbers = {key: value for key, value in loaded.items() if type(value) in (int, float)}
    huge = [k for k, v in numbers.items() if math.inf > abs(v) > sys.float_info.max]
    if huge:
        raise DataError(f"{path}: {huge[0]!r} is too large a number for a metric")
    return {key: float(value) for key, value in numbers.items()}


def write_reports(path: str | Path, records: Iterable[ReportRecord]) -> None:
    """Write one JSON object a line, in the order given."""
    rows = [json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records]
    with replacing(path) as temporary:
        temporary.write_text("".join(rows), encoding="utf-8")


def read_reports(path: str | Path) -> list[ReportRecord]:
    """Records of a reports.jsonl, or of the result folder that holds one.

    Raises:
        DataError: no such file, a line without the fields, or a study id that occurs twice.
    """
    path = result_file(path, REPORTS_FILE)
    entries = _json_lines(path, _content(path))
    records = [_record(path, number, entry) for number, entry in enumerate(entries, start=1)]
    seen: set[str] = set()
    for record in records:
        if record.study_id in seen:
            raise DataError(f"{path}: study {record.study_id!r} occurs more than once")
        seen.add(record.study_id)
    if not records:
        raise DataError(f"{path} holds no reports")
    return records


def _record(path: Path, number: int, entry: Any) -> ReportRecord:
    if not isinstance(entry, dict):
        raise DataError(f"{path} entry {number}: expected a JSON object")
    for field in ("study_id", "reference", "hypothesis"):
        if not isinstance(entry.get(field), str):
            raise DataError(f"{path} entry {number}: field {field!r} is missing or not a text")
    known = {key: entry.get(key) for key in ReportRecord.__dataclass_fields__}
    return ReportRecord(**known)  # type: ignore[arg-type]


def merge_records(parts: Sequence[Sequence[ReportRecord]]) -> list[ReportRecord]:
    """One list, by study id, from what several processes made; repeated studies count once.

    Distributed samplers repeat studies to give every process as many; the first copy is kept.
    """
    merged: dict[str, ReportRecord] = {}
    for part in parts:
        for record in part:
            merged.setdefault(record.study_id, record)
    return [merged[study_id] for study_id in sorted(merged)]


def result_file(path: str | Path, name: str) -> Path:
    """The file `name` of a result folder, or the path itself where it is no folder."""
    path = Path(path)
    return path / name if path.is_dir() else path


# What a file holds, by its suffix.


def _rows(path: Path) -> list[Any]:
    """Rows of a `.csv` or `.tsv`, values of a `.jsonl` or `.json` list, or lines of anything else.

    An object in a `.json` becomes rows with `study_id` and `text`.

    Raises:
        DataError: the file cannot be read, or is not what its suffix says.
    """
    content, suffix = _content(path), path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _csv_rows(path, content, "," if suffix == ".csv" else "\t")
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(path, content)
    if suffix == ".json":
        return _json_rows(path, _parse_json(path, content))
    return _lines(content)


def _content(path: Path) -> str:
    """The whole file. Raises `DataError` where it is missing, unreadable or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8, for instance "
            "with iconv"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _lines(content: str) -> list[str]:
    """Lines of a text file; unlike `splitlines`, not split at form feeds or U+2028."""
    return content.removesuffix("\n").split("\n") if content else []


def _json_lines(path: Path, content: str) -> list[Any]:
    """One JSON value a line; blank lines are passed over."""
    filled = [(number, line) for number, line in enumerate(_lines(content), 1) if line.strip()]
    return [_parse_json(path, line, number) for number, line in filled]


def _parse_json(path: Path, text: str, line: int | None = None) -> Any:
    """A JSON value; `line` is its number, if it is not the whole file."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # what is read must be writable again
    except json.JSONDecodeError as error:
        raise DataError(f"{path} line {line or error.lineno}: not JSON ({error.msg})") from error
    except RecursionError as error:
        raise DataError(f"{path} line {line or 1}: JSON nested too deeply") from error
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise DataError(
            f"{path} line {line or 1}: {half} is half a character; write both halves or none"
        ) from error
    except ValueError as error:  # Python reads no number of over 4300 digits.
        raise DataError(f"{path} line {line or 1}: a number has too many digits") from error
    return value


def _json_rows(path: Path, loaded: Any) -> list[Any]:
    if isinstance(loaded, dict):
        return [{"study_id": key, "text": value} for key, value in loaded.items()]
    if not isinstance(loaded, list):
        raise DataError(f"{path}: expected a list or an object, got {type(loaded).__name__}")
    return loaded


def _csv_rows(path: Path, content: str, delimiter: str) -> list[dict[str, str]]:
    table = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    try:
        found = list(table)
    except csv.Error as error:
        raise DataError(f"{path} line {table.line_num}: not a readable table ({error})") from error
    names, *rows = [row for row in found if row] or [[]]
    if len(names) == 1 and [] in found:
        raise DataError(
            f'{path} row {found.index([]) + 1} is blank: write "" for an empty text, or delete it'
        )
    names = [name.strip() for name in names]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path} has two columns named {twice[0]!r}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(names):
            raise DataError(
                f"{path} entry {number} has {len(row)} fields for {len(names)} columns: "
                "put texts that hold the separator or quotes into quotes"
            )
    return [dict(zip(names, row, strict=True)) for row in rows]
