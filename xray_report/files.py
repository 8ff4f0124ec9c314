"""Writing files so that nothing on disk is ever half-written."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from xray_report.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_EXCEL_LINE = re.compile(r"\s*\"?sep=([^\w\s\"]|\t)\"?[\s,;]*", re.IGNORECASE)

SUFFIX = ".xray_report.tmp"
"""Of the files that are being written; their names begin with a dot."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No room on the disk, in the quota, or under `ulimit -f`."""

LONGEST_FIELD = 10_000_000
"""Characters of one field of a CSV. A quote left open can swallow the rest of a file into a
field: that is an error, and must not become a hang."""


class Separated(NamedTuple):
    """A table as text.

    Args:
        separator: of its cells.
        text: from the header line on.
        skipped: lines before the header.
    """

    separator: str
    text: str
    skipped: int


def separated(text: str, usual: str = ",") -> Separated:
    """How the cells of a CSV are divided: as Excel's line `sep=;` says, or as its header is.

    The header is divided by `usual` or, where it holds none of them, by semicolons or tabs, which
    Excel writes where commas are decimal.
    """
    header, _, rest = text.partition("\n")
    if match := _EXCEL_LINE.fullmatch(header):
        return Separated(match[1], rest, 1)
    found = (one for one in (usual, ";", "\t") if one in header)
    return Separated(next(found, usual), text, 0)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, synced to disk.

    On an exception the temporary file (or folder) is removed and `path` is left as it was. What a
    killed process leaves is for `remove_leftovers`.

    Raises:
        OutputError: nothing can be written there, or the disk is full.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}{SUFFIX}"
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
    try:
        _lock(handle)
        with named_errors(path, DISK_FULL):
            yield temporary
        with named_errors(path):
            if temporary.is_file():
                _sync(temporary)
            temporary.replace(path)
        with suppress(OSError):  # not every file system knows how
            _sync(path.parent)
    finally:
        os.close(handle)
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: str | Path, below: bool = True) -> None:
    """Remove the temporary files that processes left in `folder` when they were killed.

    Those that are being written are locked, and stay.

    Args:
        folder: need not be there.
        below: also look into all folders in it.
    """
    if fcntl is None:
        return
    for path in Path(folder).glob(f"{'**/' * below}.*{SUFFIX}"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(handle)


def _lock(handle: int) -> None:
    """Show that a file is being written, as long as this process lives."""
    if fcntl is not None:
        with suppress(OSError):  # not every file system knows how
            fcntl.flock(handle, fcntl.LOCK_EX)


def _sync(path: Path) -> None:
    """Have the system put a file or a folder onto the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def check_room(folder: Path, size: int) -> None:
    """Raise `OutputError` unless `folder`, which exists, has room for `size` bytes.

    A file that is mapped into memory, or has holes, finds out too late, and by a signal.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise OutputError(
            f"{folder} needs room for {size / 1e9:.3g} GB and has {free / 1e9:.3g} GB left: "
            "free some"
        )


@contextmanager
def named_errors(path: Path, only: tuple[int, ...] = ()) -> Iterator[None]:
    """Turn what the system says while `path` is written (`only` these) into an `OutputError`."""
    try:
        yield
    except OSError as error:
        if only and error.errno not in only:
            raise
        raise OutputError(
            f"{path} cannot be written: {error.strerror}; name another place or make room there"
        ) from error


def short(path: str | Path) -> str:
    """A path as it is called from where the program runs, if it lies below."""
    inside = os.path.relpath(path)
    return str(path) if inside.startswith(os.pardir) else inside
