"""Your own archive: a table of images or studies, its columns and the source made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from xray_report.data.dicom import view_of_file
from xray_report.data.folders import check_id, inside, is_file, is_folder
from xray_report.data.images import FilePixels
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
from xray_report.data.tables import read_table
from xray_report.errors import DataError, OptionError
from xray_report.options import as_path, check_choice, check_flag

_VIEWS: Mapping[str, View] = {
    **dict.fromkeys(("frontal", "pa", "ap", "f"), View.FRONTAL),
    **dict.fromkeys(("lateral", "lat", "ll", "rl", "l"), View.LATERAL),
    **dict.fromkeys(("", "unknown"), View.UNKNOWN),
}
_SPLITS: Mapping[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
}


@dataclass(frozen=True)
class Columns:
    """Names of columns; None where the table has none for it.

    Args:
        study_id: rows with the same one are one study (required).
        image: path of the row's image (one row an image), and `view` its projection.
        frontal, lateral: paths of the study's images (one row a study).
        patient_id, findings, impression, split: of the study.
    """

    study_id: str = "study_id"
    image: str | None = None
    view: str | None = None
    frontal: str | None = None
    lateral: str | None = None
    patient_id: str | None = None
    findings: str | None = None
    impression: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if not self.study_id:
            raise OptionError("data.columns.study_id must name a column")
        if bool(self.image) == bool(self.frontal or self.lateral):
            raise OptionError(
                "data.columns: name either image (one row an image) or frontal and lateral "
                "(one row a study)"
            )
        if self.view and not self.image:
            raise OptionError("data.columns.view goes with data.columns.image only")

    def named(self) -> list[str]:
        """The columns that the table must have."""
        values = (getattr(self, field.name) for field in fields(self))
        return [value for value in values if value]


def parse_view(text: str, where: str) -> View:
    """View of PA, AP, frontal, lateral, LL, ...; "" and `unknown` are unknown. Or `DataError`."""
    view = _VIEWS.get(text.strip().lower())
    if view is None:
        raise DataError(
            f"{where}: view {text[:40]!r} is none of {', '.join(filter(None, _VIEWS))}; "
            "correct it or leave it empty"
        )
    return view


def parse_split(text: str, where: str) -> Split:
    """Split of train, val (valid, validate, validation) or test. Or `DataError`."""
    split = _SPLITS.get(text.strip().lower())
    if split is None:
        raise DataError(f"{where}: split {text[:40]!r} is none of train, val, test; correct it")
    return split


def parse_label(text: str, where: str) -> float | None:
    """1 present, 0 absent; None (unknown) for an empty cell or -1. Or `DataError`."""
    try:
        value = float(text) if text.strip() else -1.0
    except ValueError:
        value = 0.5
    if value not in (1.0, 0.0, -1.0):
        raise DataError(f"{where}: label {text[:40]!r} must be 1, 0, -1 or empty; correct it")
    return None if value < 0 else value


# ------------------------------------------------------------------------------
# Anyone's own archive: one table, one folder of images.

SPLIT_CHOICES = ("study", "dedup", "official", "all_train")


class CSVSource:
    """A CSV with one row an image, or one row a study, and the images it names.

    Args:
        table: UTF-8 CSV (or .csv.gz) with a header line.
        images: folder its paths are relative to; None: the table's own. PNG, JPEG or DICOM.
        columns: which column means what (`Columns`), as `{image: file, findings: report, ...}`.
        labels: columns that hold labels: 1 present, 0 absent, empty or -1 unknown.
        split: `study` (random by patient), `dedup`, `official` (columns.split), `all_train`.
        seed, val_share, test_share: of the random splits.
        views: `first` frontal and lateral image of a study, or `all_pairs` of them in training.
        target: section to be written: `findings`, `impression` or `both`.
        strict: whether one unreadable image stops a run instead of being left out and reported.

    Raises `OptionError` for a bad option; the files are read by `studies`.
    """

    name = "csv"

    def __init__(
        self,
        table: str | Path,
        *,
        columns: Mapping[str, str | None],
        images: str | Path | None = None,
        labels: Sequence[str] = (),
        split: str = "study",
        seed: int = 0,
        val_share: float = 0.1,
        test_share: float = 0.2,
        views: str = "first",
        target: str = "findings",
        strict: bool = False,
    ) -> None:
        check_choice("data.split", split, SPLIT_CHOICES)
        self.table = as_path("data.table", table)
        self.images = as_path("data.images", images) if images else self.table.parent
        try:
            self.columns = Columns(**columns)  # type: ignore[arg-type]
        except TypeError as error:
            raise OptionError(f"data.columns: {error}".replace("Columns.__init__() ", "")) from None
        if split == "official" and not self.columns.split:
            raise OptionError("data.split=official needs data.columns.split")
        self.label_names = _names(labels)
        self.split = SplitOptions(split, seed, val_share, test_share)
        self.views = check_choice("data.views", views, VIEW_CHOICES)
        self.target = check_choice("data.target", target, TARGETS)
        self.strict = check_flag("data.strict", strict)
        self._dropped: dict[str, int] = {}

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many studies, or images, each rule left out; filled by `studies`."""
        return self._dropped

    def studies(self) -> list[Study]:
        """All studies of which an image is found, each with its split. Raises `DataError`."""
        groups: dict[str, list[tuple[str, dict[str, str]]]] = {}
        rows = read_table(self.table, [*self.columns.named(), *self.label_names])
        for line, row in enumerate(rows, start=2):
            where = f"{self.table}, row {line}"
            name = check_id(row[self.columns.study_id], where)
            if name in groups and not self.columns.image:
                raise DataError(f"{where}: study {name} stands twice; remove one of its rows")
            groups.setdefault(name, []).append((where, row))
        self._check_folder()
        self._dropped = {"images that are no file": 0}
        studies = [self._study(name, group) for name, group in groups.items()]
        kept = [study for study in studies if study.images]
        self._dropped["no image found"] = len(studies) - len(kept)
        if not kept:
            raise DataError(
                f"{self.images}: none of the images that {self.table} names lies under it; "
                "set data.images to the folder their paths are relative to"
            )
        given = {study.study_id: study.split for study in kept if study.split}
        return expand(self.split.assign(kept, given, self.target), self.views)

    def _check_folder(self) -> None:
        if not is_folder(self.images):
            raise DataError(f"{self.images}: no such folder; set data.images to the image folder")

    def _study(self, name: str, rows: list[tuple[str, dict[str, str]]]) -> Study:
        where, first = rows[0]
        for other_where, other in rows[1:]:
            self._check_same(first, other, other_where)
        columns = self.columns
        images = tuple(image for at, row in rows for image in self._images(row, at))
        if len({image.pixels for image in images}) < len(images):
            raise DataError(f"{where}: study {name} names an image twice; remove one of them")
        return Study(
            study_id=name,
            patient_id=check_id(first[columns.patient_id], where) if columns.patient_id else None,
            images=images,
            findings=text_or_none(first[columns.findings]) if columns.findings else None,
            impression=text_or_none(first[columns.impression]) if columns.impression else None,
            labels=merged([self._labels(row, at) for at, row in rows]) or None,
            split=self._published_split(first, where),
        )

    def _published_split(self, row: Mapping[str, str], where: str) -> Split | None:
        column = self.columns.split if self.split.name == "official" else None
        return parse_split(row[column], where) if column else None

    def _check_same(self, first: Mapping[str, str], other: Mapping[str, str], where: str) -> None:
        columns = self.columns
        for name in (columns.patient_id, columns.findings, columns.impression, columns.split):
            if name and first[name] != other[name]:
                raise DataError(
                    f"{where}: column {name!r} differs from the study's first row; "
                    "a study has one patient, one report and one split"
                )

    def _images(self, row: Mapping[str, str], where: str) -> list[StudyImage]:
        columns = self.columns
        if columns.image:
            view = parse_view(row[columns.view], where) if columns.view else View.UNKNOWN
            return self._image(row[columns.image], view, self._labels(row, where), where)
        sides = ((columns.frontal, View.FRONTAL), (columns.lateral, View.LATERAL))
        return [
            image
            for column, view in sides
            if column
            for image in self._image(row[column], view, None, where)
        ]

    def _image(
        self, cell: str, view: View, labels: Mapping[str, float] | None, where: str
    ) -> list[StudyImage]:
        """The image a cell names; none where the cell is empty or the file is not there."""
        if not cell.strip():
            return []
        path = inside(self.images, cell, where)
        if not is_file(path):
            self._dropped["images that are no file"] += 1
            return []
        if view is not View.UNKNOWN:
            return [StudyImage(FilePixels(path), view, "projections", labels)]
        if tag := view_of_file(path):
            return [StudyImage(FilePixels(path), tag, "dicom", labels)]
        return [StudyImage(FilePixels(path), labels=labels)]

    def _labels(self, row: Mapping[str, str], where: str) -> dict[str, float]:
        values = {name: parse_label(row[name], where) for name in self.label_names}
        return {name: value for name, value in values.items() if value is not None}


def _names(labels: Sequence[str]) -> tuple[str, ...]:
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise OptionError(f"data.labels must be a list such as [Edema,Fracture], got {labels!r}")
    return tuple(labels)


def merged(labels: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Labels of a study: present where any of its images shows it, absent where none of them does.

    Unknown, so left out, where one image is without the finding and another does not say.
    """
    names = dict.fromkeys(name for known in labels for name in known)
    seen = {name: [known.get(name) for known in labels] for name in names}
    told = {name: max(v for v in values if v is not None) for name, values in seen.items()}
    return {name: value for name, value in told.items() if value or None not in seen[name]}
