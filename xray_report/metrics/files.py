"""Files of reports and results.

Hypotheses and references from any file (CSV, JSON, JSON lines or plain lines), and the
result folders of this package: metrics.json (flat keys, fractions), reports.jsonl (one study a
line) and reports.csv (the same texts as a table for people).
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
from xray_report.files import LONGEST_FIELD, replacing, separated
from xray_report.text.cleaning import is_placeholder

# Texts of any file.

EITHER = ("report", "text", "caption", "findings")
ID_COLUMNS = ("study_id", "uid", "image_id", "id")
"""Names of a column of ids, the surest first: beside one of the others, `id` counts rows."""


class Side(NamedTuple):
    """What texts are for.

    Args:
        columns: names their column may have, the likeliest first; never the other side's names,
            or a file that holds both would be scored against itself.
        option: what names another column.
    """

    columns: tuple[str, ...]
    option: str


PREDICTED = "model_prediction"
"""ReXrank's name for generated reports, in its submissions."""
HYPOTHESES = Side(
    ("hypothesis", "prediction", "generated", PREDICTED, *EITHER), "--hypothesis-column"
)
REFERENCES = Side(("reference", *EITHER, "section_findings"), "--reference-column")
TRAINING = Side(REFERENCES.columns, "--train-column")
CHOSEN_AMONG = Side(REFERENCES.columns, "calling it reference")


class TextTable(NamedTuple):
    """Texts of one file, and what may name them.

    Args:
        source: the file, for people.
        texts: in its order.
        ids: of the texts, where a column of ids was named or has one of the usual names.
        column: name of the texts' column.
        id_column: name of the ids' column.
        others: further columns without empty or repeated values; the ids may be among them.
    """

    source: str
    texts: list[str]
    ids: list[str] | None = None
    column: str | None = None
    id_column: str | None = None
    others: Mapping[str, list[str]] = {}

    @property
    def id_name(self) -> str:
        """What to call the column of the ids."""
        return self.id_column or "id"

    @property
    def names(self) -> dict[str, list[str]]:
        """Every column that may hold ids."""
        return ({} if self.ids is None else {self.id_name: self.ids}) | {**self.others}


def read_texts(
    path: str | Path,
    side: Side,
    *,
    column: str | None = None,
    id_column: str | None = None,
    has_ids: bool = True,
) -> TextTable:
    """Read the texts of a file, chosen by its suffix.

    Args:
        path: `.csv`/`.tsv` with a header; `.json` (a list of texts, a list of objects, one
            object id -> text or id -> object, as ReXrank's, or COCO's with `annotations`);
            `.jsonl` (an object or a text a line); anything else: one text a line, an empty line
            being an empty text.
        side: what the texts are.
        column: the column or field with the text; by default the side's first that is there.
        id_column: the column or field with the study's id; by default one of `ID_COLUMNS`.
        has_ids: whether a file without `id_column` is refused.

    Raises:
        DataError: the file cannot be read, is empty, lacks the column, or repeats an id.
    """
    path = Path(path)
    rows = _rows(path)
    if not rows:
        raise DataError(f"{path} holds no texts")
    if isinstance(rows[0], str):
        if column or (id_column and has_ids):
            raise OptionError(f"{path} holds bare texts, so no column can be chosen in it")
        return TextTable(str(path), [_text(path, i, row) for i, row in enumerate(rows, 1)])
    return _texts_of_rows(path, rows, side, column, id_column, has_ids)


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
    path: Path,
    rows: Sequence[Any],
    side: Side,
    column: str | None,
    id_column: str | None,
    has_ids: bool,
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
    texts = [_text(path, i, row.get(column)) for i, row in enumerate(rows, 1)]
    others = {name: ids for name in names if name != column and (ids := _distinct(rows, name))}
    if id_column is not None and id_column not in names and not has_ids:
        return TextTable(str(path), texts, None, column, None, others)
    named = _column(path, names, id_column, ID_COLUMNS, "id column")
    if named is None or named == column:
        return TextTable(str(path), texts, None, column, None, others)
    found = (row.get(named) for row in rows)
    ids = ["" if one is None else str(one).strip() for one in found]
    _refuse_duplicates(path, named, ids)
    if id_column is not None:  # what the user names is not looked for elsewhere
        others = {}
    others.pop(named, None)
    return TextTable(str(path), texts, ids, column, named, others)


def _distinct(rows: Sequence[Mapping[str, Any]], name: str) -> list[str] | None:
    """A column's values as text, where each row has one and no two are the same; else None."""
    values = [row.get(name) for row in rows]
    if not all(isinstance(value, (str, int)) for value in values):
        return None
    found = [str(value).strip() for value in values]
    return found if all(found) and len(set(found)) == len(found) else None


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


# Two files of the same studies.


class Joined(NamedTuple):
    """(study id, hypothesis, reference) of every reference, and what they were joined by."""

    rows: list[tuple[str, str, str]]
    how: str


def join_texts(hypotheses: TextTable, references: TextTable) -> Joined:
    """Put the texts of the same studies together.

    They are joined by the columns whose values are the same on both sides, whatever their names;
    by order only where neither side has ids.

    Raises:
        DataError: ids on one side only, ids that differ, columns that say different things, or
            unequal lengths without ids.
    """
    by = _common_columns(hypotheses, references)
    if by is None:
        return _joined_by_order(hypotheses, references)
    ours, theirs = hypotheses.names[by[0]], references.names[by[1]]
    by_id = dict(zip(ours, hypotheses.texts, strict=True))
    _refuse_missing(references.source, theirs, set(by_id), hypotheses.source)
    _refuse_missing(hypotheses.source, ours, set(theirs), references.source)
    pairs = zip(theirs, references.texts, strict=True)
    return Joined(
        [(study_id, by_id[study_id], text) for study_id, text in pairs],
        f"joined by id: {by[0]!r} of {hypotheses.source} and {by[1]!r} of {references.source}",
    )


def _common_columns(hypotheses: TextTable, references: TextTable) -> tuple[str, str] | None:
    """Names of the columns to join by; None where neither side has ids."""
    known = hypotheses.ids is not None and references.ids is not None
    usual = (hypotheses.id_name, references.id_name) if known else None
    alike = [
        (ours, theirs)
        for ours, left in hypotheses.names.items()
        for theirs, right in references.names.items()
        if set(left) == set(right)
        # Rows that are only counted on both sides say no more than their order.
        and ((ours, theirs) == usual or not (_counted(left) and _counted(right)))
    ]
    sure = [names for names in alike if names == usual or names[0] == names[1]] or alike
    if len({_order(hypotheses.names[a], references.names[b]) for a, b in sure}) > 1:
        said = " and ".join(f"{ours!r} with {theirs!r}" for ours, theirs in sure)
        raise DataError(
            f"{hypotheses.source} and {references.source} fit together in different ways "
            f"({said}): name the column of the ids by --id-column"
        )
    if sure:
        return sure[0]
    if usual is not None:
        return usual
    if hypotheses.ids is not None or references.ids is not None:
        raise DataError(_without_ids(hypotheses, references))
    nearly = [
        name
        for name, values in hypotheses.names.items()
        if 2 * len(set(values) & set(references.names.get(name, ()))) > len(values)
        and not _counted(values)
    ]
    return (nearly[0], nearly[0]) if nearly else None


def _without_ids(hypotheses: TextTable, references: TextTable) -> str:
    """Why texts of which one side has ids are not joined, and what to do."""
    with_ids, without = hypotheses, references
    if hypotheses.ids is None:
        with_ids, without = references, hypotheses
    first = (with_ids.ids or [""])[0]
    why = f"{with_ids.source} has ids (such as {first!r})"
    if without.column is None:
        return (
            f"{why} and {without.source} holds bare texts, which are not joined by order: write "
            "it as a table or as JSON with a column study_id"
        )
    return (
        f"{why} and no column of {without.source} holds the same values, so they are not joined "
        "by order: name the column of the ids by --id-column"
    )


def _counted(values: Sequence[str]) -> bool:
    """Whether a column only counts the rows, from 0 or from 1."""
    return any(
        all(value == str(number) for number, value in enumerate(values, start)) for start in (0, 1)
    )


def _order(ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, ...]:
    """For each of their rows the row of ours with the same value."""
    places = {value: row for row, value in enumerate(ours)}
    return tuple(places[value] for value in theirs)


def _joined_by_order(hypotheses: TextTable, references: TextTable) -> Joined:
    if len(hypotheses.texts) != len(references.texts):
        raise DataError(
            f"{hypotheses.source} holds {len(hypotheses.texts)} texts but {references.source} "
            f"holds {len(references.texts)}; without ids on both sides they must match by row"
        )
    names = [f"{row:06d}" for row in range(1, len(references.texts) + 1)]
    return Joined(
        list(zip(names, hypotheses.texts, references.texts, strict=True)),
        f"joined by order: neither {hypotheses.source} nor {references.source} has ids",
    )


def _refuse_missing(source: str, ids: Sequence[str], known: set[str], other: str) -> None:
    missing = [study_id for study_id in ids if study_id not in known]
    if missing:
        raise DataError(
            f"{len(missing)} ids of {source} are not in {other}, the first is {missing[0]!r}"
        )


# Result folders.

METRICS_FILE = "metrics.json"
REPORTS_FILE = "reports.jsonl"
TABLE_FILE = "reports.csv"


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


def write_table(path: str | Path, records: Iterable[ReportRecord]) -> None:
    """Write texts as a CSV that a spreadsheet opens: study_id, reference, report.

    UTF-8, line breaks of a text kept inside its quotes. `read_texts` finds either side of it.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("study_id", "reference", "report"))
        table.writerows((one.study_id, one.reference, one.hypothesis) for one in records)


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
        if isinstance(loaded.get("annotations"), list):
            return _coco_rows(path, loaded["annotations"])
        if loaded and all(isinstance(one, dict) for one in loaded.values()):
            return _studies_by_id(loaded)
        for key, value in loaded.items():
            if isinstance(value, (list, dict)) and value and not _is_text(value):
                raise DataError(
                    f"{path}: {key!r} holds {len(value)} entries and no text; give one list of "
                    "objects, or one object of ids and texts (for R2Gen's annotation.json there "
                    "is --data with --annotation)"
                )
        return [{"study_id": key, "text": value} for key, value in loaded.items()]
    if not isinstance(loaded, list):
        raise DataError(f"{path}: expected a list or an object, got {type(loaded).__name__}")
    return loaded


def _studies_by_id(loaded: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Rows of an object id -> study, such as ReXrank's test sets and the submissions to it.

    There (github.com/rajpurkarlab/ReXrank, data/ and example_files/prediction.json)
    `model_prediction` is the generated report, `report` the true one with its headings, and
    `section_findings` and `section_impression` are its parts. Lists, as of images, are left out.
    """
    return [
        {name: value for name, value in entry.items() if not isinstance(value, list)}
        | {"study_id": key}
        for key, entry in loaded.items()
    ]


def _is_text(value: Any) -> bool:
    """A text, or one in a list, as some tools write the single reference."""
    return isinstance(value, str) or (
        isinstance(value, list) and len(value) == 1 and isinstance(value[0], str)
    )


def _coco_rows(path: Path, annotations: Sequence[Any]) -> list[Any]:
    """Images and captions of COCO's `annotations`, whose own `id` only counts them."""
    rows = []
    for number, one in enumerate(annotations, 1):
        if not isinstance(one, Mapping) or not {"image_id", "caption"} <= one.keys():
            raise DataError(f"{path} annotation {number}: expected image_id and caption")
        rows.append({"image_id": one["image_id"], "caption": one["caption"]})
    ids = [str(row["image_id"]) for row in rows]
    if len(set(ids)) < len(ids):
        twice = next(one for one in ids if ids.count(one) > 1)
        raise DataError(
            f"{path}: image {twice!r} has {ids.count(twice)} captions; a study has one reference "
            "here, so keep one of them"
        )
    return rows


def _csv_rows(path: Path, content: str, delimiter: str) -> list[dict[str, str]]:
    csv.field_size_limit(LONGEST_FIELD)
    separator, text, skipped = separated(content, delimiter)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    found: list[list[str]] = []
    begins = 1 + skipped
    try:
        for row in table:
            found.append(row)
            begins = table.line_num + 1 + skipped
    except csv.Error as error:
        raise DataError(
            f"{path} line {begins}: not a readable table ({error}); a quote may have been left "
            "open there or not doubled inside a text"
        ) from error
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
