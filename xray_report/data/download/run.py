"""All files of one entry of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from xray_report.data.download.catalog import CATALOG, EXPLAINED
from xray_report.data.download.fetch import Progress, fetch
from xray_report.data.download.unpack import check_whole, unpack
from xray_report.errors import OptionError

Watch = Callable[[str], Progress]
"""Makes the progress callback of one named task."""


def check_name(what: str) -> None:
    """`OptionError` unless `what` can be downloaded or explained."""
    if what not in CATALOG and what not in EXPLAINED:
        choices = ", ".join([*CATALOG, *EXPLAINED])
        raise OptionError(f"download: choose one of {choices}; got {what!r}")


def download(what: str, dest: Path, *, mirror: str | None = None, watch: Watch) -> list[Path]:
    """Fetch (and unpack) every file of `CATALOG[what]`; returns what now lies under `dest`.

    `mirror` is an address that holds files of the same names, instead of the official one.
    Raises `OptionError`, `DataError`.
    """
    check_name(what)
    made: list[Path] = []
    for asset in CATALOG[what]:
        url = f"{mirror.rstrip('/')}/{asset.file_name}" if mirror else asset.url
        progress = watch(asset.file_name)
        path = fetch(
            url, dest / asset.file_name, sha256_prefix=asset.sha256_prefix, progress=progress
        )
        made.append(path)
        if path.suffix == ".tgz" and asset.unpack_to is None:
            check_whole(path)
        if asset.unpack_to is not None:
            unpack(path, dest / asset.unpack_to, watch(f"unpacking {asset.file_name}"))
            made.append(dest / asset.unpack_to)
    return made
