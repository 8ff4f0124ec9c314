"""MIMIC-CXR-JPG's tables, as plain or gzipped CSV."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xray_report.data.study import Split, View
from xray_report.data.tables import read_table
from xray_report.errors import DataError
from xray_report.text.facts import CHEXPERT_CLASSES

VIEWS: Mapping[str, View] = {
    "PA": View.FRONTAL,
    "AP": View.FRONTAL,
    "LATERAL": View.LATERAL,
    "LL": View.LATERAL,
}
"""ViewPosition of the DICOM header; oblique, swimmer's and empty ones are unknown."""
SPLITS: Mapping[str, Split] = {"train": "train", "validate": "val", "test": "test"}
_DICOM_ID = re.compile(r"[0-9a-f]{1,16}(-[0-9a-f]{1,16})*")


@dataclass
class MimicStudy:
    """Rows of one study in metadata.csv: (dicom_id, view) in file order."""

    study_id: str
    subject_id: str
    images: list[tuple[str, View]] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """Path of the study under files/, such as `p10/p10000032/s50414267`."""
        return f"p{self.subject_id[:2]}/p{self.subject_id}/s{self.study_id}"


def find_table(root: Path, kind: str) -> Path | None:
    """`mimic-cxr-2.0.0-<kind>.csv` or `.csv.gz` (any version) right under `root`."""
    found = sorted(root.glob(f"mimic-cxr-*-{kind}.csv")) + sorted(
        root.glob(f"mimic-cxr-*-{kind}.csv.gz")
    )
    return found[0] if found else None


def read_metadata(path: Path) -> dict[str, MimicStudy]:
    """Studies by id. Raises `DataError` at an id that is none, or an image listed twice."""
    studies: dict[str, MimicStudy] = {}
    seen: set[str] = set()
    rows = read_table(path, ("dicom_id", "subject_id", "study_id", "ViewPosition"))
    for line, row in enumerate(rows, start=2):
        subject, study, dicom = row["subject_id"], row["study_id"], row["dicom_id"]
        if not (subject.isdigit() and study.isdigit() and _DICOM_ID.fullmatch(dicom)):
            raise DataError(
                f"{path}, row {line}: subject {subject[:40]!r}, study {study[:40]!r} and image "
                f"{dicom[:60]!r} are not ids of MIMIC-CXR; correct or remove the row"
            )
        if dicom in seen:
            raise DataError(f"{path}, row {line}: image {dicom} stands twice; remove one row")
        seen.add(dicom)
        view = VIEWS.get(row["ViewPosition"].strip().upper(), View.UNKNOWN)
        studies.setdefault(study, MimicStudy(study, subject)).images.append((dicom, view))
    return studies


def read_splits(path: Path) -> dict[str, Split]:
    """The publisher's split by study id. Raises `DataError`."""
    given: dict[str, Split] = {}
    for line, row in enumerate(read_table(path, ("study_id", "split")), start=2):
        split = SPLITS.get(row["split"].strip())
        if split is None:
            raise DataError(
                f"{path}, row {line}: split must be train, validate or test, "
                f"got {row['split'][:40]!r}; download the table again"
            )
        given[row["study_id"]] = split
    return given


def read_chexpert(path: Path) -> dict[str, dict[str, float]]:
    """Labels by study id: 1 present, 0 absent or not mentioned; uncertain (-1) left out."""
    labels: dict[str, dict[str, float]] = {}
    for line, row in enumerate(read_table(path, ("study_id", *CHEXPERT_CLASSES)), start=2):
        try:
            values = {name: float(row[name] or 0.0) for name in CHEXPERT_CLASSES}
        except ValueError as error:
            raise DataError(f"{path}, row {line}: {error}; download the table again") from None
        labels[row["study_id"]] = {name: value for name, value in values.items() if value >= 0}
    return labels
