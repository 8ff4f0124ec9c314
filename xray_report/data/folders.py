"""Walking through folders that the user named."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from xray_report.errors import DataError


def is_file(path: Path) -> bool:
    """Whether a file lies there; raises `DataError` where the name or a folder forbids looking."""
    try:
        return path.is_file()
    except OSError as error:
        raise DataError(
            f"{str(path)[:200]}: cannot be looked at ({error.strerror}); correct the path, or give "
            "yourself the right to read its folder"
        ) from error


def is_folder(path: Path) -> bool:
    """Whether a folder lies there; raises `DataError` as `is_file` does."""
    is_file(path)
    return path.is_dir()


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders under `root` and their sorted file names, level by level.

    Links are followed, a linked folder is seen once, hidden names are left out. Raises
    `DataError` if `root` is no folder or one of them may not be read.
    """
    if not is_folder(root):
        raise DataError(f"{root}: no such folder; set data.root to where the data set lies")
    level, seen = [root], {root.resolve()}
    while level:
        deeper: list[Path] = []
        for folder in level:
            folders, files = _list(folder)
            yield folder, files
            for child in folders:
                if child.resolve() not in seen:
                    seen.add(child.resolve())
                    deeper.append(child)
        level = deeper


def _list(folder: Path) -> tuple[list[Path], list[str]]:
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            folders = sorted(Path(entry) for entry in shown if entry.is_dir())
            return folders, sorted(entry.name for entry in shown if not entry.is_dir())
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be looked into ({error.strerror}); "
            "give yourself the right to read it (chmod u+rx)"
        ) from error


# ------------------------------------------------------------------------------
# Ids and relative paths that come from tables, and must not lead anywhere else.

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
