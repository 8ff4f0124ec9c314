"""Unpacking a tar.gz so that nothing leaves its folder."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from xray_report.data.download.fetch import Progress, check_space
from xray_report.errors import DataError, OutputError
from xray_report.files import replacing


def unpack(archive: Path, folder: Path, progress: Progress = lambda done, total: None) -> int:
    """Unpack the regular files of `archive` under `folder`; returns how many it holds.

    Files that are there with the right size are left, so that an interrupted run goes on.
    Raises `DataError` at the first member that is absolute, climbs out with `..`, or is a link
    or a device: nothing of that archive is then trusted.
    """
    count, total = 0, archive.stat().st_size
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:gz") as tar:
            for member in tar:
                target = _target(member, archive, folder)
                if member.isfile():
                    _write(tar, member, target)
                    count += 1
                    progress(raw.tell(), total)
    except OutputError:
        raise
    except (EOFError, OSError, tarfile.TarError, zlib.error) as error:
        raise DataError(
            f"{archive}: cannot be unpacked ({error}); remove it and run the command again"
        ) from error
    return count


def check_whole(archive: Path) -> None:
    """Read a tar.gz through, by its checksums; a damaged one is removed: `DataError`."""
    try:
        with gzip.open(archive) as file:
            while file.read(1 << 20):
                pass
    except (EOFError, OSError, zlib.error) as error:
        archive.unlink()
        raise DataError(
            f"{archive}: came damaged ({error}); it was removed, run the command again"
        ) from error


def _target(member: tarfile.TarInfo, archive: Path, folder: Path) -> Path:
    path = PurePosixPath(member.name)
    outside = path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name
    if outside or not (member.isfile() or member.isdir()):
        raise DataError(
            f"{archive}: member {member.name[:80]!r} is a link, a device or lies outside DEST; "
            "the archive is not to be trusted, remove it"
        )
    return folder / path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if target.is_file() and target.stat().st_size == member.size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    check_space(target.parent, member.size, str(target))
    source = tar.extractfile(member)
    assert source is not None  # a regular file
    with replacing(target) as temporary, source, temporary.open("wb") as file:
        shutil.copyfileobj(source, file)
