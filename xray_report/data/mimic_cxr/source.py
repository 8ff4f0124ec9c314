"""MIMIC-CXR as a source of studies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xray_report.data.folders import is_file, is_folder
from xray_report.data.images import FilePixels
from xray_report.data.mimic_cxr.annotation import read_annotated
from xray_report.data.mimic_cxr.sections import split_report
from xray_report.data.mimic_cxr.tables import (
    MimicStudy,
    find_table,
    read_chexpert,
    read_metadata,
    read_splits,
)
from xray_report.data.options import SplitOptions
from xray_report.data.study import Split, Study, StudyImage, View
from xray_report.data.tables import read_text
from xray_report.data.target import TARGETS
from xray_report.data.view_pairs import VIEW_CHOICES, expand
from xray_report.errors import DataError
from xray_report.options import as_path, check_choice, check_flag
from xray_report.text.facts import CHEXPERT_CLASSES

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
