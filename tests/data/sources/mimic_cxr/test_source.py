from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.data.pictures import write_png
from tests.data.sources.iu_xray.layouts import write_csv
from xray_report.data.sources.mimic_cxr import MimicCXR
from xray_report.data.study import View
from xray_report.errors import DataError
from xray_report.text.facts import CHEXPERT_CLASSES

SPLITS = ("train", "train", "validate", "test")
REPORT = "FINDINGS: Study {}.\n\nIMPRESSION:\n Done."


def metadata() -> list[dict[str, str]]:
    return [
        {
            "dicom_id": f"{n:08x}-{view}",
            "subject_id": str(10000000 + n),
            "study_id": str(50000000 + n),
            "ViewPosition": position,
        }
        for n in range(4)
        for view, position in enumerate(("PA", "LATERAL", ""))
    ]


def folder_of(row: dict[str, str]) -> str:
    return f"p10/p{row['subject_id']}/s{row['study_id']}"


def layout(root: Path) -> Path:
    rows = metadata()
    write_csv(root / "mimic-cxr-2.0.0-metadata.csv", rows)
    splits = [{"study_id": str(50000000 + n), "split": split} for n, split in enumerate(SPLITS)]
    write_csv(root / "mimic-cxr-2.0.0-split.csv", splits)
    blank = dict.fromkeys(CHEXPERT_CLASSES, "")
    labels = {"study_id": "50000000"} | blank | {"Edema": "1.0", "Pneumonia": "-1.0"}
    write_csv(root / "mimic-cxr-2.0.0-chexpert.csv", [labels])
    for seed, row in enumerate(rows):
        write_png(root / "files" / folder_of(row) / f"{row['dicom_id']}.jpg", seed)
        report = root / "files" / f"{folder_of(row)}.txt"
        report.write_text(REPORT.format(row["study_id"]))
    return root


def test_tables_images_and_reports(tmp_path: Path) -> None:
    studies = MimicCXR(layout(tmp_path)).studies()
    assert [study.split for study in studies] == ["train", "train", "val", "test"]
    first = studies[0]
    assert (first.study_id, first.patient_id) == ("50000000", "10000000")
    assert (first.findings, first.impression) == ("Study 50000000.", "Done.")
    assert [(image.view, image.view_from) for image in first.images] == [
        (View.FRONTAL, "dicom"),
        (View.LATERAL, "dicom"),
        (View.UNKNOWN, "none"),
    ]
    assert first.labels is not None
    assert first.labels["Edema"] == 1.0
    assert "Pneumonia" not in first.labels  # uncertain
    assert first.labels["Fracture"] == 0.0
    assert studies[1].labels is None


def test_gzipped_tables_reports_elsewhere_and_missing_images(tmp_path: Path) -> None:
    root = layout(tmp_path)
    for table in root.glob("*.csv"):
        table.with_name(table.name + ".gz").write_bytes(gzip.compress(table.read_bytes()))
        table.unlink()
    for path in (root / "files" / folder_of(metadata()[0])).iterdir():
        path.unlink()
    source = MimicCXR(root, reports=tmp_path / "elsewhere")
    studies = source.studies()
    assert source.dropped == {"no image found": 1, "in no split": 0}
    assert [study.findings for study in studies] == [None] * 3


def test_r2gen_annotation_groups_images_by_study(tmp_path: Path) -> None:
    layout(tmp_path)
    entries: dict[str, list[object]] = {"train": [], "val": [], "test": []}
    for row in metadata():
        n = int(row["study_id"]) - 50000000
        split = ("train", "train", "val", "test")[n]
        entries[split].append(
            {
                "id": row["dicom_id"],
                "study_id": int(row["study_id"]),
                "subject_id": int(row["subject_id"]),
                "report": f"Report {n}.",
                "image_path": [f"{folder_of(row)}/{row['dicom_id']}.jpg"],
                "split": split,
            }
        )
    annotation = tmp_path / "annotation.json"
    annotation.write_text(json.dumps(entries))
    studies = MimicCXR(tmp_path, annotation=annotation, split="r2gen").studies()
    assert [(s.findings, s.split, len(s.images)) for s in studies] == [
        ("Report 0.", "train", 3),
        ("Report 1.", "train", 3),
        ("Report 2.", "val", 3),
        ("Report 3.", "test", 3),
    ]
    assert studies[0].patient_id == "10000000"
    annotation.write_text(json.dumps(entries).replace("p10/p10000002", "../p10/p10000002"))
    with pytest.raises(DataError, match="must lie under the image folder"):
        MimicCXR(tmp_path, annotation=annotation, split="r2gen").studies()


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("metadata", "ViewPosition", "View", "no column 'ViewPosition'"),
        ("metadata", "50000001", "../50000001", "are not ids of MIMIC-CXR"),
        ("metadata", "00000001-1", "00000001-0", "image 00000001-0 stands twice"),
        ("split", "validate", "dev", "split must be train, validate or test"),
        ("chexpert", "1.0", "yes", "could not convert"),
    ],
)
def test_bad_table_is_named(tmp_path: Path, table: str, old: str, new: str, words: str) -> None:
    path = layout(tmp_path) / f"mimic-cxr-2.0.0-{table}.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=words) as caught:
        MimicCXR(tmp_path).studies()
    assert path.name in str(caught.value)


def test_what_is_missing_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        MimicCXR(tmp_path / "nowhere").studies()
    with pytest.raises(DataError, match="xray-report download mimic-cxr"):
        MimicCXR(tmp_path).studies()
    with pytest.raises(DataError, match=r"give data\.annotation=FILE"):
        MimicCXR(tmp_path, split="r2gen").studies()
