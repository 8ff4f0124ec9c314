"""One file by HTTP: resumed where it was cut, checked, and only then given its name."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xray_report.errors import DataError, OutputError
from xray_report.files import named_errors

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes there will be (None: not told)."""
CHUNK = 1 << 18
TIMEOUT = 30.0
ATTEMPTS = 5
SPARE = 64 << 20
"""Bytes that must stay free on the disk."""


class _CutError(Exception):
    """The server stopped in mid-file or was busy: worth another attempt."""


@dataclass
class _Part:
    """The unfinished file, and beside it the validator that says it may be continued."""

    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def validator(self) -> str | None:
        try:
            found = json.loads(self.note.read_text())["validator"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) and self.path.is_file() else None

    def remember(self, headers: Any) -> None:
        """Note what identifies the server's file; a weak ETag cannot vouch for a range."""
        tag = headers.get("ETag", "W/")
        validator = headers.get("Last-Modified") if tag.startswith("W/") else tag
        self.note.write_text(json.dumps({"validator": validator}))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def fetch(
    url: str,
    path: Path,
    *,
    sha256_prefix: str = "",
    progress: Progress = lambda done, total: None,
    pause: float = 1.0,
) -> Path:
    """Download `url` to `path` unless it is there already; an earlier part is continued.

    A cut connection is taken up again by Range and If-Range, five times, `pause` seconds apart
    and doubling. Raises `DataError` if the server refuses, if the disk would be full, or if the
    size or the SHA-256 is wrong (what was downloaded is then removed).
    """
    _check_address(url)
    if path.is_file():
        _check_sum(path, url, sha256_prefix)
        return path
    with named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path.with_name(path.name + ".part"))
    for attempt in range(ATTEMPTS):
        try:
            _get(url, part, progress)
            break
        except _CutError as cut:
            if attempt == ATTEMPTS - 1:
                raise DataError(
                    f"{url}: {cut}, {ATTEMPTS} times; what came is kept, run the command again"
                ) from None
            time.sleep(pause * 2**attempt)
    part.note.unlink(missing_ok=True)
    _check_sum(part.path, url, sha256_prefix)
    with named_errors(path):
        part.path.replace(path)
    return path


def _check_address(url: str) -> None:
    try:
        address = urllib.parse.urlsplit(url)
        usable = address.scheme in ("https", "http") and address.hostname
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in url):
        raise DataError(f"{url}: no address; only https://... and http://... are downloaded")


def _get(url: str, part: _Part, progress: Progress) -> None:
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})
    validator = part.validator()
    have = part.path.stat().st_size if validator else 0
    if validator and have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", validator)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            _receive(response, part, have if response.status == 206 else 0, url, progress)
    except urllib.error.HTTPError as error:
        _refused(error, part, url)
    except OutputError:
        raise
    except (OSError, http.client.HTTPException) as error:  # all that sockets and TLS raise
        raise _CutError(f"no connection ({getattr(error, 'reason', None) or error})") from None


def _refused(error: urllib.error.HTTPError, part: _Part, url: str) -> None:
    error.close()
    if error.code == 416:  # the part is no part of what the server has now
        part.remove()
        raise _CutError("the server's file changed") from None
    if error.code >= 500 or error.code == 429:
        raise _CutError(f"the server answered {error.code} {error.reason}") from None
    raise DataError(
        f"{url}: the server refused it ({error.code} {error.reason}); "
        "open the address in a browser to see whether it has moved"
    ) from None


def _receive(response: Any, part: _Part, have: int, url: str, progress: Progress) -> None:
    length = response.headers.get("Content-Length")
    total = have + int(length) if length and length.isdigit() else None
    if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        part.remove()
        raise _CutError("the server continued at the wrong place")
    check_space(part.path.parent, (total or 0) - have, url)
    with named_errors(part.path):
        if not have:
            part.remember(response.headers)
        file = part.path.open("ab" if have else "wb")
    with file:
        while chunk := response.read(CHUNK):
            with named_errors(part.path):
                file.write(chunk)
            have += len(chunk)
            progress(have, total)
    if total is not None and have != total:
        raise _CutError(f"the connection was cut at {have} of {total} bytes")


def check_space(folder: Path, needed: int, what: str) -> None:
    """`DataError` unless the disk of `folder` has room for `needed` bytes and a little more."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE > free:
        raise DataError(
            f"{what}: needs {needed / 1e6:.0f} MB, the disk of {folder} has {free / 1e6:.0f} MB "
            "free; make room or choose another DEST"
        )


def _check_sum(path: Path, url: str, prefix: str) -> None:
    if not prefix:
        return
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    if not digest.hexdigest().startswith(prefix):
        path.unlink()
        raise DataError(
            f"{url}: what came has SHA-256 {digest.hexdigest()[:16]}..., not {prefix}...; "
            "it was removed, run the command again"
        )
