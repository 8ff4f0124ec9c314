"""The View Position tag of DICOM headers, where it can be trusted.

Measured against Kaggle's projections of 7,466 images of IU X-ray: the tag says LL, RL or LATERAL
for 867 images, of which 866 are lateral, and AP for 423, of which 410 are frontal. It says PA for
3,590, of which 1,368 are lateral, and nothing for the rest: both are not trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xray_report.data.image_header import read_header
from xray_report.data.study import View

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
            header = read_header(file.read(132))
        if header is None or header.kind != "dicom":
            return None
        import pydicom

        tag = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["ViewPosition"])
        return trusted_view(str(tag.get("ViewPosition", "")))
    except Exception:  # pydicom raises a dozen kinds on damaged files, or is not installed
        return None
