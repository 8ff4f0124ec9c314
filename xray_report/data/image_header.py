"""What kind of file an image is and how large it claims to be, before anything is decoded."""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_BYTES = 65536
"""Enough to hold a PNG's IHDR, and a JPEG's frame header behind its thumbnails."""

MAX_PIXELS = 80_000_000
"""Larger images are refused before decoding: no chest film has 80 megapixels, a bomb has."""

Kind = Literal["png", "jpeg", "dicom"]


class Header(NamedTuple):
    """Format of a file by its content; height and width in pixels, 0 where not known yet."""

    kind: Kind
    height: int = 0
    width: int = 0


def read_header(data: bytes) -> Header | None:
    """Header of a PNG, JPEG or DICOM file from its first bytes; None if it is none of them."""
    if data.startswith(PNG_SIGNATURE) and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return Header("png", height, width)
    if data.startswith(b"\xff\xd8\xff"):
        return Header("jpeg", *_jpeg_size(data))
    if data[128:132] == b"DICM":
        return Header("dicom")
    return None


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width from the frame header (SOF0-15 but DHT, JPG, DAC); zeros if not in sight."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return height, width
        else:
            at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return 0, 0
