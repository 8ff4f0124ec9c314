"""MIMIC-CXR (Johnson et al. 2019, Scientific Data 6:317): MIMIC-CXR-JPG's tables and images with
the free-text reports, or R2Gen's annotation.json.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from xray_report.data.folders import check_id, first_file, is_file, is_folder, path_inside
from xray_report.data.images import FilePixels
from xray_report.data.sources.collection import StudyCollection
from xray_report.data.sources.r2gen import R2GenEntry, read_annotation
from xray_report.data.study import Split, Study, StudyImage, View
from xray_report.data.tables import read_table, read_text
from xray_report.errors import DataError, OptionError
from xray_report.options import as_path
from xray_report.text.cleaning import text_or_none
from xray_report.text.facts import CHEXPERT_CLASSES


@dataclass
class MimicCXR(StudyCollection):
    """MIMIC-CXR-JPG's tables, images and free-text reports; or R2Gen's annotation and images.

    Args:
        root: folder with mimic-cxr-*-metadata.csv[.gz], and where present -split and -chexpert;
            files/p10/p10000032/s50414267/*.jpg; and the reports files/p10/p10000032/s50414267.txt
            (there or under `reports`). With `annotation`, images lie in root, images/ or files/.
        reports: folder above the reports' p10/ ..., where they are not under root/files. That none
            is there is an error, but for studies with labels and images alone.
        annotation: R2Gen's annotation.json of MIMIC-CXR, instead of the tables.
        split: `official`, `study`, `dedup`, `all_train`; with `annotation` `r2gen` instead of
            `official`.

    Other options and errors as of every `StudyCollection`.
    """

    name = "mimic_cxr"
    label_names = CHEXPERT_CLASSES
    split_choices = ("official", "r2gen", "study", "dedup", "all_train")

    root: str | Path
    _: KW_ONLY
    reports: str | Path | None = None
    annotation: str | Path | None = None
    split: str = "official"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._folder = as_path("data.root", self.root)
        self._reports = (
            as_path("data.reports", self.reports) if self.reports else self._folder / "files"
        )
        self._annotation = as_path("data.annotation", self.annotation) if self.annotation else None
        if self.split == "official" and self._annotation:
            raise OptionError("data.split=official: with data.annotation choose data.split=r2gen")
        if self.split == "r2gen" and not self._annotation:
            raise OptionError(
                "data.split=r2gen: give data.annotation=FILE, R2Gen's annotation.json"
            )

    def read(self) -> list[Study]:
        """All studies of the tables, or of the annotation. Raises `DataError`."""
        if not is_folder(self._folder):
            raise DataError(f"{self._folder}: no such folder; set data.root to MIMIC-CXR's folder")
        if self._annotation:
            return read_annotated(self._annotation, self._folder)
        chexpert = _find_table(self._folder, "chexpert")
        labels = read_chexpert(chexpert) if chexpert else {}
        splits = read_splits(self._table("split")) if self.split == "official" else {}
        self._reports_found = 0
        studies = [
            replace(self._study(listed), labels=labels.get(name), split=splits.get(name))
            for name, listed in read_metadata(self._table("metadata")).items()
        ]
        if not self._reports_found and any(study.images for study in studies):
            fault = f"no report file found under {self._reports}"
            if self.reports or not labels:
                raise DataError(
                    f"{fault} (p10/p10000032/s50414267.txt): set data.reports to the folder that "
                    "holds p10/, from mimic-cxr-reports.zip"
                )
            self.dropped[f"{fault} (set data.reports)"] = len(studies)  # labels can do without
        return studies

    def missing_images(self) -> str:
        """Says where images are expected."""
        return (
            f"{self._folder}: no image of MIMIC-CXR under it (files/p10/p10000032/s50414267/*.jpg);"
            " `xray-report download mimic-cxr` shows how to get them"
        )

    def _table(self, kind: str) -> Path:
        path = _find_table(self._folder, kind)
        if path is None:
            raise DataError(
                f"{self._folder}: no mimic-cxr-*-{kind}.csv[.gz] in it; `xray-report download "
                "mimic-cxr` shows how to get it"
            )
        return path

    def _study(self, listed: ListedStudy) -> Study:
        """The study with the images that are there and, if there are any, its report."""
        folder = self._folder / "files" / listed.folder
        images = tuple(
            StudyImage(FilePixels(path), view, "none" if view is View.UNKNOWN else "dicom")
            for dicom_id, view in listed.images
            if (path := first_file(folder / f"{dicom_id}{s}" for s in (".jpg", ".png", ".dcm")))
        )
        study = Study(listed.study_id, listed.subject_id, images)
        report = self._reports / f"{listed.folder}.txt"
        if not images or not is_file(report):
            return study
        self._reports_found += 1
        return replace(study, **split_report(read_text(report))._asdict())


# The tables of MIMIC-CXR-JPG.

_VIEWS: Mapping[str, View] = {
    "PA": View.FRONTAL,
    "AP": View.FRONTAL,
    "LATERAL": View.LATERAL,
    "LL": View.LATERAL,
}
"""ViewPosition of the DICOM header; oblique, swimmer's and empty ones are unknown."""
_SPLITS: Mapping[str, Split] = {"train": "train", "validate": "val", "test": "test"}
_DICOM_ID = re.compile(r"[0-9a-f]{1,16}(-[0-9a-f]{1,16})*")


@dataclass
class ListedStudy:
    """Rows of one study in metadata.csv: (dicom_id, view) in file order."""

    study_id: str
    subject_id: str
    images: list[tuple[str, View]] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """Path of the study under files/, such as `p10/p10000032/s50414267`."""
        return f"p{self.subject_id[:2]}/p{self.subject_id}/s{self.study_id}"


def _find_table(root: Path, kind: str) -> Path | None:
    """`mimic-cxr-2.0.0-<kind>.csv` or `.csv.gz` (any version) right under `root`."""
    name = f"mimic-cxr-*-{kind}.csv"
    return next((path for end in ("", ".gz") for path in sorted(root.glob(name + end))), None)


def read_metadata(path: Path) -> dict[str, ListedStudy]:
    """Studies by id. Raises `DataError` at an id that is none, or an image listed twice."""
    studies: dict[str, ListedStudy] = {}
    seen: set[str] = set()
    for place, row in read_table(path, ("dicom_id", "subject_id", "study_id", "ViewPosition")):
        subject, study, dicom = row["subject_id"], row["study_id"], row["dicom_id"]
        if not (subject.isdigit() and study.isdigit() and _DICOM_ID.fullmatch(dicom)):
            raise DataError(
                f"{place}: subject {subject[:40]!r}, study {study[:40]!r} and image "
                f"{dicom[:60]!r} are not ids of MIMIC-CXR; correct or remove the row"
            )
        if dicom in seen:
            raise DataError(f"{place}: image {dicom} stands twice; remove one row")
        seen.add(dicom)
        view = _VIEWS.get(row["ViewPosition"].strip().upper(), View.UNKNOWN)
        studies.setdefault(study, ListedStudy(study, subject)).images.append((dicom, view))
    return studies


def read_splits(path: Path) -> dict[str, Split]:
    """The publisher's split by study id. Raises `DataError`."""
    splits: dict[str, Split] = {}
    for place, row in read_table(path, ("study_id", "split")):
        split = _SPLITS.get(row["split"].strip())
        if split is None:
            raise DataError(
                f"{place}: split must be train, validate or test, "
                f"got {row['split'][:40]!r}; download the table again"
            )
        splits[row["study_id"]] = split
    return splits


def read_chexpert(path: Path) -> dict[str, dict[str, float]]:
    """Labels by study id: 1 present, 0 absent or not mentioned; uncertain (-1) left out."""
    labels: dict[str, dict[str, float]] = {}
    for place, row in read_table(path, ("study_id", *CHEXPERT_CLASSES)):
        try:
            values = {name: float(row[name] or 0.0) for name in CHEXPERT_CLASSES}
        except ValueError as error:
            raise DataError(f"{place}: {error}; download the table again") from None
        labels[row["study_id"]] = {name: value for name, value in values.items() if value >= 0}
    return labels


# FINDINGS and IMPRESSION of a free-text report, as the data set's own parser has them
# (github.com/MIT-LCP/mimic-cxr, txt/section_parser.py and create_section_files.py), so that texts
# and counts are those that others have. Its table of 54 studies cut by hand is not followed.

_HEADING = re.compile(r"\n ([A-Z ()/,-]+):\s")
"""At the beginning of a line, which in these files has one space before it."""
_BARE_HEADING = re.compile(r"^[A-Z ()/,-]+:(?:\s|$)", re.MULTILINE)
_INDENTED = re.compile("^ ", re.MULTILINE)
"""Of copies whose lines have lost that space."""
_PARAGRAPH = "\n \n"
_NAMED: Mapping[str, str] = {
    **dict.fromkeys(("conclusion", "ndication", "mpression", "impresson"), "impression"),
    **dict.fromkeys(("imprression", "imoression", "impressoin", "imprssion"), "impression"),
    **dict.fromkeys(("impresion", "imperssion", "impession"), "impression"),
    **dict.fromkeys(("finding", "findins", "findindgs", "findgings"), "findings"),
    **dict.fromkeys(("findngs", "findnings", "finidngs"), "findings"),
}
"""Heading in lower case -> section, where the rules below would not say so."""
_CONTAINED = ("impression", "findings", "history", "comparison", "addendum")
"""A heading that contains one of these, the first of them counting, is that section's."""
_VIEWS_NAMED = re.compile(
    "chest|portable|(?:pa|ap) and lateral|lateral and (?:pa|ap)|frontal and|two views|"
    "frontal view|(?:pa|ap) view|one view|lateral view|bone window|frontal upright|"
    "frontal semi-upright|ribs|pa and lat"
)
"""What a heading that names views, and so begins the findings, has in it."""


class Sections(NamedTuple):
    """Text with white space made single; None where the report has no such section."""

    findings: str | None
    impression: str | None


def split_report(text: str) -> Sections:
    """Sections of a MIMIC-CXR report.

    A heading is in capitals at the beginning of a line and ends in a colon. Findings stand under
    FINDINGS or a heading that names views, such as `CHEST, PA AND LATERAL:`; any other heading
    ends them, sub-headings too. The impression stands under IMPRESSION, CONCLUSION or
    FINDINGS AND IMPRESSION. Of sections with the same name the last that is not empty counts.
    Where there is neither, what follows the first paragraph of the last section is the findings.
    """
    if not _HEADING.search(text) and (_BARE_HEADING.search(text) or not _INDENTED.search(text)):
        text = "".join(f"\n {line.strip()}" for line in text.splitlines()) + "\n"
    found = _sections(text)
    found = [(name, body) for name, body in found if body.strip() or name not in Sections._fields]
    named = dict(found)
    if named.keys().isdisjoint(Sections._fields):
        named["findings"] = found[-1][1].partition(_PARAGRAPH)[2]
    findings, impression = (
        text_or_none(" ".join(named.get(name, "").split())) for name in Sections._fields
    )
    return Sections(findings, impression)


def _sections(text: str) -> list[tuple[str, str]]:
    """Name and body of each section in order; the first, without a heading, has no name."""
    found, start, name = [], 0, ""
    heading = _HEADING.search(text)
    while heading:
        found.append((name, text[start : heading.start()]))
        name, start = _section_name(heading[1]), heading.end()
        # What else stands in the heading's own line is no heading.
        heading = _HEADING.search(text, start + max(text[start:].find("\n"), 0))
    return [*found, (name, text[start:])]


def _section_name(heading: str) -> str:
    heading = heading.lower().strip()
    if heading in _NAMED:
        return _NAMED[heading]
    contained = next((name for name in _CONTAINED if name in heading), None)
    return contained or ("findings" if _VIEWS_NAMED.search(heading) else heading)


# R2Gen's annotation.json: one entry an image, the study's report repeated in each.


def read_annotated(path: Path, root: Path) -> list[Study]:
    """Studies with their split and the images under `root`, images/ or files/, views unknown.

    Raises `DataError` if a study's entries disagree about its report or its split.
    """
    folders = (root, root / "images", root / "files")
    entries: dict[str, list[R2GenEntry]] = {}
    for entry in read_annotation(path):
        name = check_id(entry.study_id or entry.entry_id, f"{path}, id {entry.entry_id[:80]}")
        entries.setdefault(name, []).append(entry)
    return [_annotated_study(name, group, folders, path) for name, group in entries.items()]


def _annotated_study(
    name: str, entries: list[R2GenEntry], folders: tuple[Path, ...], path: Path
) -> Study:
    if len({(entry.report, entry.split) for entry in entries}) > 1:
        raise DataError(
            f"{path}: entries of study {name} have different reports or splits; correct them"
        )
    images = dict.fromkeys(image for entry in entries for image in entry.image_paths)
    place = f"{path}, study {name}"
    files = (first_file(path_inside(folder, i, place) for folder in folders) for i in images)
    return Study(
        study_id=name,
        patient_id=entries[0].subject_id,
        images=tuple(StudyImage(FilePixels(file)) for file in files if file),
        findings=text_or_none(entries[0].report),
        split=entries[0].split,
    )
