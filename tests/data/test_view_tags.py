from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.data.pictures import write_png
from tests.data.sources.iu_xray.layouts import kaggle, write_csv
from tests.data.test_dicom import write
from xray_report.data.dicom import view_of_file
from xray_report.data.sources.csv import CSVSource
from xray_report.data.sources.iu_xray import IUXRay
from xray_report.data.study import View

pytest.importorskip("pydicom", reason="needs the extra dicom")


@pytest.mark.parametrize(
    ("tag", "view"),
    [("LL", View.LATERAL), ("AP", View.FRONTAL), ("RL", View.LATERAL), ("PA", None), ("", None)],
)
def test_only_trusted_tags_name_a_view(tmp_path: Path, tag: str, view: View | None) -> None:
    assert view_of_file(write(tmp_path / "a.dcm", ViewPosition=tag)) is view


def test_other_files_name_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = write(tmp_path / "cut.dcm", ViewPosition="LL")
    cut.write_bytes(cut.read_bytes()[:140])
    whole = write(tmp_path / "whole.dcm", ViewPosition="LL")
    paths = [write_png(tmp_path / "a.png"), tmp_path / "gone.dcm", cut]
    assert [view_of_file(path) for path in paths] == [None] * 3
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert view_of_file(whole) is None


def test_a_table_without_views_takes_them_from_dicom_headers(tmp_path: Path) -> None:
    for name, tag in (("a", "LL"), ("b", "AP"), ("c", "PA")):
        write(tmp_path / f"{name}.dcm", ViewPosition=tag)
    rows = [{"study_id": "1", "file": f"{name}.dcm"} for name in "abc"]
    table = write_csv(tmp_path / "t.csv", rows)
    (study,) = CSVSource(table, columns={"image": "file"}, split="all_train").studies()
    assert [(image.view, image.view_from) for image in study.images] == [
        (View.LATERAL, "dicom"),
        (View.FRONTAL, "dicom"),
        (View.UNKNOWN, "none"),
    ]


def test_openi_images_as_dicom_tell_their_own_views(tmp_path: Path) -> None:
    root = kaggle(tmp_path)
    (root / "indiana_projections.csv").unlink()
    for path in (root / "images" / "images_normalized").glob("1_*.png"):
        tag = "LL" if "3001" in path.name else "AP"
        write(path.with_name(path.name.removesuffix(".png")), ViewPosition=tag)
        path.unlink()
    study = IUXRay(root, split="all_train").studies()[0]
    views = [(image.view, image.view_from) for image in study.images]
    assert views == [(View.LATERAL, "dicom"), (View.FRONTAL, "dicom")]
    assert study.images[0].pixels.load().shape == (16, 12)
