from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.data.sources.layouts import mimic, mimic_folder, mimic_metadata
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.data.sources.mimic_cxr import MimicCXR, split_report
from xray_report.data.study import View
from xray_report.errors import DataError, OptionError
from xray_report.models.encoders.protocol import Preprocessing


def test_tables_images_and_reports(tmp_path: Path) -> None:
    studies = MimicCXR(mimic(tmp_path)).studies()
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
    root = mimic(tmp_path)
    for table in root.glob("*.csv"):
        table.with_name(table.name + ".gz").write_bytes(gzip.compress(table.read_bytes()))
        table.unlink()
    for path in (root / "files" / mimic_folder(mimic_metadata()[0])).iterdir():
        path.unlink()
    for path in [*(root / "files").rglob("*.txt")]:
        there = tmp_path / "elsewhere" / path.relative_to(root / "files")
        there.parent.mkdir(parents=True)
        path.rename(there)
    source = MimicCXR(root, reports=tmp_path / "elsewhere")
    studies = source.studies()
    assert source.dropped == {"no image found": 1, "not in split official": 0}
    assert [study.findings for study in studies] == [
        "Study 50000001.",
        "Study 50000002.",
        "Study 50000003.",
    ]


def without_reports(root: Path) -> Path:
    for path in [*mimic(root).rglob("*.txt")]:
        path.unlink()
    return root


def test_that_no_report_file_is_found_is_said_and_data_reports_named(tmp_path: Path) -> None:
    root = without_reports(tmp_path)
    with pytest.raises(DataError, match=r"elsewhere.*set data\.reports to the folder"):
        MimicCXR(root, reports=tmp_path / "elsewhere").studies()
    source = MimicCXR(root)
    assert len(source.studies()) == 4  # images and labels are enough for model=chexnet
    with pytest.raises(DataError) as caught:
        ChestDataModule(
            source, LoaderOptions(), text=TextOptions(), preprocess=Preprocessing(size=64)
        ).setup()
    said = f"no report file found under {root / 'files'} (set data.reports)"
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    (root / "mimic-cxr-2.0.0-chexpert.csv").unlink()
    with pytest.raises(DataError, match=r"no report file found under .*set data\.reports"):
        MimicCXR(root).studies()


def test_r2gen_annotation_groups_images_by_study(tmp_path: Path) -> None:
    mimic(tmp_path)
    entries: dict[str, list[object]] = {"train": [], "val": [], "test": []}
    for row in mimic_metadata():
        n = int(row["study_id"]) - 50000000
        split = ("train", "train", "val", "test")[n]
        entries[split].append(
            {
                "id": row["dicom_id"],
                "study_id": int(row["study_id"]),
                "subject_id": int(row["subject_id"]),
                "report": f"Report {n}.",
                "image_path": [f"{mimic_folder(row)}/{row['dicom_id']}.jpg"],
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
    path = mimic(tmp_path) / f"mimic-cxr-2.0.0-{table}.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=words) as caught:
        MimicCXR(tmp_path).studies()
    assert path.name in str(caught.value)


def test_what_is_missing_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        MimicCXR(tmp_path / "nowhere").studies()
    with pytest.raises(DataError, match="xray-report download mimic-cxr"):
        MimicCXR(tmp_path).studies()


def test_r2gen_split_and_annotation_go_together(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"give data\.annotation=FILE"):
        MimicCXR(tmp_path, split="r2gen")
    with pytest.raises(OptionError, match=r"choose data\.split=r2gen"):
        MimicCXR(tmp_path, annotation="annotation.json", split="official")


FULL = """
                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation, pleural effusion or
 pneumothorax.  Note: bilateral nodular opacities.

 IMPRESSION:

 No acute cardiopulmonary process.
"""


def test_findings_and_impression_with_single_spaces() -> None:
    found = split_report(FULL)
    assert found.findings == (
        "There is no focal consolidation, pleural effusion or pneumothorax. "
        "Note: bilateral nodular opacities."
    )
    assert found.impression == "No acute cardiopulmonary process."


VIEW_HEADINGS = [
    " CHEST, PA AND LATERAL:  Clear.\n \n IMPRESSION:  Normal.\n",
    " PORTABLE AP CHEST:  Clear.\n \n IMPRESSION:  Normal.\n",
    " FRONTAL AND LATERAL VIEWS OF THE CHEST:  Clear.\n \n IMPRESSION:  Normal.\n",
    " TWO VIEWS:\n Clear.\n \n CONCLUSION:  Normal.\n",
    " CHEST, PA LATERAL:\n \n HISTORY:  A.\n \n FINDINGS:  Clear.\n \n IMPRESSION:  Normal.\n",
    " FINDINGS:  Compared with then.\n \n ONE VIEW:  Clear.\n \n IMPRESSION:  Normal.\n",
]
SUB_HEADINGS = [
    " FINDINGS:  Clear.\n LUNGS:  No effusion.\n \n IMPRESSION:  Normal.\n",
    " FINDINGS:  Clear.\n LINES AND TUBES:  None.\n HEART:  Big.\n \n IMPRESSION:  Normal.\n",
    " FINDINGS:\n Clear.\n \n LUNGS:  No effusion.\n \n IMPRESSION:  Normal.\n",
]
KEPT_SUB_HEADINGS = [
    " FINDINGS:  LUNGS: Clear.\n IMPRESSION:  Normal.\n",
    " FINDINGS:\n LUNGS: Clear.\n IMPRESSION:  Normal.\n",
    " FINDINGS:  LUNGS:\n  Clear.\n IMPRESSION:  Normal.\n",
]
LOST_SUB_HEADINGS = [" FINDINGS:\n \n LUNGS:  Clear.\n HEART:  Normal.\n \n IMPRESSION:  Normal.\n"]
NO_HEADINGS = [
    " Two views show\n the chest.\n \n Clear.\n \n No edema.\n",
    " INDICATION:  Cough.\n \n Clear.\n \n No edema.\n",
    " EXAMINATION:  CHEST.\n \n INDICATION:  Cough.\n \n Clear. No edema.\n",
]
HEAD = "                                 FINAL REPORT\n"


@pytest.mark.parametrize(
    ("texts", "findings", "impression"),
    [
        (VIEW_HEADINGS, "Clear.", "Normal."),
        (SUB_HEADINGS, "Clear.", "Normal."),
        (KEPT_SUB_HEADINGS, "LUNGS: Clear.", "Normal."),
        (LOST_SUB_HEADINGS, None, "Normal."),
        ([NO_HEADINGS[1], NO_HEADINGS[2]], "Clear. No edema.", None),
    ],
    ids=["views", "sub-headings", "kept sub-headings", "lost sub-headings", "no headings"],
)
def test_sections_are_those_of_the_published_parser(
    texts: list[str], findings: str | None, impression: str | None
) -> None:
    """What MIT-LCP/mimic-cxr's section_parser.py says of the same texts, written down."""
    found = [split_report(HEAD + text) for text in texts]
    assert found == [(findings, impression)] * len(texts)


def test_counts_of_a_set_with_each_kind_of_report() -> None:
    kinds = (VIEW_HEADINGS, SUB_HEADINGS, KEPT_SUB_HEADINGS, LOST_SUB_HEADINGS, NO_HEADINGS)
    found = [[split_report(HEAD + text) for text in texts] for texts in kinds]
    assert [sum(one.findings is not None for one in kind) for kind in found] == [6, 3, 3, 0, 3]
    assert [sum(one.impression is not None for one in kind) for kind in found] == [6, 3, 3, 1, 0]


@pytest.mark.parametrize(
    ("text", "findings", "impression"),
    [
        ("FINDINGS AND IMPRESSION:  Clear.", None, "Clear."),
        ("FINDINGS: Clear.\nCONCLUSION: Normal.", "Clear.", "Normal."),
        ("PA AND LATERAL CHEST FINDINGS: Clear.\nIMPRESSION:", "Clear.", None),
        ("INDICATION: Cough.\n No heading at all.", None, None),
        ("FINDINGS: A longer one.\nIMPRESSION: B.\nADDENDUM: C.\nFINDINGS: A.", "A.", "B."),
        ("Two views.\n\nClear.", "Clear.", None),
        ("WET READ: pending.\nIMPRESSION: Edema.", None, "Edema."),
        ("", None, None),
    ],
)
def test_headings_that_occur(text: str, findings: str | None, impression: str | None) -> None:
    assert split_report(text) == (findings, impression)
