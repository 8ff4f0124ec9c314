"""Counts of all real reports, against what was counted in the XML by hand and by others."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.data.sources.iu_xray.real import (
    ANNOTATION,
    KAGGLE,
    needs_annotation,
    needs_extra,
    needs_images,
)
from xray_report.data.audit import audit
from xray_report.data.sources.iu_xray import (
    DICOM_TAGS,
    IUXRay,
    find_in_extra,
    learn_views,
    read_dicom_tags,
    read_projections,
    read_reports_csv,
)
from xray_report.data.sources.r2gen import read_annotation
from xray_report.data.study import View

pytestmark = [needs_extra, needs_annotation]


@pytest.fixture(scope="module")
def source() -> IUXRay:
    return IUXRay(None, annotation=ANNOTATION, split="r2gen")


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


def test_r2gen_studies_texts_and_split(source: IUXRay) -> None:
    studies = source.studies()
    assert Counter(s.split for s in studies) == {"train": 2069, "val": 296, "test": 590}
    rule = {
        report.study_id
        for report in source.collection.reports
        if report.findings and len(report.image_keys) >= 2
    }
    assert {s.study_id for s in studies} == rule
    texts = Counter((entry.report, entry.split) for entry in read_annotation(ANNOTATION))
    assert Counter((s.findings, s.split) for s in studies) == texts


def test_audit_of_the_r2gen_split(source: IUXRay) -> None:
    numbers = audit(source)
    assert numbers["dropped"] == {"not R2Gen's": 1000}
    assert numbers["overlap"] == {"studies": 0, "patients": 0}
    assert round(100 * numbers["splits"]["test"]["normal"]) == 52
    assert round(100 * numbers["splits"]["train"]["normal"]) == 33
    assert round(100 * numbers["text"]["also in train"]["test"]) == 47
    assert numbers["text"]["vocabulary"]["occurrences with a vector"] > 0.95


@needs_images
def test_kaggle_reports_are_those_of_the_xml(source: IUXRay) -> None:
    projections = read_projections(KAGGLE / "indiana_projections.csv")
    table = read_reports_csv(KAGGLE / "indiana_reports.csv", projections)
    by_id = {report.study_id: report for report in source.collection.reports}
    assert len(table) == 3851
    for report in table:
        other = by_id[report.study_id]
        assert (report.findings, report.impression) == (other.findings, other.impression)
        assert report.mesh == other.mesh
        assert report.image_keys == other.image_keys


@needs_images
def test_views_learnt_without_projections_are_nearly_always_right(source: IUXRay) -> None:
    projections = read_projections(KAGGLE / "indiana_projections.csv")
    tags_file = find_in_extra(DICOM_TAGS)
    assert tags_file is not None
    tags = read_dicom_tags(tags_file)
    right: Counter[tuple[str, bool]] = Counter()
    for report in source.collection.reports:
        learnt = learn_views(report.image_keys, report, {}, tags)
        for key, (view, learnt_from) in zip(report.image_keys, learnt, strict=True):
            if view is not View.UNKNOWN and key in projections:
                right[learnt_from, view is projections[key]] += 1
    for learnt_from, at_least in (("dicom", 1200), ("caption", 800)):
        good, bad = right[learnt_from, True], right[learnt_from, False]
        assert good + bad > at_least
        assert good / (good + bad) > 0.98
