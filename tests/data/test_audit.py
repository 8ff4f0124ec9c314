from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data.pictures import gray, write_png
from xray_report.data.audit import (
    audit,
    audit_texts,
    audit_views,
    count_labels,
    find_unreadable,
    overlap,
    repeated,
)
from xray_report.data.images import FilePixels
from xray_report.data.phantom.source import PhantomSource
from xray_report.data.study import Split, Study, StudyImage, View


def study(
    name: str, split: Split, text: str | None, *images: StudyImage, patient: str = ""
) -> Study:
    return Study(name, patient or name, images, findings=text, split=split)


STUDIES = [
    study("1", "train", "The heart is normal."),
    study("2", "train", "The heart is zzyzx."),
    study("3", "val", "the HEART is normal."),
    study("4", "test", "The lungs are normal."),
    study("5", "test", None),
    study("6", "test", "XXXX. XX"),
]


class FixedSource:
    name = "fixed"
    label_names = ("No Finding",)
    target, strict = "findings", False
    dropped: Mapping[str, int] = {"too dark": 3}

    def studies(self) -> list[Study]:
        return STUDIES


def test_the_phantom_is_audited_like_any_other() -> None:
    numbers = audit(PhantomSource(train=3, val=1, test=1, image_size=32), workers=0)
    assert numbers["data"] == "phantom"
    assert (numbers["studies"], numbers["dropped"]) == (5, {})
    assert numbers["unreadable images"] == []
    assert numbers["text"]["studies without it"] == 0


def test_texts_by_hand() -> None:
    found = audit_texts(STUDIES, "findings", "bundled")
    assert found["studies without it"] == 1
    assert found["nothing left after cleaning"] == 1
    assert found["words"]["longest"] == 4.0  # "the lungs are normal"
    assert found["also in train"] == {"val": 1.0, "test": 0.0}
    words = found["vocabulary"]
    assert words["words"] == 5  # the heart normal zzyzx .
    assert words["words with a vector"] == pytest.approx(4 / 5)
    assert words["occurrences with a vector"] == pytest.approx(7 / 8)
    assert words["unknown to train"]["test"] == pytest.approx(2 / 5)  # lungs, are


def test_nothing_to_compare_is_none() -> None:
    assert repeated([], ["a"]) is None
    assert repeated(["a", "b"], ["a"]) == 0.5


def test_labels_are_counted_where_they_are_known() -> None:
    known = [{"Edema": 1.0, "Mass": 0.0}, {"Edema": 0.0}, {"Edema": 1.0}]
    studies = [Study(str(n), labels=labels) for n, labels in enumerate(known)] + [Study("none")]
    assert count_labels(studies) == {"Edema": 2, "Mass": 0}


def test_overlap_counts_studies_and_patients() -> None:
    torn = [study("a", "train", None, patient="p"), study("b", "test", None, patient="p")]
    assert overlap(torn) == {"studies": 0, "patients": 1}
    assert overlap([*torn, study("a", "val", None, patient="q")]) == {"studies": 1, "patients": 1}


def test_whole_audit_of_a_source_without_images() -> None:
    numbers = audit(FixedSource())
    assert numbers["patients"] == 6
    assert numbers["dropped"] == {"too dark": 3}
    assert numbers["labels"] == {}
    assert numbers["splits"]["test"] == {"studies": 3, "labelled": 0, "normal": None}
    assert numbers["studies with"] == {"no image": 6}


def test_patients_that_are_not_told_are_not_none_at_all() -> None:
    class Nameless(FixedSource):
        def studies(self) -> list[Study]:
            return [replace(one, patient_id=None) for one in super().studies()]

    assert audit(Nameless())["patients"] is None


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_views_and_unreadable_images(tmp_path: Path, workers: int) -> None:
    good = StudyImage(FilePixels(write_png(tmp_path / "a.png")), View.FRONTAL, "projections")
    side = StudyImage(FilePixels(write_png(tmp_path / "b.png")), View.LATERAL, "caption")
    bad = StudyImage(FilePixels(write_png(tmp_path / "c.png", gray(0, (1, 1)))))
    studies = [study("1", "train", None, good, side), study("2", "val", None, bad)]
    assert audit_views(studies)["studies with"] == {
        "frontal and lateral": 1,
        "unknown views only": 1,
    }
    (found,) = find_unreadable(studies, workers)
    assert found["study"] == "2"
    assert "c.png: only 1 x 1 pixels" in found["error"]
    assert np.array_equal(good.pixels.load(), gray(0))
