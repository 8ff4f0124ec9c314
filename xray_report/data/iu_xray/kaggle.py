"""Kaggle's form: indiana_reports.csv and indiana_projections.csv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xray_report.data.iu_xray.ids import image_key, study_of
from xray_report.data.iu_xray.published import PublishedReport
from xray_report.data.study import View
from xray_report.data.tables import read_table
from xray_report.data.target import text_or_none
from xray_report.errors import DataError

REPORTS, PROJECTIONS = "indiana_reports.csv", "indiana_projections.csv"
LEFT_OUT = (
    "2084_IM-0715-1001-0002",
    "2084_IM-0715-2001-0001",
    "2560_IM-1064-4001",
    "3809_IM-1919-1003002",
)
"""Images of the collection that the projections forget; R2Gen's numbers count them."""
_VIEWS = {"frontal": View.FRONTAL, "lateral": View.LATERAL}


def read_projections(path: Path) -> dict[str, View]:
    """View by image key. Raises `DataError` for a name or a view that is none."""
    views: dict[str, View] = {}
    rows = read_table(path, ("uid", "filename", "projection"))
    for line, row in enumerate(rows, start=2):
        key, view = image_key(row["filename"]), _VIEWS.get(row["projection"].strip().lower())
        if key is None or study_of(key) != row["uid"].strip():
            raise DataError(
                f"{path}, row {line}: filename {row['filename'][:80]!r} is not an image of uid "
                f"{row['uid'][:80]!r}; correct or remove the row"
            )
        if view is None:
            raise DataError(
                f"{path}, row {line}: projection must be Frontal or Lateral, "
                f"got {row['projection'][:80]!r}; correct or remove the row"
            )
        views[key] = view
    return views


def read_reports_csv(path: Path, projections: Mapping[str, View]) -> list[PublishedReport]:
    """All rows, with the images that `projections` (or `LEFT_OUT`) names. Raises `DataError`."""
    listed: dict[str, list[str]] = {}
    for key in projections:
        listed.setdefault(study_of(key), []).append(key)
    for key in LEFT_OUT:
        if study_of(key) in listed:
            listed[study_of(key)].append(key)
    reports: dict[str, PublishedReport] = {}
    rows = read_table(path, ("uid", "findings", "impression"))
    for line, row in enumerate(rows, start=2):
        uid = row["uid"].strip()
        if not (uid.isascii() and uid.isdigit()):
            raise DataError(
                f"{path}, row {line}: uid must be a number, got {row['uid'][:80]!r}; "
                "correct or remove the row"
            )
        if uid in reports:
            raise DataError(f"{path}, row {line}: uid {uid} stands twice; remove one of its rows")
        reports[uid] = PublishedReport(
            study_id=uid,
            findings=text_or_none(row["findings"]),
            impression=text_or_none(row["impression"]),
            mesh=tuple(term for term in row.get("MeSH", "").split(";") if term),
            caption=row.get("image", "").strip(),
            image_keys=tuple(sorted(listed.get(uid, ()))),
        )
    return list(reports.values())
