"""Which column of a table means what, and what its cells say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from xray_report.data.study import Split, View
from xray_report.errors import DataError, OptionError

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
