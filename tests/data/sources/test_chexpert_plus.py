"""CheXpert Plus, in made-up copies of its published forms."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.data.sources.layouts import chexbert, chexpert_plus, chexpert_plus_rows
from xray_report.data.datamodule import ChestDataModule, used_line
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.data.sources.chexpert_plus import CheXpertPlus
from xray_report.data.study import Study, View
from xray_report.errors import DataError, OptionError
from xray_report.models.encoders.protocol import Preprocessing

TABLE = "df_chexpert_plus_240401.csv"
UNLIKE = "images whose report is not their study's first (that one is taken)"


def study(root: Path, name: str = "patient00001_study1", **options: Any) -> Study:
    (found,) = (one for one in CheXpertPlus(root, **options).studies() if one.study_id == name)
    return found


def test_a_study_has_the_images_of_its_rows_and_one_report(tmp_path: Path) -> None:
    root = chexpert_plus(tmp_path)
    source = CheXpertPlus(root)
    assert len(source.studies()) == 12
    assert not any(source.dropped.values())
    found = study(root)
    assert found.patient_id == "patient00001"
    assert (found.findings, found.impression) == ("Study 1 is clear.", "1. Normal 1.")
    assert [(image.view, image.view_from) for image in found.images] == [
        (View.FRONTAL, "projections"),
        (View.LATERAL, "projections"),
    ]
    assert found.images[0].pixels.load().shape == (24, 20)
    assert found.labels is None


def test_valid_is_the_test_split_and_val_is_drawn_from_train_by_patient(tmp_path: Path) -> None:
    root = chexpert_plus(tmp_path)
    studies = CheXpertPlus(root, val_share=0.2).studies()
    assert Counter(one.split for one in studies) == {"train": 8, "val": 2, "test": 2}
    tested = {one.study_id for one in studies if one.split == "test"}
    assert tested == {"patient00010_study1", "patient00011_study1"}
    other = CheXpertPlus(root, val_share=0.2, seed=5).studies()
    assert [one.split for one in other] != [one.split for one in studies]
    assert {one.split for one in CheXpertPlus(root, split="all_train").studies()} == {"train"}
    with pytest.raises(OptionError, match=r"data\.split must be one of official, study, dedup"):
        CheXpertPlus(root, split="r2gen")


def test_studies_without_findings_are_dropped_and_counted_where_findings_are_written(
    tmp_path: Path,
) -> None:
    root = chexpert_plus(tmp_path)

    def said(target: str) -> str:
        module = ChestDataModule(
            CheXpertPlus(root, target=target, split="study"),
            LoaderOptions(),
            text=TextOptions(target=target),
            preprocess=Preprocessing(size=64),
        )
        module.setup()
        return used_line(module.source, module.studies, module.without_text)

    assert "6 without words in findings" in said("findings")
    assert "without words" not in said("impression")


@pytest.mark.parametrize(
    ("images", "end"),
    [
        ("PNG/PNG", ".png"),
        ("PNG", ".png"),
        ("CheXpert-v1.0-small", ".jpg"),
        ("CheXpert-v1.0", ".jpg"),
        (".", ".jpg"),
        ("DICOM", ".dcm"),
    ],
)
def test_images_are_found_in_each_of_their_forms(tmp_path: Path, images: str, end: str) -> None:
    root = chexpert_plus(tmp_path, images=images, end=end)
    source = CheXpertPlus(root)
    assert {len(one.images) for one in source.studies()} == {2}
    (root / images / "train/patient00001/study1/view1_frontal").with_suffix(end).unlink()
    assert [image.view for image in study(root).images] == [View.LATERAL]
    source.studies()
    assert source.dropped["images that are no file"] == 1


def test_the_table_may_be_packed(tmp_path: Path) -> None:
    path = chexpert_plus(tmp_path) / TABLE
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert len(CheXpertPlus(tmp_path).studies()) == 12


def test_what_the_first_row_lacks_others_say_and_what_differs_is_counted(tmp_path: Path) -> None:
    rows = chexpert_plus_rows()
    rows[2]["section_findings"] = "nan"
    rows[7]["section_impression"] = "2. Other."
    rows[8]["frontal_lateral"] = ""
    source = CheXpertPlus(chexpert_plus(tmp_path, rows))
    studies = {one.study_id: one for one in source.studies()}
    assert studies["patient00001_study1"].findings == "Study 1 is clear."
    assert studies["patient00003_study1"].impression == "1. Normal 3."
    assert studies["patient00004_study1"].images[0].view is View.UNKNOWN
    assert source.dropped[UNLIKE] == 1


def test_labels_are_present_absent_or_left_out_where_uncertain(tmp_path: Path) -> None:
    root = chexpert_plus(tmp_path)
    chexbert(root, Edema=1.0, Pneumonia=-1.0, Fracture=0.0)
    labels = study(root).labels
    assert labels is not None
    assert labels["Edema"] == 1.0
    assert "Pneumonia" not in labels  # uncertain
    assert labels["Fracture"] == labels["Lung Opacity"] == 0.0  # denied, not mentioned
    assert len(labels) == 13


def test_labels_of_the_whole_report_come_first_those_of_findings_need_findings(
    tmp_path: Path,
) -> None:
    root = chexpert_plus(tmp_path)
    for kind, labels in (("findings", {"Edema": 1.0}), ("impression", {"Fracture": 1.0})):
        chexbert(root, kind, **labels)
    report = chexbert(root, "report", Pneumonia=1.0)

    def present(name: str = "patient00001_study1") -> list[str] | None:
        labels = study(root, name).labels
        return None if labels is None else [key for key, value in labels.items() if value]

    assert present() == ["Pneumonia"]
    report.unlink()
    assert present() == present("patient00002_study1") == ["Fracture"]
    report.with_name("impression_fixed.json").unlink()
    assert present() == ["Edema"]
    assert present("patient00002_study1") is None  # which has no findings


def test_labels_are_of_the_row_whose_findings_are_taken(tmp_path: Path) -> None:
    rows = chexpert_plus_rows()
    rows[2]["section_findings"] = ""
    root = chexpert_plus(tmp_path, rows)
    path = chexbert(root, "findings", Edema=1.0)
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("1.0", "0.0")
    path.write_text("\n".join(lines))
    labels = study(root).labels
    assert labels is not None
    assert labels["Edema"] == 1.0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("path_to_image", "path", "no column 'path_to_image'"),
        (
            "train/patient00001/",
            "../patient00001/",
            "row 4: path_to_image '../patient00001/study1/v",
        ),
        (
            "train/patient00001/",
            "/train/patient00001/",
            "row 4: path_to_image '/train/patient00001",
        ),
        (
            "view2_lateral.jpg",
            "view1_frontal.jpg",
            "row 3: image train/patient00000.* stands twice",
        ),
        (",patient00001,", ",,", "row 4: id '' must be letters"),
        ("train\r\n", "test\r\n", "row 2: split must be train or valid, got 'test'"),
    ],
)
def test_bad_table_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = chexpert_plus(tmp_path) / TABLE
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    with pytest.raises(DataError, match=words) as caught:
        CheXpertPlus(tmp_path).studies()
    assert path.name in str(caught.value)


@pytest.mark.parametrize("column", ["deid_patient_id", "split"])
def test_a_study_of_two_patients_or_splits_is_an_error(tmp_path: Path, column: str) -> None:
    rows = chexpert_plus_rows()
    rows[3][column] = rows[-1][column]
    with pytest.raises(
        DataError, match=r"row 5: .*differs from the first row of study patient00001_"
    ):
        CheXpertPlus(chexpert_plus(tmp_path, rows)).studies()


GOOD = {"path_to_image": "train/patient00001/study1/view1_frontal.jpg"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 25: not valid JSON .*download it again"),
        ("[" * 100_000, "line 25: not valid JSON"),
        ("[]", "line 25: no path_to_image"),
        (json.dumps({"path_to_image": ["x"]}), "line 25: no path_to_image"),
        (json.dumps(GOOD), "line 25: No Finding must be 1, 0, -1 or null, got 'nothing'"),
        (json.dumps({**GOOD, "No Finding": [1]}), r"line 25: No Finding must be .* got \[1\]"),
    ],
)
def test_a_bad_line_of_labels_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = chexbert(chexpert_plus(tmp_path))
    path.write_text(path.read_text() + line)
    with pytest.raises(DataError, match=words) as caught:
        CheXpertPlus(tmp_path).studies()
    assert str(path) in str(caught.value)


def test_labels_of_other_images_are_an_error(tmp_path: Path) -> None:
    path = chexbert(chexpert_plus(tmp_path))
    path.write_text(path.read_text().replace("train/patient0", "train/patient9"))
    path.write_text(path.read_text().replace("valid/patient0", "valid/patient9"))
    with pytest.raises(DataError, match="names no image of the table"):
        CheXpertPlus(tmp_path).studies()


def test_what_is_missing_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; set data\.root"):
        CheXpertPlus(tmp_path / "nowhere").studies()
    with pytest.raises(DataError, match=r"no df_chexpert_plus_.*download chexpert-plus"):
        CheXpertPlus(tmp_path).studies()
    with pytest.raises(
        DataError, match=r"no image of CheXpert Plus under it .*download chexpert-plus"
    ):
        CheXpertPlus(chexpert_plus(tmp_path, images="elsewhere")).studies()
