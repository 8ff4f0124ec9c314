from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from xray_report.data.sources.iu_xray import PublishedReport, learn_views, read_dicom_tags
from xray_report.data.study import View

ONE, TWO = "1_IM-0001-1001", "1_IM-0001-2001"
F, L, U = View.FRONTAL, View.LATERAL, View.UNKNOWN


def learn(caption: str, keys: tuple[str, ...], *, projections=None, tags=None) -> list[tuple]:  # type: ignore[no-untyped-def, type-arg]
    report = PublishedReport("1", caption=caption, image_keys=keys)
    return [tuple(view) for view in learn_views(keys, report, projections or {}, tags or {})]


def test_projections_come_before_tags_and_tags_before_captions() -> None:
    found = learn("AP chest", (ONE, TWO), projections={ONE: L}, tags={ONE: F, TWO: F})
    assert found == [(L, "projections"), (F, "dicom")]


@pytest.mark.parametrize(
    ("caption", "view"),
    [
        ("Portable AP chest", F),
        ("Lateral chest", L),
        ("PA and lateral chest", U),
        ("Chest x-XXXX", U),
        ("Bilateral apical film", U),
        ("", U),
    ],
)
def test_caption_of_a_lone_image(caption: str, view: View) -> None:
    assert learn(caption, (ONE,)) == [(view, "none" if view is U else "caption")]


def test_the_other_of_two_views_named() -> None:
    assert learn("PA and lateral", (ONE, TWO), tags={TWO: L}) == [(F, "caption"), (L, "dicom")]
    assert learn("Two views", (ONE, TWO), tags={TWO: L}) == [(U, "none"), (L, "dicom")]
    assert learn("PA and lateral", (ONE, TWO)) == [(U, "none"), (U, "none")]


def test_only_tags_that_can_be_trusted_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tags.csv.gz"
    lines = ["imageid,View Position", f"CXR{ONE},PA", f"CXR{TWO},LL", "CXR2_IM-0002-1,", "odd,AP"]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert read_dicom_tags(path) == {TWO: L}
