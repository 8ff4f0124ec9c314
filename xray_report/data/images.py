"""Image files as grey pixels, and pixels at the encoder's size."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from xray_report.data.image_header import HEADER_BYTES, MAX_PIXELS, Header, read_header
from xray_report.errors import ImageError

MIN_SIDE = 8
"""Images with a shorter side show nothing; they are refused."""
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
           Image.DecompressionBombError)  # fmt: skip
"""What Pillow raises on damaged files."""


@dataclass(frozen=True)
class FilePixels:
    """A PNG, JPEG or DICOM file, told apart by content. Implements `Pixels`.

    Colour becomes grey (ITU-R 601), 16-bit PNG is scaled as `to_8_bits` says, DICOM as
    `xray_report.data.dicom.load_dicom` says.
    """

    path: Path

    @property
    def identity(self) -> str:
        """Folder and file name, size and modification time: equal wherever the folder moves to.

        Never raises: that a file is gone is said by `load`.
        """
        name = f"{self.path.parent.name}/{self.path.name}"
        try:
            stat = self.path.stat()
        except OSError:
            return f"{name}:missing"
        return f"{name}:{stat.st_size}:{stat.st_mtime_ns}"

    def load(self) -> NDArray[np.uint8]:
        """Grey image, uint8 [H, W]. Raises `ImageError`, `MissingExtraError` (DICOM)."""
        header = self._header()
        if header.kind == "dicom":
            from xray_report.data.dicom import load_dicom

            return check_size(self.path, load_dicom(self.path))
        _check_claimed_size(self.path, header.height, header.width)
        try:
            with Image.open(self.path, formats=(header.kind,)) as image:
                _check_claimed_size(self.path, image.height, image.width)
                pixels = _grey(image)
        except DAMAGED as error:
            raise ImageError(
                f"{self.path}: the {header.kind.upper()} is truncated or damaged; "
                "download it again or remove it"
            ) from error
        return check_size(self.path, to_8_bits(pixels))

    def _header(self) -> Header:
        try:
            with self.path.open("rb") as file:
                header = read_header(file.read(HEADER_BYTES))
        except OSError as error:
            raise ImageError(
                f"{self.path}: cannot be read ({error.strerror}); "
                "check that the file exists and that you may read it"
            ) from error
        if header is None:
            raise ImageError(
                f"{self.path}: not a PNG, JPEG or DICOM image, whatever its name says; "
                "replace or remove it"
            )
        return header


def _grey(image: Image.Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Pixels [H, W] the right way up; 16 bits are kept for `to_8_bits`."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        return np.asarray(upright).astype(np.uint16)
    return np.array(upright.convert("L"))  # a copy, since torch wants to be able to write


def _check_claimed_size(path: Path, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{path}: claims {width} x {height} pixels, more than the "
            f"{MAX_PIXELS // 1_000_000} megapixels allowed; reduce or remove it"
        )


def check_size(path: Path, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`image` unchanged; `ImageError` if it is too small to show anything."""
    height, width = image.shape
    if min(height, width) < MIN_SIDE:
        raise ImageError(
            f"{path}: only {width} x {height} pixels, at least {MIN_SIDE} x {MIN_SIDE} are "
            "needed to show a chest; replace or remove it"
        )
    return image


def to_8_bits(image: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Uint8 [H, W] of a uint8 or uint16 one.

    Sixteen-bit files often hold 10, 12 or 14 bits: the scale is the smallest number of bits,
    at least 8, that the brightest pixel needs, so that those are not shown nearly black.
    """
    if image.dtype == np.uint8:
        return image.astype(np.uint8, copy=False)
    shift = max(int(image.max(initial=0)).bit_length() - 8, 0)
    return (image >> shift).astype(np.uint8)


def resize_gray(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Squash a grey image, uint8 [H, W] of any aspect ratio, to uint8 [size, size].

    Bilinear with antialiasing. The aspect ratio is not kept, as in the original work: nothing
    at the borders (costophrenic angles, apices) is cut off and no empty bars are learnt.
    """
    if image.shape == (size, size):
        return image
    # Torch warns of arrays that must not be written to, such as Pillow's.
    pixels = torch.from_numpy(np.require(image, requirements=("C", "W")))[None, None]
    resized = torch.nn.functional.interpolate(
        pixels, (size, size), mode="bilinear", antialias=True, align_corners=False
    )
    return np.asarray(resized[0, 0].numpy(), dtype=np.uint8)
