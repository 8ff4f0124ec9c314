"""Opening the files word vectors are published in: text, gzip, and zip archives of texts."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from xray_report.errors import VectorsError


@contextmanager
def open_vectors(source: str) -> Iterator[BinaryIO]:
    """Open a vector file for reading bytes, unpacking on the way and never onto the disk.

    Args:
        source: path of a text file, a `.gz`, or a `.zip`; `path.zip:member` chooses a zip's member.

    Raises:
        VectorsError: there is no such file or member, or it cannot be unpacked, whenever during
            reading that shows.
    """
    try:
        path, member = _split(source)
        if _begins(path, b"PK\x03\x04"):
            with zipfile.ZipFile(path) as archive:
                name = _member(archive, path, member)
                with archive.open(name) as packed, io.BufferedReader(packed) as stream:  # type: ignore[type-var]
                    yield stream
        elif member:
            raise VectorsError(f"{path} is not a zip archive, so {source} cannot be read")
        elif _begins(path, b"\x1f\x8b"):
            with gzip.open(path, "rb") as unpacked:
                yield io.BufferedReader(unpacked)
        else:
            with path.open("rb") as stream:
                yield stream
    except FileNotFoundError:
        raise VectorsError(
            f"word vectors {source} not found; give the path of a GloVe file or 'bundled'"
        ) from None
    # An encrypted zip is a RuntimeError, an unknown packing a NotImplementedError.
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise VectorsError(
            f"word vectors {source} cannot be read ({error}); fetch the file again"
        ) from error


def _split(source: str) -> tuple[Path, str]:
    """Part `path.zip:member`; a colon elsewhere belongs to the path."""
    path = Path(source).expanduser()
    head, mark, member = source.partition(".zip:")
    if mark and not path.exists():
        return Path(head + ".zip").expanduser(), member
    return path, ""


def _member(archive: zipfile.ZipFile, path: Path, asked: str) -> str:
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    if asked:
        if asked not in names:
            raise VectorsError(f"{path} holds no {asked}; it holds {', '.join(names)}")
        return asked
    texts = [name for name in names if name.endswith(".txt")]
    if len(texts) != 1:
        raise VectorsError(
            f"{path} holds {len(texts)} vector texts; name one of them after a colon, "
            f"{path}:MEMBER: {', '.join(texts or names)}"
        )
    return texts[0]


def _begins(path: Path, magic: bytes) -> bool:
    """Recognise a packing by the file's first bytes, not by its name."""
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic
