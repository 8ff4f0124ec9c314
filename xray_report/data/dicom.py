"""DICOM files as grey pixels (extra `dicom`).

A film has at most 65,536 stored values, so its grey levels are worked out for each of them and
looked up, whatever the film's size: values stored, modality LUT, VOI LUT or window, grey scale.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from xray_report.data.study import View
from xray_report.errors import ImageError, MissingExtraError, one_line

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

READING = "grey 2"
"""Named in the identity of a DICOM file: what is kept of a film goes when it is shown otherwise."""
FIRST_GROUPS = (0x0002, 0x0008)
"""Groups that a file without preamble begins with: file meta information, or the data set."""
BLOCK = 1 << 20
"""Pixels looked up at a time: numpy widens its indices to eight bytes each."""


def is_dicom(data: bytes) -> bool:
    """Whether a file that begins like this, 132 bytes or more, is DICOM.

    By the mark behind the preamble (PS3.10, 7.1) or, where a film was stored without one, by a
    first element such as every data set begins with (PS3.5, 7.1), of either byte order.
    """
    if data[128:132] == b"DICM":
        return True
    if len(data) < 132:
        return False
    for order in "<>":
        group, element, length = struct.unpack_from(f"{order}HHI", data)
        if group in FIRST_GROUPS and element <= 0x0100:
            explicit = data[4:6].isalpha() and data[4:6].isupper()
            return explicit or (order == "<" and length <= 1024 and length % 2 == 0)
    return False


class TagError(Exception):
    """A tag's value is not one that a film can be shown by."""

    def __init__(self, keyword: str, fault: str) -> None:
        from pydicom.datadict import dictionary_description, tag_for_keyword

        tag = tag_for_keyword(keyword) or 0
        place = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
        super().__init__(f"{dictionary_description(tag)} {place} {fault}")


RUST_PANIC = "PanicException"
"""What a plug-in written in Rust raises, outside of Python's `Exception`."""


def load_dicom(path: Path, most_pixels: int) -> NDArray[np.uint8]:
    """Grey image, uint8 [H, W], as a viewer shows it; at most `most_pixels` are decoded.

    Modality LUT or rescale, then VOI LUT or window (PS3.3 C.11.1, C.11.2), whose range is 0..255;
    without either the range of the pixels that are no padding is. MONOCHROME1 is inverted,
    padding is black. Empty LUT items, and windows too narrow to show anything, count as none, as
    in viewers. Compressed syntaxes by pylibjpeg.

    Raises `ImageError`, naming the tag that cannot be followed, and `MissingExtraError` without
    pydicom.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: reading DICOM needs pydicom: pip install 'xray-report[dicom]'"
        ) from error
    try:
        dataset = _read(path, 2 * most_pixels + DATA_SET_BYTES)
        _check(path, dataset, most_pixels)
        return _shown(dataset, _pixels(dataset))
    except (ImageError, MissingExtraError):
        raise
    except TagError as error:
        raise ImageError(
            f"{path}: {error}; correct the tag, or export the image again or remove it"
        ) from error
    except BaseException as error:  # pydicom and its plug-ins raise a dozen kinds on damaged files
        if not isinstance(error, Exception) and type(error).__name__ != RUST_PANIC:
            raise
        raise ImageError(
            f"{path}: the DICOM cannot be decoded ({one_line(error)}); "
            "export it again uncompressed, or remove it; if it is a plug-in that is missing: "
            "pip install 'xray-report[dicom]'"
        ) from error


# The data set of a file, and what of it is refused before anything is decoded.

DATA_SET_BYTES = 1 << 26
"""Most that a deflated data set may hold beside its pixels."""


def _read(path: Path, most_bytes: int, **how: Any) -> Any:
    """pydicom's `Dataset` of a file, with or without preamble and file meta information.

    Args:
        path: of the file.
        most_bytes: that a deflated data set may become.
        how: `dcmread`'s options.
    """
    from pydicom import dcmread
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

    with path.open("rb") as file:
        read_preamble(file, force=True)
        found = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
        meta = FileMetaDataset(found)
        syntax = meta.get("TransferSyntaxUID")
        if len(meta) and syntax is None:
            raise TagError("TransferSyntaxUID", "is missing")
        if syntax != DeflatedExplicitVRLittleEndian:
            file.seek(0)
            dataset: Any = dcmread(file, force=True, **how)
            if syntax is None:
                dataset.file_meta.TransferSyntaxUID = _syntax_without_meta(dataset)
            return dataset
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        body = inflater.decompress(file.read(), most_bytes)
    if inflater.unconsumed_tail:
        raise TagError(
            "TransferSyntaxUID", f"is deflated and holds over {most_bytes >> 20} MiB when inflated"
        )
    dataset = read_dataset(io.BytesIO(body), False, True)
    dataset.file_meta = meta
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def _syntax_without_meta(dataset: Any) -> str:
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    implicit, little = dataset.original_encoding
    pixels = dataset.get_item("PixelData") if "PixelData" in dataset else None
    if pixels is not None and pixels.length == 0xFFFFFFFF:
        raise TagError("TransferSyntaxUID", "is missing, and the pixels are compressed")
    if implicit:
        return str(ImplicitVRLittleEndian)
    return str(ExplicitVRLittleEndian if little else ExplicitVRBigEndian)


def _check(path: Path, dataset: Any, most_pixels: int) -> None:
    if "PixelData" not in dataset:
        raise ImageError(f"{path}: the DICOM holds no image; remove it from the data set")
    frames = _integer(dataset, "NumberOfFrames", 1)
    if frames not in (0, 1) or _integer(dataset, "SamplesPerPixel", 1) != 1:
        raise ImageError(
            f"{path}: not one grey image (several frames, or colour); export it as one"
        )
    if (kind := _interpretation(dataset)) not in ("MONOCHROME1", "MONOCHROME2"):
        raise TagError("PhotometricInterpretation", f"is {kind[:40]!r}, not grey")
    height, width = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    if height * width > most_pixels:
        raise ImageError(
            f"{path}: claims {width} x {height} pixels, more than the "
            f"{most_pixels // 1_000_000} megapixels allowed; reduce or remove it"
        )
    allocated = _integer(dataset, "BitsAllocated")
    if allocated not in (8, 16):
        raise TagError("BitsAllocated", f"is {allocated}; films have 8 or 16")
    stored, high = _integer(dataset, "BitsStored"), _high_bit(dataset)
    if not 1 <= stored <= allocated:
        raise TagError("BitsStored", f"is {stored}, of {allocated} bits allocated")
    if not stored - 1 <= high < allocated:
        raise TagError("HighBit", f"is {high}, with {stored} of {allocated} bits stored")


def _interpretation(dataset: Any) -> str:
    return str(dataset.get("PhotometricInterpretation") or "").strip()


def _high_bit(dataset: Any) -> int:
    return _integer(dataset, "HighBit", _integer(dataset, "BitsStored") - 1)


def _integer(dataset: Any, keyword: str, default: int | None = None) -> int:
    """A tag's whole number; `default` where it is missing or empty, if there is one."""
    numbers = _numbers(dataset, keyword)
    if not numbers and default is not None:
        return default
    if len(numbers) != 1 or numbers[0] % 1:
        raise TagError(keyword, "must be one whole number" if numbers else "is missing")
    return int(numbers[0])


def _numbers(dataset: Any, keyword: str) -> list[float]:
    """A tag's numbers; none where it is missing or empty."""
    try:
        value = dataset.get(keyword)
        several = isinstance(value, (list, tuple)) or hasattr(value, "append")
        numbers = [float(one) for one in (value if several else [value]) if one not in (None, "")]
    except Exception as error:  # pydicom reads a tag when it is asked for
        raise TagError(keyword, f"is not a number ({one_line(error, 60)})") from error
    if not all(map(math.isfinite, numbers)):
        raise TagError(keyword, "is not a finite number")
    return numbers


# Pixels: what compressed ones claim is compared with the header before they are decoded.


def _pixels(dataset: Any) -> NDArray[Any]:
    """Stored values [H, W] as integers of 8 or 16 bits, unused bits as they are in the file."""
    from pydicom.pixels.utils import pixel_array

    native = not dataset.file_meta.TransferSyntaxUID.is_compressed
    if not native:
        _check_compressed(dataset)
    return pixel_array(dataset, raw=True, view_only=native, correct_unused_bits=not native)


def _check_compressed(dataset: Any) -> None:
    from pydicom.encaps import get_frame
    from pydicom.uid import JPEG2000TransferSyntaxes, JPEGTransferSyntaxes, RLETransferSyntaxes

    syntax = dataset.file_meta.TransferSyntaxUID
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    height, width = _integer(dataset, "Rows"), _integer(dataset, "Columns")
    if syntax in RLETransferSyntaxes:
        # Runs of at least two bytes; what does not repeat grows by one byte in 128.
        if len(frame) > 1024 + 2 * height * width * _integer(dataset, "BitsAllocated") // 8:
            raise TagError("PixelData", f"is too long for {width} x {height} pixels in RLE")
        return
    if syntax in JPEG2000TransferSyntaxes or "JPEG 2000" in syntax.name:
        claimed = jpeg_2000_size(frame)
    elif syntax in JPEGTransferSyntaxes or "JPEG" in syntax.name:
        claimed = jpeg_size(frame)
    else:
        raise TagError("TransferSyntaxUID", f"is {syntax.name}, which no film is stored in")
    if claimed != (height, width):
        said = f"{claimed[1]} x {claimed[0]} grey pixels" if any(claimed) else "no grey image"
        raise TagError("PixelData", f"holds {said} where the header says {width} x {height}")


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width of a JPEG or JPEG-LS from its frame header; zeros if not in sight.

    SOF0 to SOF15 but DHT, JPG, DAC (ITU-T T.81, table B.1), and SOF55 (T.87).
    """
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return 0, 0


def jpeg_2000_size(data: bytes) -> tuple[int, int]:
    """Height and width of a JPEG 2000 of one component; zeros of any other, or if not in sight.

    By the SIZ marker, which comes first (ITU-T T.800, A.5.1), within a JP2 file's boxes if it is
    one (I.4), as it must not be in DICOM and sometimes is.
    """
    at = 0
    if data[4:8] == b"jP  ":
        at = next((start for kind, start in _boxes(data) if kind == b"jp2c"), len(data))
    if data[at : at + 4] != b"\xff\x4f\xff\x51" or len(data) < at + 42:
        return 0, 0
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    (components,) = struct.unpack_from(">H", data, at + 40)
    return (bottom - top, right - left) if components == 1 else (0, 0)


def _boxes(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Kind and start of what is in each box of a JP2 file."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        yield kind, start
        if length < 8:
            return
        at += length


# Grey levels.


def _shown(dataset: Any, raw: NDArray[Any]) -> NDArray[np.uint8]:
    """Uint8 [H, W] of the stored values [H, W]."""
    unsigned = np.dtype(f"u{raw.dtype.itemsize}")
    # The file's byte order may not be this machine's.
    codes = raw.astype(raw.dtype.newbyteorder("="), copy=False).view(unsigned)
    occurs = np.zeros(1 << (8 * unsigned.itemsize), np.bool_)
    blocks = max(1, BLOCK // max(1, raw.shape[1]))
    for start in range(0, len(codes), blocks):
        occurs[codes[start : start + blocks]] = True
    grey = _grey_levels(dataset, raw.dtype.newbyteorder("="), occurs)
    shown = np.empty(codes.shape, np.uint8)
    for start in range(0, len(codes), blocks):
        shown[start : start + blocks] = grey[codes[start : start + blocks]]
    return shown


def _grey_levels(dataset: Any, kind: np.dtype[Any], occurs: Bools) -> NDArray[np.uint8]:
    """Grey level, uint8 [codes], of each bit pattern that a pixel of type `kind` may have."""
    codes = np.arange(len(occurs)).astype(f"u{kind.itemsize}")
    written = codes.view(kind).astype(np.int64)
    values, unused = written, np.zeros(len(codes), np.bool_)
    if not dataset.file_meta.TransferSyntaxUID.is_compressed:
        values, unused = _stored(dataset, codes.astype(np.int64), kind.kind == "i")
    padding = _is_padding(dataset, written) | _is_padding(dataset, values)
    seen = occurs & ~padding
    if (unused & seen).any() and not _overlays_in_pixels(dataset):
        raise TagError(
            "BitsStored",
            f"is {_integer(dataset, 'BitsStored')}, and pixels have more bits than that",
        )
    output = _modality(dataset, values, seen)
    fraction = _voi(dataset, output, seen)
    if fraction is None:
        low, high = (output[seen].min(), output[seen].max()) if seen.any() else (0.0, 0.0)
        fraction = (output - low) / max(high - low, 1e-6)
    scaled = np.clip(fraction, 0.0, 1.0) * 255.0
    if _interpretation(dataset) == "MONOCHROME1":
        scaled = 255.0 - scaled
    scaled[padding] = 0.0
    return cast(NDArray[np.uint8], np.rint(scaled).astype(np.uint8))


def _stored(dataset: Any, codes: Integers, signed: bool) -> tuple[Integers, Bools]:
    """Value in the bits stored (PS3.5, 8.1.1), and whether a bit above them is in use, [codes]."""
    bits, high = _integer(dataset, "BitsStored"), _high_bit(dataset)
    values = (codes >> (high + 1 - bits)) & ((1 << bits) - 1)
    above = codes >> (high + 1)
    unused = above != 0
    if signed:
        negative = values >> (bits - 1)
        values = values - (negative << bits)
        every = (len(codes) - 1) >> (high + 1)
        unused &= (negative == 0) | (above != every)
    return values, unused


def _overlays_in_pixels(dataset: Any) -> bool:
    """Whether the header says that unused bits hold overlays (retired, PS3.3 C.9.2 of 2004)."""
    positions = (dataset.get((0x6000 + 2 * i, 0x0102)) for i in range(16))
    return any(one is not None and one.value not in (None, "", 0) for one in positions)


def _is_padding(dataset: Any, values: Integers) -> Bools:
    """Whether a value lies outside the exposed field (PS3.3 C.7.5.1.1.2), bool [codes].

    Compared modulo 2^16: the tag may be written in the sign that the pixels do not have.
    """
    if not _numbers(dataset, "PixelPaddingValue"):
        return np.zeros(len(values), np.bool_)
    padding = _integer(dataset, "PixelPaddingValue")
    limit = _integer(dataset, "PixelPaddingRangeLimit", padding)
    signed = _integer(dataset, "PixelRepresentation", 0) == 1
    low, high = sorted(_of_sign(one, signed) for one in (padding, limit))
    return (values >= low) & (values <= high)


def _of_sign(value: int, signed: bool) -> int:
    """The number of 16 bits that `value` is, written with or without sign."""
    value &= 0xFFFF
    return value - 0x10000 if signed and value >= 0x8000 else value


def _modality(dataset: Any, values: Integers, seen: Bools) -> Floats:
    """What values mean, by LUT or rescale (PS3.3 C.11.1); an empty slope is 1, an intercept 0."""
    lut = _first_lut(dataset, "ModalityLUTSequence")
    if lut is not None:
        return lut.look_up(values, seen)
    slopes, intercepts = _numbers(dataset, "RescaleSlope"), _numbers(dataset, "RescaleIntercept")
    slope, intercept = (slopes or [1.0])[0], (intercepts or [0.0])[0]
    if slope == 0:
        raise TagError("RescaleSlope", "is 0, which makes all pixels alike")
    return values.astype(np.float64) * slope + intercept


def _voi(dataset: Any, values: Floats, seen: Bools) -> Floats | None:
    """Fraction of the grey scale [codes], by LUT or window (PS3.3 C.11.2); None without either."""
    lut = _first_lut(dataset, "VOILUTSequence")
    if lut is not None:
        return lut.look_up(np.rint(values).astype(np.int64), seen) / lut.highest
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise TagError("VOILUTFunction", f"is {function[:40]!r}, which is unknown")
    narrowest = 1.0 if function == "LINEAR" else 1e-6
    centers, widths = _numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth")
    for center, width in zip(centers, widths, strict=False):
        if width >= narrowest:
            return _windowed(values, center, width, function)
    return None


def _windowed(values: Floats, center: float, width: float, function: str) -> Floats:
    if function == "SIGMOID":
        steep = np.clip(-4.0 * (values - center) / width, -60.0, 60.0)
        return 1.0 / (1.0 + np.exp(steep))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1.0
    return (values - center) / max(width, 1e-6) + 0.5


class _Lut(NamedTuple):
    """A look-up table (PS3.3 C.11.1.1).

    Args:
        keyword: of its sequence.
        first: value that has the first entry.
        entries: int64; values beyond either end have the nearest.
        highest: entry that is white.
    """

    keyword: str
    first: int
    entries: Integers
    highest: int

    def look_up(self, values: Integers, seen: Bools) -> Floats:
        """Entries, float64 [codes]; `seen` tells which values occur.

        The first value is written with or without sign: as it is if that meets what occurs.
        """
        found = values[seen] if seen.any() else values
        firsts = [self.first + turn for turn in (0, -0x10000, 0x10000)]
        last = len(self.entries) - 1
        meets = (one for one in firsts if found.min() <= one + last and one <= found.max())
        at = np.clip(values - next(meets, self.first), 0, last)
        return self.entries[at].astype(np.float64)


def _first_lut(dataset: Any, keyword: str) -> _Lut | None:
    """The first table of a sequence; None where there is no sequence, or all its items are empty.

    Read here, not by pydicom, which indexes tables of 8-bit entries by 8-bit values.
    """
    for item in dataset.get(keyword) or ():
        descriptor, data = _numbers(item, "LUTDescriptor"), item.get("LUTData")
        if not descriptor and data in (None, "", b""):
            continue
        if len(descriptor) != 3 or any(one % 1 for one in descriptor):
            raise TagError("LUTDescriptor", f"of {keyword} must be three whole numbers")
        count, first, bits = map(int, descriptor)
        if not 8 <= bits <= 16:
            raise TagError("LUTDescriptor", f"of {keyword} says {bits} bits an entry; 8 to 16 are")
        little = dataset.file_meta.TransferSyntaxUID.is_little_endian
        entries = _entries(data, count % 0x10000 or 0x10000, bits, little)
        if entries is None:
            raise TagError("LUTData", f"of {keyword} does not hold the {count} entries it should")
        highest = max((1 << bits) - 1, (1 << int(entries.max()).bit_length()) - 1)
        return _Lut(keyword, first, entries, highest)
    return None


def _entries(data: Any, count: int, bits: int, little: bool) -> Integers | None:
    """Entries of a table as 16-bit words, or packed two to a word; None if there are too few."""
    if isinstance(data, (bytes, bytearray)):
        words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2")
    else:
        words = np.atleast_1d(np.asarray([] if data in (None, "") else data, np.int64)) & 0xFFFF
    if len(words) >= count:
        return words[:count].astype(np.int64)
    packed = words.astype("<u2").view(np.uint8)
    if bits == 8 and len(packed) >= count:
        return packed[:count].astype(np.int64)
    return None


# The View Position tag of DICOM headers, where it can be trusted.
#
# Measured against Kaggle's projections of 7,466 images of IU X-ray: the tag says LL, RL or LATERAL
# for 867 images, of which 866 are lateral, and AP for 423, of which 410 are frontal. It says PA for
# 3,590, of which 1,368 are lateral, and nothing for the rest: both are not trusted.

TRUSTED: Mapping[str, View] = {
    "LL": View.LATERAL,
    "RL": View.LATERAL,
    "LATERAL": View.LATERAL,
    "LARGE LATERAL": View.LATERAL,
    "AP": View.FRONTAL,
}


def trusted_view(tag: str) -> View | None:
    """View that a tag's text names, or None."""
    return TRUSTED.get(tag.strip().upper())


def view_of_file(path: Path) -> View | None:
    """View that the header of a DICOM file names; None of any other file, or where it cannot.

    Never raises: what is wrong with a file is said when its pixels are loaded.
    """
    tags = film_tags(path)
    return None if tags is None else trusted_view(tags.view_position)


class FilmTags(NamedTuple):
    """What the header of a DICOM file says of where its image belongs (PS3.3, C.7 and C.8.1).

    Args:
        study_uid: Study Instance UID, "" where there is none.
        view_position: as written, such as `PA`.
        modality: such as `CR` or `DX`, "" where there is none.
        body_part: such as `CHEST`, "" where there is none.
        series, instance: numbers of its series, and of itself in that; 0 where there are none.
        has_rows: whether it describes pixels: a directory or a structured report has none.
    """

    study_uid: str
    view_position: str
    modality: str
    body_part: str
    series: int
    instance: int
    has_rows: bool


_FILM_TAGS = (
    "StudyInstanceUID",
    "ViewPosition",
    "Modality",
    "BodyPartExamined",
    "SeriesNumber",
    "InstanceNumber",
    "Rows",
)


def film_tags(path: Path) -> FilmTags | None:
    """Tags of a DICOM file; None of any other file, or where they cannot be read. Never raises."""
    try:
        with path.open("rb") as file:
            if not is_dicom(file.read(132)):
                return None
        how: dict[str, Any] = {"stop_before_pixels": True, "specific_tags": list(_FILM_TAGS)}
        tags = _read(path, DATA_SET_BYTES, **how)
        uid, view, modality, part = (str(tags.get(name) or "").strip() for name in _FILM_TAGS[:4])
        series, instance = (int(tags.get(name) or 0) for name in _FILM_TAGS[4:6])
        return FilmTags(uid, view, modality.upper(), part.upper(), series, instance, "Rows" in tags)
    except Exception:  # pydicom raises a dozen kinds on damaged files, or is not installed
        return None


# Whose film it is, for what is written back to a hospital's archive.

_IDENTITY_TAGS = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber"),
    *("ReferringPhysicianName", "SpecificCharacterSet"),
    *("SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID"),
)
"""Those that a document of the same study has to repeat (PS3.3, C.7.1.1 and C.7.2.1), and those
that point at the film."""


def film_identity(path: Path) -> Any | None:
    """pydicom's `Dataset` of the tags that say whose film this is, and no others.

    None of a file that is no DICOM, cannot be read, or lacks a UID that could be referred to.
    """
    try:
        with path.open("rb") as file:
            if not is_dicom(file.read(132)):
                return None
        tags = _read(
            path, DATA_SET_BYTES, stop_before_pixels=True, specific_tags=list(_IDENTITY_TAGS)
        )
        uids = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
        return tags if all(str(tags.get(name) or "") for name in uids) else None
    except Exception:  # pydicom raises a dozen kinds on damaged files, or is not installed
        return None
