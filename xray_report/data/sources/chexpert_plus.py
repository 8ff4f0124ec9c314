"""CheXpert Plus (Chambon et al. 2024, arXiv:2405.19538): CheXpert's films with their reports.

df_chexpert_plus_240401.csv has one row an image: `path_to_image`
(train/patient42142/study5/view1_frontal.jpg), `frontal_lateral`, `deid_patient_id`, the report's
sections (`section_findings`, `section_impression`, ...) repeated for each image of a study, and
`split` (train or valid). chexbert_labels/*_fixed.json, where present, have one object a line:
`path_to_image` and CheXbert's reading of the 14 classes, 1 present, 0 absent, -1 uncertain, null
not mentioned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from xray_report.data.folders import check_id, first_file, is_file, is_folder
from xray_report.data.images import FilePixels
from xray_report.data.sources.collection import StudyCollection
from xray_report.data.study import Split, Study, StudyImage, View
from xray_report.data.tables import iterate_table, parse_json, read_text
from xray_report.errors import DataError
from xray_report.options import as_path
from xray_report.text.cleaning import text_or_none
from xray_report.text.facts import CHEXPERT_CLASSES

_COLUMNS = (
    *("path_to_image", "frontal_lateral", "deid_patient_id"),
    *("section_findings", "section_impression", "split"),
)
_IMAGE = re.compile(r"((?:train|valid)/(patient\w+)/(study\w+)/[\w.-]+)\.(?:jpg|png|dcm)", re.ASCII)
"""Path without its ending, patient and study. It cannot lead out of the folder."""
_ENDINGS = (".png", ".jpg", ".dcm")
"""The table says .jpg, whatever form of the images was downloaded."""
_FOLDERS = ("PNG*", "PNG*/PNG", "CheXpert-v1.0*", "DICOM*")
"""Where train/ and valid/ lie, if not in root: the PNGs, CheXpert's own JPEGs, DICOM."""
_VIEWS: Mapping[str, View] = {"Frontal": View.FRONTAL, "Lateral": View.LATERAL}
_SPLITS: Mapping[str, Split] = {"train": "train", "valid": "test"}
_LABELS = ("report", "impression", "findings")
"""The text that CheXbert read, the best first."""
_UNLIKE = "images whose report is not their study's first (that one is taken)"
_CURE = "download it again (`xray-report download chexpert-plus`)"


@dataclass
class CheXpertPlus(StudyCollection):
    """CheXpert Plus: its table, images in any of their forms and, where present, labels.

    Labels are of chexbert_labels/report_fixed.json, else impression_fixed.json, else
    findings_fixed.json (then of studies that have findings, since CheXbert calls an empty text
    normal): 1 present, 0 absent or not mentioned, uncertain ones left out.

    Args:
        root: folder with df_chexpert_plus_*.csv[.gz], chexbert_labels/, and the images
            PNG/PNG/train/patient*/study*/*.png, CheXpert-v1.0*/train/... (.jpg), or train/...
        split: `official`, `study`, `dedup`, `all_train`. Published are train and valid (200
            patients) and no test: `official` makes valid the test split, and draws val by patient
            from train, `val_share` of it.

    Other options and errors as of every `StudyCollection`.
    """

    name = "chexpert_plus"
    label_names = CHEXPERT_CLASSES
    split_choices = ("official", "study", "dedup", "all_train")

    root: str | Path
    _: KW_ONLY
    split: str = "official"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._folder = as_path("data.root", self.root)

    def read(self) -> list[Study]:
        """All studies of the table, in its order. Raises `DataError`."""
        if not is_folder(self._folder):
            raise DataError(
                f"{self._folder}: no such folder; set data.root to CheXpert Plus's folder"
            )
        self.dropped |= {"images that are no file": 0, _UNLIKE: 0}
        listed = self._listed()
        kind, labels = self._labels(listed)
        folders = image_folders(self._folder)
        return [
            Study(
                study_id=name,
                patient_id=study.patient_id,
                images=self._images(study, folders),
                findings=study.findings,
                impression=study.impression,
                labels=labels.get(name) if kind != "findings" or study.findings else None,
                split=study.split,
            )
            for name, study in listed.items()
        ]

    def missing_images(self) -> str:
        """Says where images are expected."""
        return (
            f"{self._folder}: no image of CheXpert Plus under it (PNG/PNG/train/patient42142/"
            "study5/view1_frontal.png, or .jpg under CheXpert-v1.0*/train/...); `xray-report "
            "download chexpert-plus` shows how to get them"
        )

    def _listed(self) -> dict[str, ListedStudy]:
        tables = (
            p for end in ("", ".gz") for p in self._folder.glob(f"df_chexpert_plus_*.csv{end}")
        )
        table = next(iter(sorted(tables)), None)
        if table is None:
            raise DataError(
                f"{self._folder}: no df_chexpert_plus_*.csv[.gz] in it; `xray-report download "
                "chexpert-plus` shows how to get it"
            )
        studies: dict[str, ListedStudy] = {}
        seen: set[str] = set()
        for place, row in iterate_table(table, _COLUMNS):
            found = listed_row(row, place)
            (image,) = found.images
            if image in seen:
                raise DataError(f"{place}: image {image} stands twice; remove one row")
            seen.add(image)
            study = studies.setdefault(found.study_id, found)
            if study is not found:
                self._join(study, found, place)
        return studies

    def _join(self, study: ListedStudy, other: ListedStudy, place: str) -> None:
        """Add another image of the study, and what its first row lacks of the report."""
        if (study.patient_id, study.split) != (other.patient_id, other.split):
            raise DataError(
                f"{place}: deid_patient_id or split differs from the first row of study "
                f"{study.study_id}; {_CURE}"
            )
        study.images |= other.images
        self.dropped[_UNLIKE] += any(
            mine and its and mine != its
            for mine, its in (
                (study.findings, other.findings),
                (study.impression, other.impression),
            )
        )
        if other.findings and not study.findings:
            study.findings, study.labelled = other.findings, other.labelled
        study.impression = study.impression or other.impression

    def _labels(self, listed: Mapping[str, ListedStudy]) -> tuple[str, dict[str, dict[str, float]]]:
        """What CheXbert read, and its labels by study id; nothing where no file of them is."""
        images = {name: study.labelled for name, study in listed.items()}
        for kind in _LABELS:
            path = self._folder / "chexbert_labels" / f"{kind}_fixed.json"
            if is_file(path):
                found = read_chexbert(path, set(images.values()))
                return kind, {n: found[image] for n, image in images.items() if image in found}
        return "", {}

    def _images(self, study: ListedStudy, folders: list[Path]) -> tuple[StudyImage, ...]:
        """The images that are there."""
        found = []
        for image, view in study.images.items():
            path = first_file(folder / f"{image}{end}" for folder in folders for end in _ENDINGS)
            if path:
                origin = "none" if view is View.UNKNOWN else "projections"
                found.append(StudyImage(FilePixels(path), view, origin))
        self.dropped["images that are no file"] += len(study.images) - len(found)
        return tuple(found)


@dataclass
class ListedStudy:
    """Rows of one study: its images, by their path without its ending, with their view.

    `labelled` is the image of the row whose report is taken, and so are its labels.
    """

    study_id: str
    patient_id: str
    images: dict[str, View]
    labelled: str
    findings: str | None
    impression: str | None
    split: Split


def listed_row(row: Mapping[str, str], place: str) -> ListedStudy:
    """What a row says of its study and of one image of it. Raises `DataError`."""
    match = _IMAGE.fullmatch(row["path_to_image"].strip())
    split = _SPLITS.get(row["split"].strip())
    if match is None:
        raise DataError(
            f"{place}: path_to_image {row['path_to_image'][:80]!r} is none such as "
            "train/patient42142/study5/view1_frontal.jpg; correct or remove the row"
        )
    if split is None:
        raise DataError(
            f"{place}: split must be train or valid, got {row['split'][:40]!r}; {_CURE}"
        )
    findings, impression = (
        text_or_none(" ".join(row[f"section_{name}"].split()))
        for name in ("findings", "impression")
    )
    return ListedStudy(
        study_id=f"{match[2]}_{match[3]}",
        patient_id=check_id(row["deid_patient_id"], place),
        images={match[1]: _VIEWS.get(row["frontal_lateral"].strip(), View.UNKNOWN)},
        labelled=match[1],
        findings=findings,
        impression=impression,
        split=split,
    )


def image_folders(root: Path) -> list[Path]:
    """`root` and the folders of `_FOLDERS`, of these those that hold train/ or valid/."""
    found = (path for pattern in _FOLDERS for path in sorted(root.glob(pattern)))
    return [
        path for path in (root, *found) if is_folder(path / "train") or is_folder(path / "valid")
    ]


def read_chexbert(path: Path, wanted: set[str]) -> dict[str, dict[str, float]]:
    """CheXbert's labels of the `wanted` images (paths without ending). Raises `DataError`.

    1 present, 0 absent or not mentioned; uncertain (-1) left out.
    """
    labels: dict[str, dict[str, float]] = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        value = parse_json(line, place, _CURE)
        image = value.get("path_to_image") if isinstance(value, dict) else None
        match = _IMAGE.fullmatch(image) if isinstance(image, str) else None
        if match is None:
            raise DataError(f"{place}: no path_to_image of CheXpert Plus; {_CURE}")
        if match[1] in wanted:
            labels[match[1]] = _labels_of(value, place)
    if not labels:
        raise DataError(f"{path}: names no image of the table; take both of one download")
    return labels


def _labels_of(value: Mapping[str, object], place: str) -> dict[str, float]:
    labels: dict[str, float] = {}
    for name in CHEXPERT_CLASSES:
        said = value.get(name, "nothing")
        if said not in (1.0, 0.0, -1.0, None):
            raise DataError(f"{place}: {name} must be 1, 0, -1 or null, got {said!r:.40}; {_CURE}")
        if said != -1.0:
            labels[name] = 1.0 if said == 1.0 else 0.0
    return labels
