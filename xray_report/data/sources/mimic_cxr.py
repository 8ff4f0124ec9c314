"""MIMIC-CXR (Johnson et al. 2019, Scientific Data 6:317): MIMIC-CXR-JPG's tables and images with
the free-text reports, or R2Gen's annotation.json.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from xray_report.data.folders import check_id, inside, is_file, is_folder
from xray_report.data.images import FilePixels
from xray_report.data.sources.r2gen import Annotation, read_annotation
from xray_report.data.splits import SplitOptions
from xray_report.data.study import (
    TARGETS,
    VIEW_CHOICES,
    Split,
    Study,
    StudyImage,
    View,
    expand,
    text_or_none,
)
from xray_report.data.tables import read_table, read_text
from xray_report.errors import DataError
from xray_report.options import as_path, check_choice, check_flag
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


# ------------------------------------------------------------------------------
# FINDINGS and IMPRESSION of a free-text report.

# A heading stands at the start of a line, in capitals, and ends in a colon.
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Z0-9 ,/&()'-]{2,60}):", re.MULTILINE)
_FINDINGS = re.compile(r"FINDINGS?\b|.*\bFINDINGS?$")
_IMPRESSION = re.compile(r".*\b(IMPRESSIONS?|CONCLUSIONS?)$|IMPRESSION\b.*")


class Sections(NamedTuple):
    """Text with white space made single; None where the report has no such section."""

    findings: str | None
    impression: str | None


def split_report(text: str) -> Sections:
    """Sections of a MIMIC-CXR report.

    Headings such as `FINDINGS:`, `FINDINGS AND IMPRESSION:`, `IMPRESSION:`, `CONCLUSION:`; the
    longest section of a kind is taken, as addenda repeat headings. A combined section counts as
    findings.
    """
    headings = list(_HEADING.finditer(text))
    ends = [*(match.start() for match in headings), len(text)][1:]
    findings, impression = "", ""
    for match, end in zip(headings, ends, strict=True):
        name, body = match[1].strip(), " ".join(text[match.end() : end].split())
        if _FINDINGS.match(name):
            findings = max(findings, body, key=len)
        elif _IMPRESSION.match(name):
            impression = max(impression, body, key=len)
    return Sections(findings or None, impression or None)


# ------------------------------------------------------------------------------
# R2Gen's annotation.json of MIMIC-CXR: one entry an image, the report repeated.


def read_annotated(path: Path, folders: Iterable[Path]) -> tuple[list[Study], dict[str, Split]]:
    """Studies (images that lie under one of `folders`, views unknown) and their splits.

    Raises `DataError` if a study's entries disagree about its report or its split.
    """
    folders = list(folders)
    entries: dict[str, list[Annotation]] = {}
    for entry in read_annotation(path):
        name = check_id(entry.study_id or entry.entry_id, f"{path}, id {entry.entry_id[:80]}")
        entries.setdefault(name, []).append(entry)
    studies = [_study(name, group, folders, path) for name, group in entries.items()]
    return studies, {name: group[0].split for name, group in entries.items()}


def _study(name: str, group: list[Annotation], folders: list[Path], path: Path) -> Study:
    if len({(entry.report, entry.split) for entry in group}) > 1:
        raise DataError(
            f"{path}: entries of study {name} have different reports or splits; correct them"
        )
    relative = dict.fromkeys(image for entry in group for image in entry.image_paths)
    files = (_find(image, folders, f"{path}, study {name}") for image in relative)
    return Study(
        study_id=name,
        patient_id=group[0].subject_id,
        images=tuple(StudyImage(FilePixels(file)) for file in files if file),
        findings=text_or_none(group[0].report),
    )


def _find(image: str, folders: list[Path], where: str) -> Path | None:
    paths = (inside(folder, image, where) for folder in folders)
    return next((path for path in paths if is_file(path)), None)


# ------------------------------------------------------------------------------
# MIMIC-CXR as a source of studies.

SPLIT_CHOICES = ("official", "r2gen", "study", "dedup", "all_train")


class MimicCXR:
    """MIMIC-CXR-JPG's tables, images and free-text reports; or R2Gen's annotation and images.

    Args:
        root: folder with mimic-cxr-*-metadata.csv[.gz], and where present -split and -chexpert;
            files/p10/p10000032/s50414267/*.jpg; and the reports files/p10/p10000032/s50414267.txt
            (there or under `reports`). With `annotation`, images lie in root, images/ or files/.
        reports: folder above the reports' p10/ ..., where they are not under root/files.
        annotation: R2Gen's annotation.json of MIMIC-CXR, instead of the tables.
        split: `official`, `study` (random by patient), `dedup`, `all_train`; with `annotation`
            `r2gen`, which reads them from it.
        seed, val_share, test_share: of the random splits.
        views: `first` frontal and lateral image of a study, or `all_pairs` of them in training.
        target: section to be written: `findings`, `impression` or `both`.
        strict: whether one unreadable image stops a run instead of being left out and reported.

    Raises `OptionError` for a bad option; the files are read by `studies`.
    """

    name = "mimic_cxr"
    label_names = CHEXPERT_CLASSES

    def __init__(
        self,
        root: str | Path,
        *,
        reports: str | Path | None = None,
        annotation: str | Path | None = None,
        split: str = "official",
        seed: int = 0,
        val_share: float = 0.1,
        test_share: float = 0.2,
        views: str = "first",
        target: str = "findings",
        strict: bool = False,
    ) -> None:
        check_choice("data.split", split, SPLIT_CHOICES)
        self.root = as_path("data.root", root)
        self.reports = as_path("data.reports", reports) if reports else self.root / "files"
        self.annotation = as_path("data.annotation", annotation) if annotation else None
        self.split = SplitOptions(split, seed, val_share, test_share)
        self.views = check_choice("data.views", views, VIEW_CHOICES)
        self.target = check_choice("data.target", target, TARGETS)
        self.strict = check_flag("data.strict", strict)
        self._dropped: dict[str, int] = {}

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many studies each rule left out; filled by `studies`."""
        return self._dropped

    def studies(self) -> list[Study]:
        """All studies of which an image is found, each with its split. Raises `DataError`."""
        if not is_folder(self.root):
            raise DataError(f"{self.root}: no such folder; set data.root to MIMIC-CXR's folder")
        published, given = self._annotated() if self.annotation else self._tabled()
        kept = [study for study in published if study.images]
        self._dropped = {"no image found": len(published) - len(kept)}
        if self.split.name in ("official", "r2gen"):
            listed = [study for study in kept if study.study_id in given]
            self._dropped["in no split"] = len(kept) - len(listed)
            kept = listed
        if not kept:
            raise DataError(
                f"{self.root}: no image of MIMIC-CXR under it (files/p10/p10000032/s50414267/"
                "*.jpg); how to get them is told by xray-report download mimic-cxr"
            )
        return expand(self.split.assign(kept, given, self.target), self.views)

    def _annotated(self) -> tuple[list[Study], dict[str, Split]]:
        if self.split.name == "official":
            raise DataError("data.split=official: with data.annotation choose data.split=r2gen")
        assert self.annotation is not None
        folders = (self.root, self.root / "images", self.root / "files")
        return read_annotated(self.annotation, folders)

    def _tabled(self) -> tuple[list[Study], dict[str, Split]]:
        if self.split.name == "r2gen":
            raise DataError("data.split=r2gen: give data.annotation=FILE, R2Gen's annotation.json")
        labels = read_chexpert(table) if (table := find_table(self.root, "chexpert")) else {}
        given: dict[str, Split] = {}
        if self.split.name == "official":
            given = read_splits(self._table("split"))
        studies = read_metadata(self._table("metadata"))
        return [self._study(study, labels.get(study.study_id)) for study in studies.values()], given

    def _table(self, kind: str) -> Path:
        path = find_table(self.root, kind)
        if path is None:
            raise DataError(
                f"{self.root}: no mimic-cxr-*-{kind}.csv[.gz] in it; how to get it is told by "
                "xray-report download mimic-cxr"
            )
        return path

    def _study(self, study: MimicStudy, labels: Mapping[str, float] | None) -> Study:
        folder = self.root / "files" / study.folder
        images = tuple(
            StudyImage(FilePixels(path), view, "none" if view is View.UNKNOWN else "dicom")
            for dicom_id, view in study.images
            if (path := _image(folder, dicom_id)) is not None
        )
        made = Study(study.study_id, study.subject_id, images, labels=labels)
        report = self.reports / f"{study.folder}.txt"
        if not images or not is_file(report):
            return made
        return replace(made, **split_report(read_text(report))._asdict())


def _image(folder: Path, dicom_id: str) -> Path | None:
    paths = (folder / f"{dicom_id}{suffix}" for suffix in (".jpg", ".png", ".dcm"))
    return next((path for path in paths if is_file(path)), None)
