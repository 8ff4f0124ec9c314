"""Writing files so that nothing on disk is ever half-written."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xray_report.errors import OutputError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

LONGEST_FIELD = 10_000_000
"""Characters of one field of a CSV. A quote left open can swallow the rest of a file into a
field: that is an error, and must not become a hang."""


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`.

    On an exception the temporary file (or folder) is removed and `path` is left as it was.

    Raises:
        OutputError: nothing can be written there, or the disk is full.
    """
    path = Path(path)
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with named_errors(path, DISK_FULL):
            yield temporary
        with named_errors(path):
            if temporary.is_file():
                temporary.chmod(0o644)  # mkstemp lets nobody else read
            temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


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
