"""The real collection, where this checkout has it beside it: its reports, and 58 of its images.

Counts of reports are held against what was counted in the XML by hand and by others; the images,
laid out in every form, must give the same studies, pixels and scores.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.sources.real import (
    ANNOTATION,
    IMAGES,
    KAGGLE,
    needs_annotation,
    needs_extra,
    needs_images,
)
from tests.data.sources.test_iu_xray import shown
from tests.scripts import command
from xray_report.data.audit import audit
from xray_report.data.sources.iu_xray import (
    DICOM_TAGS,
    PROJECTIONS_CSV,
    REPORTS_CSV,
    IUXRay,
    find_in_extra,
    image_key,
    learn_views,
    read_dicom_tags,
    read_projections,
    read_reports_csv,
    reports_of_extra,
)
from xray_report.data.sources.r2gen import read_annotation
from xray_report.data.study import Study, View
from xray_report.data.tables import read_table


def needs_real_images(test: Callable[..., None]) -> Callable[..., None]:
    return needs_images(needs_annotation(test))


def needs_real_reports(test: Callable[..., None]) -> Callable[..., None]:
    return needs_extra(needs_annotation(test))


@pytest.fixture(scope="module")
def source() -> IUXRay:
    return IUXRay(None, annotation=ANNOTATION, split="r2gen")


@needs_real_reports
def test_counts_are_those_of_the_xml(source: IUXRay) -> None:
    published = source.published()
    assert published["reports"] == 3955
    assert published["images"] == 7470
    assert published["images per study"] == {
        "0": 104,
        "1": 446,
        "2": 3208,
        "3": 181,
        "4": 15,
        "5": 1,
    }
    assert published["without findings"] == 530
    assert published["without impression"] == 34
    assert published["without both"] == 28
    assert published["r2gen rule"] == 2955


@needs_real_reports
def test_r2gen_studies_texts_and_split(source: IUXRay) -> None:
    studies = source.studies()
    assert Counter(s.split for s in studies) == {"train": 2069, "val": 296, "test": 590}
    rule = {
        report.study_id
        for report in source.contents.reports
        if report.findings and len(report.image_keys) >= 2
    }
    assert {s.study_id for s in studies} == rule
    texts = Counter((entry.report, entry.split) for entry in read_annotation(ANNOTATION))
    assert Counter((s.findings, s.split) for s in studies) == texts


@needs_real_reports
def test_audit_of_the_r2gen_split(source: IUXRay) -> None:
    numbers = audit(source)
    assert numbers["dropped"] == {"not in split r2gen": 1000}
    assert numbers["overlap"] == {"studies": 0, "patients": 0}
    assert round(100 * numbers["splits"]["test"]["normal"]) == 52
    assert round(100 * numbers["splits"]["train"]["normal"]) == 33
    assert round(100 * numbers["text"]["also in train"]["test"]) == 47
    assert numbers["text"]["vocabulary"]["occurrences with a vector"] > 0.95


@needs_real_reports
@needs_images
def test_kaggle_reports_are_those_of_the_xml(source: IUXRay) -> None:
    projections = read_projections(KAGGLE / "indiana_projections.csv")
    table = read_reports_csv(KAGGLE / "indiana_reports.csv", projections)
    by_id = {report.study_id: report for report in source.contents.reports}
    assert len(table) == 3851
    for report in table:
        other = by_id[report.study_id]
        assert (report.findings, report.impression) == (other.findings, other.impression)
        assert report.mesh == other.mesh
        assert report.image_keys == other.image_keys


@needs_real_reports
@needs_images
def test_views_learnt_without_projections_are_nearly_always_right(source: IUXRay) -> None:
    projections = read_projections(KAGGLE / "indiana_projections.csv")
    tags_file = find_in_extra(DICOM_TAGS)
    assert tags_file is not None
    tags = read_dicom_tags(tags_file)
    right: Counter[tuple[str, bool]] = Counter()
    for report in source.contents.reports:
        learnt = learn_views(report.image_keys, report, {}, tags)
        for key, (view, learnt_from) in zip(report.image_keys, learnt, strict=True):
            if view is not View.UNKNOWN and key in projections:
                right[learnt_from, view is projections[key]] += 1
    for learnt_from, at_least in (("dicom", 1200), ("caption", 800)):
        good, bad = right[learnt_from, True], right[learnt_from, False]
        assert good + bad > at_least
        assert good / (good + bad) > 0.98


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


@needs_real_images
def test_views_are_those_a_person_sees(kaggle_root: Path) -> None:
    studies = IUXRay(kaggle_root, split="all_train").studies()
    found = {
        i.pixels.path.name.split(".")[0]: i.view.value  # type: ignore[attr-defined]
        for s in studies
        for i in s.images
    }
    rows = [row for _, row in read_table(KAGGLE / "images.csv", ("file", "view"))]
    seen = {str(image_key(row["file"])): row["view"].lower() for row in rows}
    assert found == seen
    assert len(studies) == 35
    both = [s for s in studies if {View.FRONTAL, View.LATERAL} <= {i.view for i in s.images}]
    assert len(both) == 21


@pytest.fixture(scope="module")
def kaggle_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kaggle(tmp_path_factory.mktemp("kaggle"))


@needs_real_images
def test_kaggle_and_nlm_layouts_agree_exactly(kaggle_root: Path, tmp_path: Path) -> None:
    roots = kaggle_root, nlm(tmp_path)
    one, other = (IUXRay(root).studies() for root in roots)
    assert shown(one) == shown(other)
    for name in ("dedup", "r2gen", "all_train"):
        one, other = (IUXRay(root, split=name).studies() for root in roots)
        assert sides(one) == sides(other)


def sides(studies: list[Study]) -> dict[str, str | None]:
    return {study.study_id: study.split for study in studies}


@needs_real_images
def test_r2gen_layout_agrees_exactly(kaggle_root: Path, tmp_path: Path) -> None:
    root = r2gen(tmp_path / "r")
    studies = IUXRay(root, split="r2gen").studies()
    assert len(studies) >= 28
    assert shown(studies) == shown(IUXRay(kaggle_root, split="r2gen").studies())


@needs_real_images
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


QUICK = (
    "data=iu_xray", "data.root=data", "data.split=r2gen", "encoder.weights=phantom",
    "trainer.max_epochs=2", "loader.batch_size=8", "callbacks.progress.refresh_rate=0",
)  # fmt: skip


def nlm_with_reports(root: Path) -> Path:
    """NLM's reports and image names; the projections, which only Kaggle publishes, beside them."""
    shutil.copytree(IMAGES, root / "NLMCXR_png")
    with tarfile.open(reports_of_extra()) as archive:
        archive.extractall(root, filter="data")
    for path in (KAGGLE / PROJECTIONS_CSV, ANNOTATION):
        shutil.copy(path, root / path.name)
    return root


def scores(folder: Path, layout: Callable[[Path], Path]) -> tuple[dict[str, float], list[str]]:
    folder.mkdir()
    layout(folder / "data")
    for script, options in (("train.py", QUICK), ("evaluate.py", ())):
        done = command(script, *options, folder=folder)
        assert done.code == 0, done.said
    (metrics,) = folder.glob("runs/evaluate/*/metrics.json")
    reports = metrics.with_name("reports.jsonl").read_text().splitlines()
    return json.loads(metrics.read_text()), reports


@pytest.mark.slow
@needs_real_images
@needs_extra
def test_scores_do_not_depend_on_the_layout(tmp_path: Path) -> None:
    found = [
        scores(tmp_path / layout.__name__, layout) for layout in (kaggle, nlm_with_reports, r2gen)
    ]
    assert len(found[0][1]) == 6
    assert found[0] == found[1] == found[2]
