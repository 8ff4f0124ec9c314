from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.pictures import gray
from tests.data.sources.iu_xray.layouts import Made, kaggle, nlm, r2gen, write_projections
from xray_report.data.sources import iu_xray as extra
from xray_report.data.sources.iu_xray import IUXRay, normality
from xray_report.data.study import Study, View
from xray_report.errors import MissingExtraError


@pytest.fixture(autouse=True)
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def images_shown(study: Study) -> list[object]:
    return [(i.view, i.view_from, i.pixels.load().tobytes()) for i in study.images]


def shown(studies: list[Study]) -> list[object]:
    """Everything of studies but where their files lie."""
    return [
        (s.study_id, s.findings, s.impression, s.labels, s.split, images_shown(s)) for s in studies
    ]


def test_kaggle_form(tmp_path: Path) -> None:
    source = IUXRay(kaggle(tmp_path), split="all_train")
    one, two, three, ten = source.studies()
    assert [one.study_id, two.study_id, three.study_id, ten.study_id] == ["1", "2", "3", "10"]
    assert [(image.view, image.view_from) for image in one.images] == [
        (View.LATERAL, "projections"),
        (View.FRONTAL, "projections"),
    ]
    np.testing.assert_array_equal(one.images[1].pixels.load(), gray(1))
    assert (one.findings, one.impression, one.split) == ("Clear lungs.", "Normal.", "train")
    assert (two.impression, three.findings) == (None, None)
    assert [s.labels for s in (one, two, ten)] == [{"No Finding": 1.0}, {"No Finding": 0.0}, None]
    assert source.collection.reports[1].mesh == ("Cardiomegaly/mild",)
    assert source.dropped == {"no image found": 1}


def nlm_packed(root: Path) -> Path:
    return nlm(root, packed=True)


@pytest.mark.parametrize("form", [nlm, nlm_packed])
def test_nlm_form_with_projections_equals_kaggles(
    tmp_path: Path, form: Callable[[Path], Path]
) -> None:
    root = form(tmp_path / "nlm")
    write_projections(root)
    studies = IUXRay(root, split="all_train").studies()
    assert shown(studies) == shown(IUXRay(kaggle(tmp_path / "k"), split="all_train").studies())


def test_r2gen_images_with_kaggle_tables_equal_kaggles(tmp_path: Path) -> None:
    both = kaggle(tmp_path / "kaggle")
    root = r2gen(tmp_path / "r2gen")
    for name in ("indiana_reports.csv", "indiana_projections.csv"):
        shutil.copy(both / name, root / name)
    shutil.copy(root / "annotation.json", both / "annotation.json")
    studies = IUXRay(root, split="r2gen").studies()
    assert [(s.study_id, s.split) for s in studies] == [
        ("1", "train"),
        ("2", "val"),
        ("10", "test"),
    ]
    assert shown(studies) == shown(IUXRay(both, split="r2gen").studies())


def test_r2gen_form_alone(tmp_path: Path) -> None:
    studies = IUXRay(r2gen(tmp_path), split="r2gen").studies()
    assert [(s.findings, len(s.images)) for s in studies][:2] == [
        ("Clear lungs.", 2),
        ("Big heart.", 1),
    ]
    assert studies[0].images[0].view is View.UNKNOWN


def test_xml_reports_with_kaggle_images(tmp_path: Path) -> None:
    root = nlm(tmp_path / "mixed")
    shutil.rmtree(root / "NLMCXR_png")
    images = kaggle(tmp_path / "kaggle") / "images"
    (root / "linked").symlink_to(images)
    studies = IUXRay(root, split="all_train").studies()
    assert [len(s.images) for s in studies] == [2, 1, 1, 2]
    # The captions name both views and no tag is known: nothing is guessed.
    assert studies[0].images[0].view_from == "none"


def test_reports_of_the_extra_are_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = nlm_packed(tmp_path / "nlm")
    tgz = root / "NLMCXR_reports.tgz"
    tgz.rename(tmp_path / tgz.name)
    with pytest.raises(MissingExtraError, match=r"pip install 'xray-report\[iu-xray\]'"):
        IUXRay(root).studies()
    wheel = tmp_path / "torchxrayvision"
    (wheel / "data").mkdir(parents=True)
    (wheel / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / tgz.name).rename(wheel / "data" / tgz.name)
    spec = importlib.util.spec_from_file_location(
        "torchxrayvision", wheel / "__init__.py", submodule_search_locations=[str(wheel)]
    )
    monkeypatch.setattr(extra.importlib.util, "find_spec", lambda name: spec)
    assert len(IUXRay(root, split="all_train").studies()) == 4
    text_only = IUXRay(None, split="all_train").studies()
    assert [s.study_id for s in text_only] == ["1", "2", "3", "10", "11"]
    assert all(not s.images for s in text_only)


WORDS = ["effusion", "nodule", "mass", "opacity", "edema", "scar", "fracture"]
MANY = tuple(
    Made(
        str(n),
        f"Seen {WORDS[n % 7]}.",
        "",
        "normal" if n % 3 else "Opacity",
        {f"{n}_IM-{n:04d}-1001": "F"},
    )
    for n in range(1, 41)
)


def test_random_splits_depend_on_the_seed_alone(tmp_path: Path) -> None:
    root = kaggle(tmp_path, MANY)
    first = [s.split for s in IUXRay(root, seed=1).studies()]
    assert first == [s.split for s in IUXRay(root, seed=1).studies()]
    assert first != [s.split for s in IUXRay(root, seed=2).studies()]
    assert (first.count("val"), first.count("test")) == (4, 8)


def test_dedup_keeps_equal_reports_on_one_side(tmp_path: Path) -> None:
    sides: dict[str | None, set[str | None]] = {}
    for study in IUXRay(kaggle(tmp_path, MANY), split="dedup").studies():
        sides.setdefault(study.findings, set()).add(study.split)
    assert all(len(found) == 1 for found in sides.values())


def test_all_pairs_multiplies_training_studies_only(tmp_path: Path) -> None:
    images = {f"1_IM-0001-{n}001": view for n, view in enumerate("FFLL", start=1)}
    root = kaggle(tmp_path, (Made("1", "Text.", "", "normal", images), *MANY[1:]))
    studies = IUXRay(root, split="all_train", views="all_pairs").studies()
    pairs = [s for s in studies if s.patient_id == "1"]
    assert [s.study_id for s in pairs] == ["1", "1~2", "1~3", "1~4"]
    assert len({tuple(i.pixels.identity for i in s.images) for s in pairs}) == 4
    assert {s.split for s in pairs} == {"train"}


def test_normality_of_mesh() -> None:
    assert normality(("normal",)) == {"No Finding": 1.0}
    assert normality(("Opacity", "normal")) == {"No Finding": 0.0}
    assert normality(()) is None
