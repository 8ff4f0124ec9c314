"""Which way an image was taken, and where that was learnt."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from xray_report.data.iu_xray.ids import image_key
from xray_report.data.iu_xray.published import PublishedReport
from xray_report.data.study import View
from xray_report.data.view_tags import trusted_view

_LATERAL = re.compile(r"\blat(eral|s)?\b", re.IGNORECASE)
_FRONTAL = re.compile(r"\b(pa|ap|frontal|portable)\b", re.IGNORECASE)
_OTHER = {View.FRONTAL: View.LATERAL, View.LATERAL: View.FRONTAL}


class LearntView(NamedTuple):
    """A view, and `projections`, `dicom`, `caption` or `none`: where it was learnt."""

    view: View = View.UNKNOWN
    view_from: str = "none"


def read_dicom_tags(path: Path) -> dict[str, View]:
    """Trusted views by image key, of torchxrayvision's nlmcxr_dicom_metadata.csv.gz."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = next(rows)
        name, tag = header.index("imageid"), header.index("View Position")
        pairs = ((image_key(row[name]), trusted_view(row[tag])) for row in rows)
        return {key: view for key, view in pairs if key and view}


def learn_views(
    keys: Sequence[str],
    report: PublishedReport,
    projections: Mapping[str, View],
    tags: Mapping[str, View],
) -> list[LearntView]:
    """One view for each of a study's `keys`: by projection, else tag, else caption."""
    learnt = [_published(key, projections, tags) for key in report.image_keys]
    known = dict(zip(report.image_keys, learnt, strict=True))
    views = [known.get(key) or _published(key, projections, tags) for key in keys]
    return [
        view if view.view is not View.UNKNOWN else _from_caption(report, learnt) for view in views
    ]


def _published(key: str, projections: Mapping[str, View], tags: Mapping[str, View]) -> LearntView:
    if key in projections:
        return LearntView(projections[key], "projections")
    if key in tags:
        return LearntView(tags[key], "dicom")
    return LearntView()


def _from_caption(report: PublishedReport, learnt: Sequence[LearntView]) -> LearntView:
    """The one view a caption names; of two images and two views named, the one not yet known."""
    lateral, frontal = bool(_LATERAL.search(report.caption)), bool(_FRONTAL.search(report.caption))
    if lateral != frontal and len(report.image_keys) == 1:
        return LearntView(View.LATERAL if lateral else View.FRONTAL, "caption")
    known = [view.view for view in learnt if view.view is not View.UNKNOWN]
    if lateral and frontal and len(learnt) == 2 and len(known) == 1:
        return LearntView(_OTHER[known[0]], "caption")
    return LearntView()
