"""The real files, where this checkout has them beside it; tests skip without."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[4].parent / "shared" / "data"
IMAGES, KAGGLE = SHARED / "iu_xray" / "images", SHARED / "iu_xray"
ANNOTATION = SHARED / "r2gen" / "annotation.json"

needs_images = pytest.mark.skipif(not IMAGES.is_dir(), reason="no real IU X-ray images beside it")
needs_annotation = pytest.mark.skipif(
    not ANNOTATION.is_file(), reason="no R2Gen annotation.json beside it"
)
needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("torchxrayvision") is None, reason="needs the extra iu-xray"
)
