"""Folders that the user named, and the ids and paths that tables name files by."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from xray_report.errors import DataError


def is_file(path: Path) -> bool:
    """Whether a file is there; raises `DataError` where the name or a folder forbids looking."""
    try:
        return path.is_file()
    except OSError as error:
        raise DataError(
            f"{str(path)[:200]}: cannot be looked at ({error.strerror}); correct the path, or give "
            "yourself the right to read its folder"
        ) from error


def is_folder(path: Path) -> bool:
    """Whether a folder is there; raises `DataError` as `is_file` does."""
    is_file(path)
    return path.is_dir()


def first_file(paths: Iterable[Path]) -> Path | None:
    """The first path that is a file, or None; raises `DataError` as `is_file` does."""
    return next((path for path in paths if is_file(path)), None)


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders under `root` and their sorted file names, level by level.

    Links are followed, a linked folder is seen once, hidden names are left out. Raises
    `DataError` if `root` is no folder or one of them may not be read.
    """
    if not is_folder(root):
        raise DataError(f"{root}: no such folder; set data.root to the data set's folder")
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
    """Sorted folders and sorted file names right under `folder`."""
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


_ID = re.compile(r"[\w.+-][\w.+ -]*", re.ASCII)


def check_id(value: str, place: str) -> str:
    """`value` stripped; `DataError` naming `place` if it is empty or could be taken for a path.

    Ids name rows of results and files of caches, so letters, digits and `. _ + -` must do.
    """
    value = value.strip()
    if not _ID.fullmatch(value) or ".." in value or len(value) > 200:
        raise DataError(
            f"{place}: id {value[:80]!r} must be letters, digits, '.', '_', '+' or '-' "
            "and no path; rename it"
        )
    return value


def path_inside(folder: Path, relative: str, place: str) -> Path:
    """`folder / relative`; `DataError` naming `place` if that is not under `folder`."""
    path = PurePosixPath(relative.strip().replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or ":" in path.parts[0]:
        raise DataError(
            f"{place}: image path {relative[:80]!r} must lie under the image folder {folder}; "
            "write it relative to that folder, without '..'"
        )
    return folder / path


# Archives.

LARGEST_PIECE = 64 << 20
"""Bytes read from an archive at once; a header that claims more is none."""


class _Pieces:
    """An unpacked stream that is read in pieces only: tarfile reads a header whole."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_PIECE:
            raise tarfile.ReadError(f"a header claims {size / 1e6:.0f} MB")
        return self._file.read(size)


@contextmanager
def opened_archive(file: BinaryIO) -> Iterator[tarfile.TarFile]:
    """A tar.gz whose headers may not unpack to gigabytes; errors are tarfile's and gzip's."""
    with gzip.GzipFile(fileobj=file) as unpacked:
        pieces: Any = _Pieces(unpacked)
        with tarfile.open(fileobj=pieces, mode="r:") as archive:
            yield archive
