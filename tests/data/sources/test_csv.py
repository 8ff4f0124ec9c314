from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.data.pictures import write_png
from tests.data.sources.layouts import write_csv
from xray_report.data.sources.csv import CSVSource
from xray_report.data.study import View
from xray_report.errors import DataError, OptionError

BY_IMAGE = {
    "study_id": "exam",
    "image": "file",
    "view": "projection",
    "patient_id": "person",
    "findings": "report",
    "split": "side",
}
BY_STUDY = {"study_id": "exam", "frontal": "front", "lateral": "side_view", "impression": "text"}


def image_rows() -> list[dict[str, str]]:
    return [
        {
            "exam": f"e{n}",
            "file": f"sub/e{n}_{view}.png",
            "projection": view,
            "person": f"p{n // 2}",
            "report": f"Report {n}.",
            "side": ("train", "train", "valid", "valid", "test", "test")[n],
            "Edema": str(n % 2),
            "Mass": "",
        }
        for n in range(6)
        for view in ("PA", "LL")
    ]


def write(root: Path, rows: list[dict[str, str]]) -> Path:
    cells = [row.get(name, "") for row in rows for name in ("file", "front", "side_view")]
    for seed, cell in enumerate(cells):
        if cell.startswith("sub/"):
            write_png(root / "images" / cell, seed)
    return write_csv(root / "table.csv", rows)


def source(table: Path, **options: Any) -> CSVSource:
    options = {"columns": BY_IMAGE, "labels": ["Edema", "Mass"], "split": "official"} | options
    return CSVSource(table, images=table.parent / "images", **options)


def test_one_row_an_image(tmp_path: Path) -> None:
    studies = source(write(tmp_path, image_rows())).studies()
    assert [study.split for study in studies] == ["train", "train", "val", "val", "test", "test"]
    study = studies[3]
    assert (study.study_id, study.patient_id, study.findings) == ("e3", "p1", "Report 3.")
    assert [image.view for image in study.images] == [View.FRONTAL, View.LATERAL]
    assert [image.labels for image in study.images] == [{"Edema": 1.0}] * 2
    assert study.images[0].pixels.load().shape == (24, 20)


def test_a_study_has_the_labels_of_all_its_images(tmp_path: Path) -> None:
    rows = image_rows()
    rows[0]["Edema"], rows[1]["Edema"] = "1", ""
    rows[2]["Edema"], rows[2]["Mass"], rows[3]["Edema"] = "0", "0", "1"
    one, two, *_ = source(write(tmp_path, rows)).studies()
    assert (one.labels, two.labels) == (
        {"Edema": 1.0},
        {"Edema": 1.0},
    )  # of Mass one image does not say
    # What is unknown of an image stays so, whatever the study's other image shows.
    assert [image.labels for image in one.images] == [{"Edema": 1.0}, {}]


def test_two_images_of_one_name_size_and_time_are_two(tmp_path: Path) -> None:
    rows = image_rows()[:2]
    for row, folder in zip(rows, ("a/1", "b/1"), strict=True):
        row["file"] = f"{folder}/001.png"
        os.utime(write_png(tmp_path / "images" / row["file"]), (1, 1))
    table = write_csv(tmp_path / "table.csv", rows)
    (one,) = source(table, split="all_train").studies()
    first, second = (image.pixels for image in one.images)
    assert first.identity == second.identity
    assert first != second


def test_one_row_a_study(tmp_path: Path) -> None:
    rows = [
        {"exam": f"{n}", "front": f"sub/{n}.png", "side_view": "", "text": "ok"} for n in range(3)
    ]
    rows[1]["side_view"] = "sub/one.png"
    rows[2]["front"] = "gone.png"
    data = source(write(tmp_path, rows), columns=BY_STUDY, labels=[], split="all_train")
    studies = data.studies()
    assert [study.study_id for study in studies] == ["0", "1"]
    assert [image.view.value for image in studies[1].images] == ["frontal", "lateral"]
    assert studies[0].impression == "ok"
    assert data.dropped == {"images that are no file": 1, "no image found": 1}


@pytest.mark.parametrize("cell", ["nan", "NaN", "None", "NULL", "n/a", " "])
def test_what_a_program_wrote_for_a_missing_report_is_none(tmp_path: Path, cell: str) -> None:
    rows = [row | {"report": cell} if row["exam"] == "e1" else row for row in image_rows()]
    studies = source(write(tmp_path, rows)).studies()
    assert [study.findings is None for study in studies] == [n == 1 for n in range(6)]


def test_random_split_keeps_patients_together(tmp_path: Path) -> None:
    studies = source(write(tmp_path, image_rows()), split="study", test_share=0.3).studies()
    sides: dict[str | None, set[str | None]] = {}
    for study in studies:
        sides.setdefault(study.patient_id, set()).add(study.split)
    assert all(len(found) == 1 for found in sides.values())


@pytest.mark.parametrize(
    ("row", "column", "value", "words"),
    [
        (1, "exam", "../e0", "row 3: id '../e0' must be letters"),
        (1, "exam", "", "row 3: id '' must be letters"),
        (1, "file", "../../etc/passwd", "row 3: image path '../../etc/passwd' must lie under"),
        (1, "file", "/etc/passwd", "must lie under the image folder"),
        (1, "file", "sub/e0_PA.png", "study e0 names an image twice"),
        (1, "projection", "oblique", "row 3: view 'oblique' is none of"),
        (1, "report", "Other.", "row 3: column 'report' differs"),
        (0, "side", "test", "row 3: column 'side' differs"),
        (0, "Edema", "maybe", "row 2: label 'maybe' must be 1, 0, -1 or empty"),
        (0, "person", "p2", "differs from the study's first row"),
    ],
)
def test_bad_row_is_named(tmp_path: Path, row: int, column: str, value: str, words: str) -> None:
    rows = image_rows()
    table = write(tmp_path, rows)
    rows[row][column] = value
    write_csv(table, rows)
    with pytest.raises(DataError) as caught:
        source(table).studies()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_split_is_named(tmp_path: Path) -> None:
    rows = [row | {"side": "holdout"} for row in image_rows()]
    with pytest.raises(DataError, match="row 2: split 'holdout' is none of train, val, test"):
        source(write(tmp_path, rows)).studies()


def test_patient_on_two_sides_of_the_published_split_is_an_error(tmp_path: Path) -> None:
    rows = [row | {"person": "p0"} for row in image_rows()]
    with pytest.raises(DataError, match="more than one split"):
        source(write(tmp_path, rows)).studies()


def test_duplicate_study_where_a_row_is_a_study(tmp_path: Path) -> None:
    rows = [{"exam": "1", "front": "sub/1.png", "side_view": "", "text": "ok"}] * 2
    with pytest.raises(DataError, match="row 3: study 1 stands twice"):
        source(write(tmp_path, rows), columns=BY_STUDY, labels=[], split="all_train").studies()


def test_missing_things_are_named(tmp_path: Path) -> None:
    table = write(tmp_path, image_rows())
    with pytest.raises(DataError, match="no column 'Goitre'; it has exam, file"):
        source(table, labels=["Goitre"]).studies()
    with pytest.raises(DataError, match=r"nowhere: no such folder; set data\.images"):
        CSVSource(table, columns=BY_IMAGE, images=tmp_path / "nowhere").studies()
    with pytest.raises(DataError, match="none of the images"):
        CSVSource(table, columns=BY_IMAGE).studies()
    with pytest.raises(DataError, match=r"missing\.csv: cannot be read"):
        source(tmp_path / "missing.csv").studies()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"study_id": "exam"}, "name either image"),
        ({"image": "a", "frontal": "b"}, "name either image"),
        ({"frontal": "b", "view": "c"}, "goes with data.columns.image"),
        ({"image": "a", "study_id": None}, "must name a column"),
        ({"picture": "a"}, "unexpected keyword argument 'picture'"),
        ({"image": "a"}, "needs data.columns.split"),
    ],
)
def test_bad_columns_are_refused_at_once(columns: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        CSVSource("table.csv", columns=columns, split="official")
