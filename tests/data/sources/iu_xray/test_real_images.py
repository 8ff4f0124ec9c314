"""The same 58 real images in every layout: identical studies and pixels."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.data.sources.iu_xray.real import (
    ANNOTATION,
    IMAGES,
    KAGGLE,
    needs_annotation,
    needs_images,
)
from tests.data.sources.iu_xray.test_source import shown
from xray_report.data.audit import audit
from xray_report.data.sources.iu_xray import (
    PROJECTIONS_CSV,
    REPORTS_CSV,
    IUXRay,
    image_key,
    read_projections,
)
from xray_report.data.splits import SplitOptions
from xray_report.data.study import Study, View
from xray_report.data.tables import read_table

pytestmark = [needs_images, needs_annotation]


def kaggle(root: Path) -> Path:
    folder = root / "images" / "images_normalized"
    folder.mkdir(parents=True)
    for path in IMAGES.iterdir():
        (folder / f"{image_key(path.name)}.dcm.png").symlink_to(path)
    return tables(root)


def tables(root: Path) -> Path:
    for name in (REPORTS_CSV, PROJECTIONS_CSV):
        shutil.copy(KAGGLE / name, root / name)
    shutil.copy(ANNOTATION, root / "annotation.json")
    return root


def nlm(root: Path) -> Path:
    shutil.copytree(IMAGES, root / "NLMCXR_png")
    return tables(root)


def r2gen(root: Path) -> Path:
    """Only images that are among the first two of their study stand in R2Gen's form."""
    root.mkdir()
    projections = sorted(read_projections(KAGGLE / PROJECTIONS_CSV))
    entries = [e for side in json.loads(ANNOTATION.read_text()).values() for e in side]
    names = {e["id"].split("_")[0].removeprefix("CXR"): e["id"] for e in entries}
    for path in IMAGES.iterdir():
        key = image_key(path.name)
        assert key is not None
        uid = key.split("_")[0]
        place = [k for k in projections if k.startswith(f"{uid}_")].index(key)
        if uid in names and place < 2:
            folder = root / "images" / names[uid]
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / f"{place}.png")
    return tables(root)


def test_views_are_those_a_person_sees(kaggle_root: Path) -> None:
    studies = IUXRay(kaggle_root, split="all_train").studies()
    found = {
        i.pixels.path.name.split(".")[0]: i.view.value  # type: ignore[attr-defined]
        for s in studies
        for i in s.images
    }
    rows = read_table(KAGGLE / "images.csv", ("file", "view"))
    seen = {str(image_key(row["file"])): row["view"].lower() for row in rows}
    assert found == seen
    assert len(studies) == 35
    both = [s for s in studies if {View.FRONTAL, View.LATERAL} <= {i.view for i in s.images}]
    assert len(both) == 21


@pytest.fixture(scope="module")
def kaggle_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kaggle(tmp_path_factory.mktemp("kaggle"))


def test_kaggle_and_nlm_layouts_agree_exactly(kaggle_root: Path, tmp_path: Path) -> None:
    one, other = (IUXRay(root) for root in (kaggle_root, nlm(tmp_path)))
    assert shown(one.studies()) == shown(other.studies())
    for name in ("dedup", "r2gen", "all_train"):
        one.split = other.split = SplitOptions(name)
        assert sides(one.studies()) == sides(other.studies())


def sides(studies: list[Study]) -> dict[str, str | None]:
    return {study.study_id: study.split for study in studies}


def test_r2gen_layout_agrees_exactly(kaggle_root: Path, tmp_path: Path) -> None:
    root = r2gen(tmp_path / "r")
    studies = IUXRay(root, split="r2gen").studies()
    assert len(studies) >= 28
    assert shown(studies) == shown(IUXRay(kaggle_root, split="r2gen").studies())


def test_audit_of_the_real_images(tmp_path: Path) -> None:
    root = kaggle(tmp_path / "k")
    broken = next((root / "images/images_normalized").glob("437_*"))
    broken.unlink()
    broken.write_text("no image")
    numbers = audit(IUXRay(root, split="study"))
    assert numbers["images"] == 58
    assert numbers["views"] == {"frontal": 34, "lateral": 24}
    (unreadable,) = numbers["unreadable images"]
    assert unreadable["study"] == "437"
    assert str(broken) in unreadable["error"]
    assert sum(side["studies"] for side in numbers["splits"].values()) == 35
    assert Counter(numbers["images per study"]) == {"1": 14, "2": 20, "4": 1}
