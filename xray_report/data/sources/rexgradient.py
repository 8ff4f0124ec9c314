"""ReXGradient-160K (Zhang et al. 2025, arXiv:2505.00228): reports and films of 79 sites.

metadata/{train,valid,test}_metadata_view_position.json hold a split each: study id ->
`{"PatientID", "Findings", "Impression", "ImagePath": ["../deid_png/....png", ...],
"ImageViewPosition": ["PA", ...], ...}`. Sections may be null, NaN or "None". Images, at a quarter
of their size, lie under deid_png/. There are no labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

from xray_report.data.folders import check_id, first_file, is_file, is_folder, path_inside
from xray_report.data.images import FilePixels
from xray_report.data.sources.collection import StudyCollection
from xray_report.data.study import Split, Study, StudyImage, View
from xray_report.data.tables import read_json
from xray_report.errors import DataError
from xray_report.options import as_path
from xray_report.text.cleaning import text_or_none
from xray_report.text.facts import CHEXPERT_CLASSES

_SPLITS: Mapping[str, Split] = {"train": "train", "valid": "val", "test": "test"}
_VIEWS: Mapping[str, View] = {
    **dict.fromkeys(("PA", "POSTERO_ANTERIOR", "AP", "ANTERO_POSTERIOR"), View.FRONTAL),
    "AP AXIAL": View.FRONTAL,
    **dict.fromkeys(("LATERAL", "LAT", "LL", "RL"), View.LATERAL),
}
"""ViewPosition of the DICOM header; decubitus, oblique, unnamed ones and others are unknown."""
_ODD_VIEWS = "lists of views of another length than their images (views taken as unknown)"
_CURE = "download the metadata again (`xray-report download rexgradient`)"


@dataclass
class ReXGradient(StudyCollection):
    """ReXGradient-160K as it lies on the Hugging Face hub, its images unpacked.

    Labels that are to be learnt come from the reports: `label_names` are the labeller's classes.

    Args:
        root: folder with metadata/ (or the files of it) and deid_png/.
        split: `official` (the publisher's train, valid and test), `study`, `dedup`, `all_train`.

    Other options and errors as of every `StudyCollection`.
    """

    name = "rexgradient"
    label_names = CHEXPERT_CLASSES
    split_choices = ("official", "study", "dedup", "all_train")

    root: str | Path
    _: KW_ONLY
    split: str = "official"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._folder = as_path("data.root", self.root)

    def read(self) -> list[Study]:
        """All studies of the three files, in their order. Raises `DataError`."""
        if not is_folder(self._folder):
            raise DataError(
                f"{self._folder}: no such folder; set data.root to ReXGradient's folder"
            )
        files = {published: self._file(published) for published in _SPLITS}
        self.dropped |= {"images that are no file": 0, _ODD_VIEWS: 0}
        studies: dict[str, Study] = {}
        for published, path in files.items():
            content = read_json(path, _CURE)
            if not isinstance(content, dict):
                raise DataError(f"{path}: no studies by their id; {_CURE}")
            for name, entry in content.items():
                place = f"{path}, study {name[:120]}"
                study = self._study(check_id(name, place), entry, _SPLITS[published], place)
                if study.study_id in studies:
                    raise DataError(f"{place}: stands twice, also in another split; {_CURE}")
                studies[study.study_id] = study
        return list(studies.values())

    def missing_images(self) -> str:
        """Says where images are expected."""
        return (
            f"{self._folder}: no image that the metadata list lies under it (deid_png/GRDN.../"
            "GRDN.../studies/...); unpack deid_png.part* there, as `xray-report download "
            "rexgradient` says"
        )

    def _file(self, published: str) -> Path:
        name = f"{published}_metadata_view_position.json"
        path = first_file((self._folder / "metadata" / name, self._folder / name))
        if path is None:
            raise DataError(
                f"{self._folder}: no metadata/{name} in it; `xray-report download rexgradient` "
                "shows how to get it"
            )
        return path

    def _study(self, name: str, entry: Any, split: Split, place: str) -> Study:
        """The study with the images that are there."""
        if not isinstance(entry, dict) or not isinstance(entry.get("PatientID"), str):
            raise DataError(f"{place}: no study with a PatientID; {_CURE}")
        paths = _texts(entry, "ImagePath", place)
        views = _texts(entry, "ImageViewPosition", place)
        if len(views) != len(paths):  # which of them is whose is not known
            self.dropped[_ODD_VIEWS] += bool(views)
            views = [None] * len(paths)
        return Study(
            study_id=name,
            patient_id=check_id(entry["PatientID"], place),
            images=tuple(
                image
                for path, view in zip(paths, views, strict=True)
                if (image := self._image(path, view, place))
            ),
            findings=_section(entry, "Findings", place),
            impression=_section(entry, "Impression", place),
            split=split,
        )

    def _image(self, relative: str | None, tag: str | None, place: str) -> StudyImage | None:
        """The image of a path that is relative to metadata/, or None where it is no file."""
        path = path_inside(self._folder, (relative or "").removeprefix("../"), place)
        if not is_file(path):
            self.dropped["images that are no file"] += 1
            return None
        view = _VIEWS.get((tag or "").strip().upper(), View.UNKNOWN)
        return StudyImage(FilePixels(path), view, "none" if view is View.UNKNOWN else "dicom")


def _texts(entry: Mapping[str, Any], key: str, place: str) -> list[str | None]:
    """A list of texts, some of which may be null; an empty one where the entry has none."""
    values = entry.get(key)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(v, str | None) for v in values):
        raise DataError(f"{place}: {key} must be a list of texts; {_CURE}")
    return values


def _section(entry: Mapping[str, Any], key: str, place: str) -> str | None:
    """A section with white space made single; None where it is null, NaN or a placeholder."""
    value = entry.get(key)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str):
        raise DataError(f"{place}: {key} must be text; {_CURE}")
    return text_or_none(" ".join(value.split()))
