"""Text files as lines, JSON values and table rows; what is wrong with one is said in one line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from xray_report.errors import DataError


def read_rows(path: Path) -> list[Any]:
    """Rows of a `.csv` or `.tsv`, values of a `.jsonl` or `.json` list, or lines of anything else.

    An object in a `.json` becomes rows with `study_id` and `text`.

    Raises:
        DataError: the file cannot be read, or is not what its suffix says.
    """
    content, suffix = read_content(path), path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _table_rows(path, content, "," if suffix == ".csv" else "\t")
    if suffix in (".jsonl", ".ndjson"):
        return json_lines(path, content)
    if suffix == ".json":
        return _json_rows(path, parse_json(path, content))
    return lines(content)


def read_content(path: Path) -> str:
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


def lines(content: str) -> list[str]:
    """Lines of a text file; unlike `splitlines`, not parted at form feeds or U+2028."""
    return content.removesuffix("\n").split("\n") if content else []


def json_lines(path: Path, content: str) -> list[Any]:
    """One JSON value a line; blank lines are passed over."""
    filled = [(number, line) for number, line in enumerate(lines(content), 1) if line.strip()]
    return [parse_json(path, line, number) for number, line in filled]


def parse_json(path: Path, text: str, line: int | None = None) -> Any:
    """A JSON value; `line` is where it stands, if not the whole file."""
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


def _table_rows(path: Path, content: str, delimiter: str) -> list[dict[str, str]]:
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
