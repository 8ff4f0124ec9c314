"""Image files as grey pixels, and pixels at the encoder's size."""

from __future__ import annotations

import hashlib
import io
import multiprocessing.util
import os
import shutil
import signal
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from xray_report.data.dicom import READING, is_dicom, jpeg_size, load_dicom
from xray_report.errors import ImageError

MIN_SIDE = 8
"""Images with a shorter side show nothing; they are refused."""
MAX_PIXELS = 80_000_000
"""Larger images are refused before decoding: no chest film has 80 megapixels, a bomb has."""
DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
           Image.DecompressionBombError)  # fmt: skip
"""What Pillow raises on damaged files."""
IDENTITY_BYTES = 4096
"""How much of a file's beginning is part of its identity."""


@dataclass(frozen=True)
class FilePixels:
    """A PNG, JPEG or DICOM file, told apart by content. Implements `Pixels`.

    Colour becomes grey (ITU-R 601), EXIF orientation is applied, 16-bit PNG is scaled as
    `to_8_bits` says, DICOM as `xray_report.data.dicom.load_dicom` says.
    """

    path: Path

    @property
    def identity(self) -> str:
        """Folder and file name, size, modification time and a digest of the first 4 KiB.

        It stays the same wherever the data set moves to. The digest tells apart what an archive
        unpacks under equal names with equal times. Never raises: that a file is gone is said by
        `load`.
        """
        name = f"{self.path.parent.name}/{self.path.name}"
        try:
            with self.path.open("rb", buffering=0) as file:
                stat = os.fstat(file.fileno())
                start = file.read(IDENTITY_BYTES)
        except OSError:
            return f"{name}:missing"
        digest = hashlib.blake2b(start, digest_size=8).hexdigest()
        reading = f":{READING}" if is_dicom(start) else ""
        return f"{name}:{stat.st_size}:{stat.st_mtime_ns}:{digest}{reading}"

    def load(self) -> NDArray[np.uint8]:
        """Grey image, uint8 [H, W]. Raises `ImageError`, `MissingExtraError` (DICOM)."""
        try:
            with self.path.open("rb") as file:
                start = file.read(HEADER_BYTES)
                header = read_header(start)
                if header is not None and header.kind != "dicom":
                    check_claimed_size(self.path, header.height, header.width)
                    start += file.read()
        except ImageError:
            raise
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
        if header.kind == "dicom":
            return check_size(self.path, load_dicom(self.path, MAX_PIXELS))
        return check_size(self.path, to_8_bits(self._decode(start, header.kind)))

    def _decode(self, data: bytes, kind: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Decode with Pillow; torchvision's libpng ends the process at a flipped bit."""
        try:
            with Image.open(io.BytesIO(data), formats=(kind,)) as image:
                check_claimed_size(self.path, image.height, image.width)
                return _grey(image)
        except DAMAGED as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(
                f"{self.path}: the {kind.upper()} is truncated or damaged; "
                "download it again or remove it"
            ) from error


def _grey(image: Image.Image) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Pixels [H, W] the right way up; 16 bits are kept for `to_8_bits`."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        return np.asarray(image).astype(np.uint16)
    # Copied, since torch wants to be able to write.
    return np.array(image if image.mode == "L" else image.convert("L"))


def check_claimed_size(path: Path, height: int, width: int) -> None:
    """`ImageError` if the image claims more pixels than any film has."""
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
    # Across, then down. Torch's kernel takes four channels at a time even where there is one, so
    # each gets a quarter of the rows, which the way across does not mix: twice as fast.
    height, width = image.shape
    quarters = np.pad(image, ((0, -height % 4), (0, 0))) if height % 4 else image
    # Torch warns of arrays that must not be written to, such as Pillow's.
    pixels = torch.from_numpy(np.require(quarters, requirements=("C", "W")))
    narrow = _resize(pixels.view(1, 4, -1, width), pixels.shape[0] // 4, size)
    resized = _resize(narrow.view(1, 1, -1, size)[:, :, :height], size, size)
    return np.asarray(resized[0, 0].numpy(), dtype=np.uint8)


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    return torch.nn.functional.interpolate(
        images, (height, width), mode="bilinear", antialias=True, align_corners=False
    )


def one_thread(worker: int) -> None:
    """Keep the processes that decode from fighting over the cores, and let them leave in silence.

    Signals to a whole group of processes are for the first one to answer.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)


def _leave(*_: object) -> None:
    with suppress(OSError):  # where it hands tensors over, which os._exit would leave behind
        shutil.rmtree(multiprocessing.util.get_temp_dir())
    os._exit(0)


# What kind of file an image is and how large it claims to be, before anything is decoded.

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_BYTES = 65536
"""Enough to hold a PNG's IHDR, and a JPEG's frame header behind its thumbnails."""

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
        return Header("jpeg", *jpeg_size(data))
    return Header("dicom") if is_dicom(data) else None
