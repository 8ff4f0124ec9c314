from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.data.pictures import gray, write_png
from tests.data.sources.iu_xray.layouts import write_csv
from xray_report.data.sources.nih_chestxray14 import NIHChestXray14
from xray_report.data.study import View
from xray_report.errors import DataError, OptionError
from xray_report.nih_classes import NIH_CLASSES

FINDINGS = ("No Finding", "Cardiomegaly|Effusion", "Hernia")


def rows(patients: int = 12) -> list[dict[str, str]]:
    return [
        {
            "Image Index": f"{patient:08d}_{visit:03d}.png",
            "Finding Labels": FINDINGS[patient % 3],
            "Patient ID": str(patient),
            "View Position": "PA",
        }
        for patient in range(1, patients + 1)
        for visit in range(2)
    ]


def layout(root: Path, table: list[dict[str, str]]) -> Path:
    write_csv(root / "Data_Entry_2017_v2020.csv", table)
    for seed, row in enumerate(table):
        folder = root / f"images_{1 + seed % 2:03d}" / "images"
        write_png(folder / Path(row["Image Index"]).name, seed)
    return root


def test_images_of_many_folders_with_their_labels(tmp_path: Path) -> None:
    source = NIHChestXray14(layout(tmp_path, rows()))
    studies = source.studies()
    assert source.label_names == NIH_CLASSES
    assert len(studies) == 24
    study = studies[2]
    assert (study.study_id, study.patient_id) == ("00000002_000", "2")
    assert study.labels == {
        "No Finding": 0.0,
        **{name: float(name == "Hernia") for name in NIH_CLASSES},
    }
    assert study.images[0].view is View.FRONTAL
    np.testing.assert_array_equal(study.images[0].pixels.load(), gray(2))


def test_patients_stay_on_one_side(tmp_path: Path) -> None:
    sides: dict[str | None, set[str | None]] = {}
    for study in NIHChestXray14(layout(tmp_path, rows())).studies():
        sides.setdefault(study.patient_id, set()).add(study.split)
    assert all(len(found) == 1 for found in sides.values())
    assert set.union(*sides.values()) == {"train", "val", "test"}


def test_random_splits_are_balanced_by_normality(tmp_path: Path) -> None:
    studies = NIHChestXray14(layout(tmp_path, rows(60)), val_share=0.2, test_share=0.2).studies()
    for split in ("train", "val", "test"):
        labels = [study.labels or {} for study in studies if study.split == split]
        share = sum(known["No Finding"] for known in labels) / len(labels)
        assert share == pytest.approx(1 / 3, abs=0.05)


def test_official_split_draws_val_by_patient_from_train_val(tmp_path: Path) -> None:
    root = layout(tmp_path, rows())
    names = [row["Image Index"] for row in rows()]
    (root / "train_val_list.txt").write_text("\n".join(names[:16]))
    (root / "test_list.txt").write_text("\n".join(names[16:22]))
    source = NIHChestXray14(root, split="official", val_share=0.25)
    splits = [study.split for study in source.studies()]
    assert splits[16:] == ["test"] * 6
    assert splits[:16].count("val") == 4
    assert splits[0:16:2] == splits[1:16:2]
    assert source.dropped == {"no image found": 0, "in neither list": 2}


def test_rows_without_image_are_counted(tmp_path: Path) -> None:
    root = layout(tmp_path, rows())
    next(root.rglob("00000003_001.png")).unlink()
    source = NIHChestXray14(root)
    assert len(source.studies()) == 23
    assert source.dropped == {"no image found": 1}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("Image Index", "../x.png", "row 3: id '../x.png' must be letters"),
        ("Image Index", "00000001_000.png", "row 3: 00000001_000 stands twice"),
        ("Finding Labels", "Gout", "row 3: unknown finding 'Gout'"),
        ("Patient ID", "", "row 3: id '' must be letters"),
    ],
)
def test_bad_row_is_named(tmp_path: Path, column: str, value: str, words: str) -> None:
    table = rows(2)
    table[1][column] = value
    with pytest.raises(DataError) as caught:
        NIHChestXray14(layout(tmp_path / "a" / "b", table)).studies()
    assert words in str(caught.value)


def test_what_is_missing_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="xray-report download nih-chestxray14"):
        NIHChestXray14(tmp_path).studies()
    write_csv(tmp_path / "Data_Entry_2017.csv", rows(1))
    with pytest.raises(DataError, match=r"unpack images_\*\.tar\.gz there"):
        NIHChestXray14(tmp_path).studies()
    with pytest.raises(DataError, match=r"needs train_val_list\.txt"):
        NIHChestXray14(layout(tmp_path, rows()), split="official").studies()
    (tmp_path / "test_list.txt").write_text("00000001_000.png")
    with pytest.raises(DataError, match=r"needs train_val_list\.txt and test_list\.txt"):
        NIHChestXray14(tmp_path, split="official").studies()
    with pytest.raises(OptionError, match=r"data\.split must be one of study, official"):
        NIHChestXray14(tmp_path, split="r2gen")
