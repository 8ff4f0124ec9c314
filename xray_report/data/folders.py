"""Walking through folders that the user named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

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
