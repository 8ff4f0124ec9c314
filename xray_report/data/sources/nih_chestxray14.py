"""NIH ChestX-ray14 (Wang et al. 2017, CVPR): labels without reports, for CheXNet.

Data_Entry_2017*.csv has one row an image: `Image Index` (00000001_000.png), `Finding Labels`
(joined by `|`, or `No Finding`), `Patient ID`, `View Position` (PA or AP).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from xray_report.data.folders import check_id, walk
from xray_report.data.images import FilePixels
from xray_report.data.sources.collection import StudyCollection
from xray_report.data.study import Split, Study, StudyImage, View
from xray_report.data.tables import read_table, read_text
from xray_report.errors import DataError
from xray_report.nih_classes import NIH_CLASSES
from xray_report.options import as_path

_COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "View Position")
_LISTS: Mapping[str, Split] = {"train_val_list.txt": "train", "test_list.txt": "test"}


@dataclass
class NIHChestXray14(StudyCollection):
    """Each image is a study of its own, frontal and without a report.

    Args:
        root: folder with Data_Entry_2017*.csv, images in one or many folders, and for the
            official split train_val_list.txt and test_list.txt.
        split: `study`, `official` (the publisher's test set; val is drawn by patient from its
            train_val list) or `all_train`.

    `seed`, `val_share`, `test_share`, `strict` and errors as of every `StudyCollection`.
    """

    name = "nih_chestxray14"
    label_names = NIH_CLASSES
    split_choices = ("study", "official", "all_train")

    root: str | Path
    _: KW_ONLY
    views: str = field(init=False, default="first")
    target: str = field(init=False, default="findings")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._folder = as_path("data.root", self.root)

    def read(self) -> list[Study]:
        """All rows of the table, in its order. Raises `DataError`."""
        table, images, lists = self._scan()
        splits = self._read_lists(lists) if self.split == "official" else {}
        studies: dict[str, Study] = {}
        for place, row in read_table(table, _COLUMNS):
            study = _study(row, images, splits, place)
            if study.study_id in studies:
                raise DataError(f"{place}: {study.study_id} stands twice; remove one")
            studies[study.study_id] = study
        return list(studies.values())

    def missing_images(self) -> str:
        """Says where images are expected."""
        return (
            f"{self._folder}: no image that Data_Entry_2017*.csv lists lies under it; unpack "
            "images_*.tar.gz there"
        )

    def _scan(self) -> tuple[Path, dict[str, Path], dict[str, Path]]:
        """The table, the images by file name, and the split lists by file name."""
        tables: list[Path] = []
        images: dict[str, Path] = {}
        lists: dict[str, Path] = {}
        for folder, names in walk(self._folder):
            for name in names:
                if name.startswith("Data_Entry_2017"):
                    tables.append(folder / name)
                elif name.endswith(".png"):
                    images.setdefault(name, folder / name)
                elif name in _LISTS:
                    lists.setdefault(name, folder / name)
        if not tables:
            raise DataError(
                f"{self._folder}: no Data_Entry_2017*.csv under it; `xray-report download "
                "nih-chestxray14` shows how to get it"
            )
        return tables[0], images, lists

    def _read_lists(self, lists: Mapping[str, Path]) -> dict[str, Split]:
        """The publisher's split by image name."""
        if len(lists) < len(_LISTS):
            raise DataError(
                f"{self._folder}: data.split=official needs train_val_list.txt and test_list.txt "
                "under it; or choose data.split=study"
            )
        return {
            image: _LISTS[name] for name, path in lists.items() for image in read_text(path).split()
        }


def _study(
    row: Mapping[str, str], images: Mapping[str, Path], splits: Mapping[str, Split], place: str
) -> Study:
    name = check_id(row["Image Index"], place)
    labels = {label.strip() for label in row["Finding Labels"].split("|")} - {"No Finding", ""}
    if unknown := sorted(labels - set(NIH_CLASSES)):
        raise DataError(f"{place}: unknown finding {unknown[0][:80]!r}; correct the row")
    # PA and AP are both frontal; the collection has no lateral image.
    files = [images[name]] if name in images else []
    return Study(
        study_id=name.removesuffix(".png"),
        patient_id=check_id(row["Patient ID"], place),
        images=tuple(StudyImage(FilePixels(file), View.FRONTAL, "projections") for file in files),
        # `No Finding` is no class to learn, but what splits are balanced by.
        labels={"No Finding": float(not labels), **{c: float(c in labels) for c in NIH_CLASSES}},
        split=splits.get(name),
    )
