"""Ids and relative paths that come from tables, and must not lead anywhere else."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from xray_report.errors import DataError

_ID = re.compile(r"[\w.+-][\w.+ -]*", re.ASCII)


def check_id(value: str, where: str) -> str:
    """`value` stripped; `DataError` if it is empty or could be taken for a path.

    Ids name rows of results and files of caches, so letters, digits and `. _ + -` must do.
    """
    value = value.strip()
    if not _ID.fullmatch(value) or ".." in value or len(value) > 200:
        raise DataError(
            f"{where}: id {value[:80]!r} must be letters, digits, '.', '_', '+' or '-' "
            "and no path; rename it"
        )
    return value


def inside(folder: Path, relative: str, where: str) -> Path:
    """`folder / relative`; `DataError` if that is absolute or climbs out of `folder`."""
    path = PurePosixPath(relative.strip().replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]:
        raise DataError(
            f"{where}: image path {relative[:80]!r} must lie under the image folder {folder}; "
            "write it relative to that folder, without '..'"
        )
    return folder / path
