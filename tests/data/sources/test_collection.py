"""A new collection is one small class: what it reads is its own, everything else is shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.data.pictures import write_png
from xray_report.data.images import FilePixels
from xray_report.data.sources.collection import StudyCollection
from xray_report.data.sources.csv import CSVSource
from xray_report.data.sources.nih_chestxray14 import NIHChestXray14
from xray_report.data.study import Split, Study, StudyImage, View
from xray_report.errors import DataError, OptionError

SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


@dataclass
class OneFileAStudy(StudyCollection):
    """NUMBER_PATIENT_SPLIT.png under `root`; study 0 has no image, 1 two of either view."""

    name = "toy"
    label_names = ("Edema",)
    split_choices = ("study", "official", "all_train")

    root: Path

    def read(self) -> list[Study]:
        studies = [Study("0", "0", findings="No image.", split="train")]
        for path in sorted(self.root.glob("*.png")):
            number, patient, published = path.stem.split("_")
            views = (View.FRONTAL, View.LATERAL) * (2 if number == "1" else 1)
            images = tuple(StudyImage(FilePixels(path), view) for view in views)
            studies.append(Study(number, patient, images, "Clear.", split=SPLITS.get(published)))
        return studies

    def missing_images(self) -> str:
        return f"{self.root}: no *.png in it"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for n in range(1, 31):
        write_png(tmp_path / f"{n}_{n // 2}_{'train' if n < 20 else 'test' if n < 28 else '-'}.png")
    return tmp_path


def test_the_positional_option_is_its_own_and_the_shared_ones_have_names(root: Path) -> None:
    source = OneFileAStudy(root, seed=3, val_share=0.2)
    assert (source.split, source.target, source.strict) == ("study", "findings", False)
    studies = source.studies()
    assert source.dropped == {"no image found": 1}
    assert Counter(study.split for study in studies) == {"train": 18, "val": 6, "test": 6}
    assert [s.split for s in OneFileAStudy(root, seed=4).studies()] != [s.split for s in studies]
    patients = {(study.patient_id, study.split) for study in studies}
    assert len(patients) == len({patient for patient, _ in patients})


def test_a_published_split_is_kept_and_val_is_drawn_from_its_train(root: Path) -> None:
    source = OneFileAStudy(root, split="official", val_share=0.25)
    studies = source.studies()
    assert source.dropped == {"not in split official": 3, "no image found": 1}
    assert {s.study_id for s in studies if s.split == "test"} == {str(n) for n in range(20, 28)}
    assert Counter(study.split for study in studies) == {"train": 14, "val": 5, "test": 8}
    without_val = OneFileAStudy(root, split="official", val_share=0.0).studies()
    assert {study.split for study in without_val} == {"train", "test"}


def test_what_was_dropped_is_counted_anew_each_time(root: Path) -> None:
    source = OneFileAStudy(root)
    source.studies()
    source.studies()
    assert source.dropped == {"no image found": 1}


def test_all_pairs_of_views_are_made_of_training_studies(root: Path) -> None:
    studies = OneFileAStudy(root, split="all_train", views="all_pairs").studies()
    assert [s.study_id for s in studies if s.study_id.startswith("1~")] == ["1~2", "1~3", "1~4"]
    assert len(studies) == 33


def test_no_image_and_no_study_of_a_split_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \*\.png in it"):
        OneFileAStudy(tmp_path).studies()
    write_png(tmp_path / "1_1_-.png")
    source = OneFileAStudy(tmp_path, split="official")
    source.read = lambda: [Study("1"), Study("2")]  # type: ignore[method-assign]
    with pytest.raises(DataError, match="none of the 2 studies of toy is in split official"):
        source.studies()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "r2gen"}, r"data\.split must be one of study, official, all_train"),
        ({"seed": "one"}, r"data\.seed must be an integer of at least 0, got 'one'"),
        ({"val_share": 1.5}, r"data\.val_share must be a number"),
        ({"val_share": 0.5, "test_share": 0.5}, "must stay below 1"),
        ({"views": "both"}, r"data\.views must be one of first, all_pairs"),
        ({"target": "history"}, r"data\.target must be one of findings, impression, both"),
        ({"strict": "yes"}, r"data\.strict must be true or false"),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_read(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        OneFileAStudy(Path("nowhere"), **options)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="'shuffle'"):
        OneFileAStudy(Path("nowhere"), shuffle=True)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: NIHChestXray14(2017), r"data\.root must be a path, got 2017"),  # type: ignore[arg-type]
        (
            lambda: CSVSource("t.csv", columns={"study_id": "id", "image": "x"}, labels="Edema"),
            r"data\.labels must be a list",
        ),
        (
            lambda: CSVSource("t.csv", columns={"study_id": "id", "image": "x"}, labels=None),
            r"data\.labels must be a list",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(make: Callable[[], object], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        make()
