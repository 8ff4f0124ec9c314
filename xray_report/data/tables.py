"""CSV tables, JSON and text files, packed or not, with errors that name the file and the cure."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from xray_report.errors import DataError
from xray_report.files import LONGEST_FIELD, separated


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Rows of a UTF-8 CSV (or .csv.gz) with a header line, as column -> text ("" where empty).

    Cells are divided by commas, or as `files.separated` says.

    Each comes with its place, such as `t.csv, row 2`, for errors. Raises `DataError` if the file
    is missing, unreadable, empty, not UTF-8, not a CSV, or lacks one of `columns`.
    """
    return list(iterate_table(path, columns))


def iterate_table(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows as of `read_table`, one at a time: for tables of hundreds of megabytes.

    Raises as `read_table`, when the row is asked for.
    """
    csv.field_size_limit(LONGEST_FIELD)
    separator, text, skipped = separated(read_text(path))
    lines = (line[0] for line in _LINE.finditer(text))
    reader = csv.DictReader(lines, restval="", strict=True, delimiter=separator)
    begins, number = 1 + skipped, 1 + skipped
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        _check_columns(path, header, columns)
        begins = reader.line_num + 1 + skipped
        for number, row in enumerate(reader, start=2 + skipped):
            place = f"{path}, row {number}"
            yield place, _checked_row(row, place)
            begins = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise DataError(
            f"{path}: not a readable CSV ({error}) from line {begins} on, where a quote may have "
            "been left open or not doubled inside a text; correct that line"
        ) from error
    if number == 1 + skipped:
        raise DataError(f"{path}: has a header but no rows; the file may be cut, download it again")


_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
"""A line with its end. `io.StringIO` would take four bytes a letter, `splitlines` parts cells."""


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


def read_json(path: Path, cure: str) -> Any:
    """The value of a UTF-8 JSON file (gzip by its suffix).

    Raises `DataError` as `read_text`, and with `cure` at its end where it is no JSON.
    """
    return parse_json(read_text(path), str(path), cure)


def parse_json(text: str, place: str, cure: str) -> Any:
    """The value of a JSON text. Raises `DataError` that begins with `place`, ends with `cure`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers of over 4300 digits
        raise DataError(f"{place}: not valid JSON ({error}); {cure}") from None


def read_text(path: Path) -> str:
    """Text of a UTF-8 file (gzip by its suffix). Raises `DataError`, also if it is empty."""
    try:
        data = _unpacked(path) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: cannot be read ({reason}); check the path and its rights"
        ) from error
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


# Packed files, of which a few kilobytes can claim to be gigabytes.

MOST_UNPACKED = 1 << 30
"""Bytes of one packed text."""
LEAST_REFUSED = 64 << 20
MOST_RATIO = 50
"""Of unpacked to packed bytes: tables have 3 to 20, what gzip could claim is 1,032."""
LARGEST_HEADER = 1 << 20
"""Bytes that a tar archive may ask for at once; members are read by whom they concern."""


def _unpacked(path: Path) -> bytes:
    """All bytes of a gzip file. Raises `DataError` where they are more than a text may be."""
    most = min(max(LEAST_REFUSED, MOST_RATIO * path.stat().st_size), MOST_UNPACKED)
    with gzip.open(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise DataError(
            f"{path}: unpacks to more than {most / 1e6:.0f} MB, as few texts of "
            f"{path.stat().st_size / 1e6:.3g} MB do; if you trust it, unpack it yourself (gunzip)"
        )
    return data


class BoundedGzip(gzip.GzipFile):
    """A packed tar archive, for `tarfile`, whose headers are read whole, whatever they claim.

    Args:
        packed: the archive, open.
        most: bytes that it may unpack to; None for any number.

    Reading raises `OSError` beyond that, and for a header of over `LARGEST_HEADER` bytes.
    """

    def __init__(self, packed: BinaryIO, most: int | None = None) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self._most = most

    def read(self, size: int | None = -1) -> bytes:
        """As of every file, but for the bounds."""
        if size is None or not 0 <= size <= LARGEST_HEADER:
            raise OSError(f"a header of it claims {size} bytes")
        return super().read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of every file, but for the bounds."""
        if self._most is not None and offset > self._most:
            raise OSError(f"it unpacks to more than {self._most / 1e6:.0f} MB")
        return super().seek(offset, whence)
