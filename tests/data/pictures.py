"""Small image files for tests."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def gray(seed: int, shape: tuple[int, int] = (24, 20)) -> NDArray[np.uint8]:
    """Noise of a seed, uint8 [H, W]."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def write_png(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16] | int = 0) -> Path:
    """Write an array, or the noise of a seed, and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(gray(image) if isinstance(image, int) else image).save(path, format="PNG")
    return path


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its data does not have."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
    )
