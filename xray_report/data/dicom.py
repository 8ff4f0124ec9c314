"""DICOM files as grey pixels (extra `dicom`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xray_report.data.study import View
from xray_report.errors import ImageError, MissingExtraError, one_line


def is_dicom(data: bytes) -> bool:
    """Whether a file that begins like this, 132 bytes or more, is DICOM (PS3.10, 7.1)."""
    return data[128:132] == b"DICM"


def load_dicom(path: Path, most_pixels: int) -> NDArray[np.uint8]:
    """Grey image, uint8 [H, W], as a viewer shows it; at most `most_pixels` are decoded.

    Modality LUT, then VOI LUT or window (PS3.3 C.11.1, C.11.2), padding left out of the range,
    the range scaled to 0..255, MONOCHROME1 inverted. Compressed syntaxes by pylibjpeg.
    Raises `ImageError`, and `MissingExtraError` without pydicom.
    """
    try:
        import pydicom
        from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: reading DICOM needs pydicom: pip install 'xray-report[dicom]'"
        ) from error
    try:
        dataset = pydicom.dcmread(path)
        _check(path, dataset, most_pixels)
        raw = dataset.pixel_array
        values = apply_voi_lut(apply_modality_lut(raw, dataset), dataset)
        return _scale(values, _padding(dataset, raw), dataset.PhotometricInterpretation)
    except (ImageError, MissingExtraError):
        raise
    except Exception as error:  # pydicom and its plug-ins raise a dozen kinds on damaged files
        raise ImageError(
            f"{path}: the DICOM cannot be decoded ({one_line(error)}); "
            "export it again uncompressed, or remove it; if it is a plug-in that is missing: "
            "pip install 'xray-report[dicom]'"
        ) from error


def _check(path: Path, dataset: Any, most_pixels: int) -> None:
    if "PixelData" not in dataset:
        raise ImageError(f"{path}: the DICOM holds no image; remove it from the data set")
    if int(getattr(dataset, "NumberOfFrames", 1) or 1) != 1 or dataset.SamplesPerPixel != 1:
        raise ImageError(
            f"{path}: not one grey image (several frames, or colour); export it as one"
        )
    if int(dataset.Rows) * int(dataset.Columns) > most_pixels:
        raise ImageError(
            f"{path}: claims {dataset.Columns} x {dataset.Rows} pixels, more than the "
            f"{most_pixels // 1_000_000} megapixels allowed; reduce or remove it"
        )


def _padding(dataset: Any, raw: NDArray[Any]) -> NDArray[np.bool_]:
    """Bool [H, W]: pixels outside the exposed field, which must not stretch the grey scale."""
    padding = dataset.get("PixelPaddingValue")
    if padding is None:
        return np.zeros(raw.shape, np.bool_)
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(padding), int(padding if limit is None else limit)))
    return np.asarray((raw >= low) & (raw <= high), dtype=np.bool_)


def _scale(
    values: NDArray[Any], padding: NDArray[np.bool_], interpretation: str
) -> NDArray[np.uint8]:
    values = values.astype(np.float32)
    seen = values if padding.all() else values[~padding]
    low, high = float(seen.min()), float(seen.max())
    scaled = np.clip((values - low) * (255.0 / max(high - low, 1e-6)), 0.0, 255.0)
    if interpretation == "MONOCHROME1":
        scaled = 255.0 - scaled
    scaled[padding] = 0.0
    return np.asarray(np.rint(scaled), dtype=np.uint8)


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
    try:
        with path.open("rb") as file:
            if not is_dicom(file.read(132)):
                return None
        import pydicom

        tag = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["ViewPosition"])
        return trusted_view(str(tag.get("ViewPosition", "")))
    except Exception:  # pydicom raises a dozen kinds on damaged files, or is not installed
        return None
