"""NIH ChestX-ray14 (Wang et al. 2017, CVPR): labels without reports, for CheXNet.

Data_Entry_2017*.csv has one row an image: `Image Index` (00000001_000.png), `Finding Labels`
(joined by `|`, or `No Finding`), `Patient ID`, `View Position` (PA or AP).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xray_report.data.folders import check_id, walk
from xray_report.data.images import FilePixels
from xray_report.data.splits import SplitOptions
from xray_report.data.study import Split, Study, StudyImage, View
from xray_report.data.tables import read_table, read_text
from xray_report.errors import DataError
from xray_report.nih_classes import NIH_CLASSES
from xray_report.options import as_path, check_choice, check_flag

LISTS: Mapping[str, Split] = {"train_val_list.txt": "train", "test_list.txt": "test"}
COLUMNS = ("Image Index", "Finding Labels", "Patient ID", "View Position")
SPLIT_CHOICES = ("study", "official", "all_train")


class NIHChestXray14:
    """Each image is a study of its own; patients stay on one side of every split.

    Args:
        root: folder with Data_Entry_2017*.csv, images in one or many folders, and for the
            official split train_val_list.txt and test_list.txt.
        split: `study` (random by patient), `official` (the publisher's test set; val is drawn
            by patient from its train_val list), `all_train`.
        seed, val_share, test_share: of the random parts.
        strict: whether one unreadable image stops a run instead of being left out and reported.

    Raises `OptionError` for a bad option; the files are read by `studies`.
    """

    name = "nih_chestxray14"
    label_names = NIH_CLASSES
    target = "findings"  # the collection has no reports of any kind

    def __init__(
        self,
        root: str | Path,
        *,
        split: str = "study",
        seed: int = 0,
        val_share: float = 0.1,
        test_share: float = 0.2,
        strict: bool = False,
    ) -> None:
        check_choice("data.split", split, SPLIT_CHOICES)
        self.root = as_path("data.root", root)
        self.split = SplitOptions(split, seed, val_share, test_share)
        self.strict = check_flag("data.strict", strict)
        self._dropped: dict[str, int] = {}

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many images of the table each rule left out; filled by `studies`."""
        return self._dropped

    def studies(self) -> list[Study]:
        """All images found, one a study, each with its split. Raises `DataError`."""
        table, images, lists = self._scan()
        given = _read_lists(lists)
        studies: dict[str, Study] = {}
        rows = read_table(table, COLUMNS)
        for line, row in enumerate(rows, start=2):
            study = _study(row, images, f"{table}, row {line}")
            if study.study_id in studies:
                raise DataError(f"{table}, row {line}: {study.study_id} stands twice; remove one")
            studies[study.study_id] = study
        kept = [study for study in studies.values() if study.images]
        self._dropped = {"no image found": len(studies) - len(kept)}
        if not kept:
            raise DataError(
                f"{self.root}: no image that {table.name} lists lies under it; unpack "
                "images_*.tar.gz there"
            )
        if self.split.name == "official":
            kept = self._only_listed(kept, given, lists)
        return self.split.assign(kept, given)

    def _scan(self) -> tuple[Path, dict[str, Path], dict[str, Path]]:
        """The table, the images by file name, and the split lists by file name."""
        tables: list[Path] = []
        images: dict[str, Path] = {}
        lists: dict[str, Path] = {}
        for folder, names in walk(self.root):
            for name in names:
                if name.startswith("Data_Entry_2017"):
                    tables.append(folder / name)
                elif name.endswith(".png"):
                    images.setdefault(name, folder / name)
                elif name in LISTS:
                    lists.setdefault(name, folder / name)
        if not tables:
            raise DataError(
                f"{self.root}: no Data_Entry_2017*.csv under it; how to get it is told by "
                "xray-report download nih-chestxray14"
            )
        return tables[0], images, lists

    def _only_listed(
        self, studies: list[Study], given: Mapping[str, Split], lists: Mapping[str, Path]
    ) -> list[Study]:
        if len(lists) < len(LISTS):
            raise DataError(
                f"{self.root}: data.split=official needs train_val_list.txt and test_list.txt "
                "under it; or choose data.split=study"
            )
        kept = [study for study in studies if study.study_id in given]
        self._dropped["in neither list"] = len(studies) - len(kept)
        return kept


def _study(row: Mapping[str, str], images: Mapping[str, Path], where: str) -> Study:
    name = check_id(row["Image Index"], where)
    found = {label.strip() for label in row["Finding Labels"].split("|")} - {"No Finding", ""}
    if unknown := sorted(found - set(NIH_CLASSES)):
        raise DataError(f"{where}: unknown finding {unknown[0][:80]!r}; correct the row")
    # PA and AP are both frontal; the collection has no lateral image.
    files = [images[name]] if name in images else []
    return Study(
        study_id=name.removesuffix(".png"),
        patient_id=check_id(row["Patient ID"], where),
        images=tuple(StudyImage(FilePixels(file), View.FRONTAL, "projections") for file in files),
        # Not a class to learn, but what splits are balanced by.
        labels={"No Finding": float(not found), **{c: float(c in found) for c in NIH_CLASSES}},
    )


def _read_lists(paths: Mapping[str, Path]) -> dict[str, Split]:
    return {
        name.removesuffix(".png"): LISTS[file]
        for file, path in paths.items()
        for name in read_text(path).split()
    }
