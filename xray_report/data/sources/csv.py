"""Your own archive: a table with one row an image, or one row a study, and the images it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path

from xray_report.data.dicom import view_of_file
from xray_report.data.folders import check_id, is_file, is_folder, path_inside
from xray_report.data.images import FilePixels
from xray_report.data.sources.collection import StudyCollection
from xray_report.data.study import Split, Study, StudyImage, View
from xray_report.data.tables import read_table
from xray_report.errors import DataError, OptionError
from xray_report.options import as_path
from xray_report.text.cleaning import text_or_none


@dataclass(frozen=True)
class Columns:
    """Names of columns; None where the table has none for it.

    Args:
        study_id: rows with the same one are one study (required).
        image: path of the row's image (one row an image), and `view` its projection.
        frontal, lateral: paths of the study's images (one row a study).
        patient_id, findings, impression, split: of the study.

    Raises `OptionError` where they fit neither form of table.
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


@dataclass
class CSVSource(StudyCollection):
    """A CSV with one row an image, or one row a study, and the images it names.

    Args:
        table: UTF-8 CSV (or .csv.gz) with a header line.
        columns: which column means what (`Columns`), as `{image: file, findings: report, ...}`.
        images: folder its paths are relative to; None: the table's own. PNG, JPEG or DICOM.
        labels: columns that hold labels: 1 present, 0 absent, empty or -1 unknown.
        split: `study`, `dedup`, `official` (columns.split) or `all_train`.

    Other options and errors as of every `StudyCollection`.
    """

    name = "csv"
    split_choices = ("study", "dedup", "official", "all_train")

    table: str | Path
    _: KW_ONLY
    columns: Mapping[str, str | None]
    images: str | Path | None = None
    labels: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._table = as_path("data.table", self.table)
        self._folder = as_path("data.images", self.images) if self.images else self._table.parent
        try:
            self._columns = Columns(**self.columns)  # type: ignore[arg-type]
        except TypeError as error:
            raise OptionError(f"data.columns: {error}".replace("Columns.__init__() ", "")) from None
        if self.split == "official" and not self._columns.split:
            raise OptionError("data.split=official needs data.columns.split")
        if isinstance(self.labels, str) or not isinstance(self.labels, Sequence):
            raise OptionError(
                f"data.labels must be a list such as [Edema,Fracture], got {self.labels!r}"
            )

    @property
    def label_names(self) -> tuple[str, ...]:
        """The columns of labels, as given."""
        return tuple(self.labels)

    def read(self) -> list[Study]:
        """All studies of the table, in its order. Raises `DataError`."""
        rows: dict[str, list[tuple[str, dict[str, str]]]] = {}
        for place, row in read_table(self._table, [*self._columns.named(), *self.labels]):
            name = check_id(row[self._columns.study_id], place)
            if name in rows and not self._columns.image:
                raise DataError(f"{place}: study {name} stands twice; remove one of its rows")
            rows.setdefault(name, []).append((place, row))
        if not is_folder(self._folder):
            raise DataError(f"{self._folder}: no such folder; set data.images to the image folder")
        self.dropped["images that are no file"] = 0
        return [self._study(name, group) for name, group in rows.items()]

    def missing_images(self) -> str:
        """Says where images are expected."""
        return (
            f"{self._folder}: none of the images that {self._table} names lies under it; "
            "set data.images to the folder their paths are relative to"
        )

    def _study(self, name: str, rows: list[tuple[str, dict[str, str]]]) -> Study:
        columns = self._columns
        place, first = rows[0]
        for other_place, other in rows[1:]:
            self._check_same(first, other, other_place)
        images = tuple(image for at, row in rows for image in self._row_images(row, at))
        if len({image.pixels for image in images}) < len(images):
            raise DataError(f"{place}: study {name} names an image twice; remove one of them")
        published = columns.split if self.split == "official" else None
        return Study(
            study_id=name,
            patient_id=check_id(first[columns.patient_id], place) if columns.patient_id else None,
            images=images,
            findings=text_or_none(first[columns.findings]) if columns.findings else None,
            impression=text_or_none(first[columns.impression]) if columns.impression else None,
            labels=_merge_labels([self._row_labels(row, at) for at, row in rows]) or None,
            split=_parse_split(first[published], place) if published else None,
        )

    def _check_same(self, first: Mapping[str, str], other: Mapping[str, str], place: str) -> None:
        columns = self._columns
        for name in (columns.patient_id, columns.findings, columns.impression, columns.split):
            if name and first[name] != other[name]:
                raise DataError(
                    f"{place}: column {name!r} differs from the study's first row; "
                    "a study has one patient, one report and one split"
                )

    def _row_images(self, row: Mapping[str, str], place: str) -> list[StudyImage]:
        columns = self._columns
        if columns.image:
            view = _parse_view(row[columns.view], place) if columns.view else View.UNKNOWN
            return self._cell_images(row[columns.image], view, self._row_labels(row, place), place)
        sides = ((columns.frontal, View.FRONTAL), (columns.lateral, View.LATERAL))
        return [
            image
            for column, view in sides
            if column
            for image in self._cell_images(row[column], view, None, place)
        ]

    def _cell_images(
        self, cell: str, view: View, labels: Mapping[str, float] | None, place: str
    ) -> list[StudyImage]:
        """The image a cell names; none where the cell is empty or the file is not there."""
        if not cell.strip():
            return []
        path = path_inside(self._folder, cell, place)
        if not is_file(path):
            self.dropped["images that are no file"] += 1
            return []
        if view is not View.UNKNOWN:
            return [StudyImage(FilePixels(path), view, "projections", labels)]
        if tag := view_of_file(path):
            return [StudyImage(FilePixels(path), tag, "dicom", labels)]
        return [StudyImage(FilePixels(path), labels=labels)]

    def _row_labels(self, row: Mapping[str, str], place: str) -> dict[str, float]:
        values = {name: _parse_label(row[name], place) for name in self.labels}
        return {name: value for name, value in values.items() if value is not None}


VIEWS: Mapping[str, View] = {
    **dict.fromkeys(("frontal", "pa", "ap", "f"), View.FRONTAL),
    **dict.fromkeys(("lateral", "lat", "ll", "rl", "l"), View.LATERAL),
    **dict.fromkeys(("", "unknown"), View.UNKNOWN),
}
"""Views as people spell them, in lower case."""
_SPLITS: Mapping[str, Split] = {
    "train": "train",
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
    "test": "test",
}


def _parse_view(text: str, place: str) -> View:
    view = VIEWS.get(text.strip().lower())
    if view is None:
        raise DataError(
            f"{place}: view {text[:40]!r} is none of {', '.join(filter(None, VIEWS))}; "
            "correct it or leave it empty"
        )
    return view


def _parse_split(text: str, place: str) -> Split:
    split = _SPLITS.get(text.strip().lower())
    if split is None:
        raise DataError(f"{place}: split {text[:40]!r} is none of train, val, test; correct it")
    return split


def _parse_label(text: str, place: str) -> float | None:
    """1 present, 0 absent; None (unknown) for an empty cell or -1."""
    try:
        value = float(text) if text.strip() else -1.0
    except ValueError:
        value = 0.5
    if value not in (1.0, 0.0, -1.0):
        raise DataError(f"{place}: label {text[:40]!r} must be 1, 0, -1 or empty; correct it")
    return None if value < 0 else value


def _merge_labels(image_labels: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Labels of a study: present where any of its images shows it, absent where none of them does.

    Unknown, so left out, where one image is without the finding and another does not say.
    """
    names = dict.fromkeys(name for labels in image_labels for name in labels)
    values = {name: [labels.get(name) for labels in image_labels] for name in names}
    largest = {name: max(v for v in found if v is not None) for name, found in values.items()}
    return {name: value for name, value in largest.items() if value or None not in values[name]}
