"""CSV tables and text files, with errors that name the file, the column and the cure."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xray_report.errors import DataError
from xray_report.files import LONGEST_FIELD

LARGEST_UNPACKED = 400_000_000
"""Bytes of a .gz; the largest table of the collections, of MIMIC-CXR-JPG, has 56 million."""


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Rows of a UTF-8 CSV (or .csv.gz) with a header line, as column -> text ("" where empty).

    Each comes with its place, such as `t.csv, row 2`, for errors. Raises `DataError` if the file
    is missing, unreadable, empty, not UTF-8, not a CSV, or lacks one of `columns`.
    """
    csv.field_size_limit(LONGEST_FIELD)
    try:
        reader = csv.DictReader(io.StringIO(read_text(path), newline=""), restval="", strict=True)
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        _check_columns(path, header, columns)
        places = ((f"{path}, row {number}", row) for number, row in enumerate(reader, start=2))
        rows = [(place, _checked_row(row, place)) for place, row in places]
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV ({error}); save it as a plain CSV") from error
    if not rows:
        raise DataError(f"{path}: has a header but no rows; the file may be cut, download it again")
    return rows


def _check_columns(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    """`DataError` naming the first of `columns` that `header` lacks, or a name it has twice."""
    if twins := [name for name, count in Counter(header).items() if name and count > 1]:
        raise DataError(f"{path}: column {twins[0]!r} stands twice; rename one of them")
    for name in columns:
        if name not in header:
            raise DataError(
                f"{path}: no column {name!r}; it has {' '.join(', '.join(header).split())[:300]}. "
                "Check that this is the right file, or its header line"
            )


def _checked_row(row: dict[str | None, Any], place: str) -> dict[str, str]:
    """A row; `DataError` if it has text beyond the last column, which would be lost."""
    beyond = row.pop(None, [])
    if any(cell.strip() for cell in beyond):
        raise DataError(
            f"{place}: more cells than the header has columns; put text that holds commas in quotes"
        )
    return {str(name): value for name, value in row.items()}


def read_text(path: Path) -> str:
    """Text of a UTF-8 file (gzip by its suffix). Raises `DataError`, also if it is empty."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                data = file.read(LARGEST_UNPACKED + 1)
        else:
            data = path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be read ({reason}); check the path and its rights"
        ) from error
    if path.suffix == ".gz" and len(data) > LARGEST_UNPACKED:
        raise DataError(
            f"{path}: unpacks to more than {LARGEST_UNPACKED / 1e6:.0f} MB; if that is right, "
            "unpack it yourself"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 (byte {error.start} is 0x{data[error.start]:02x}); "
            "save the file with UTF-8 encoding"
        ) from error
    if not text.strip():
        raise DataError(f"{path}: is empty; download or export it again")
    return text
