from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.pictures import write_png
from xray_report.data.incoming import Incoming, studies_of_folder, studies_of_table, tag_warnings
from xray_report.data.study import View, pair_views
from xray_report.errors import DataError, MissingExtraError


def shown(incoming: Incoming) -> dict[str, list[tuple[str, str]]]:
    """For each study the names of its files and their views, in their order."""
    return {
        study.study_id: [
            (one.pixels.path.name, one.view.value)  # type: ignore[attr-defined]
            for one in study.images
        ]
        for study in incoming.studies
    }


def write_dicom(path: Path, study: str = "", image: bool = True, **tags: object) -> Path:
    pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    if study:
        dataset.StudyInstanceUID = study
    for name, value in tags.items():
        setattr(dataset, name, value)
    if image:
        dataset.Rows = dataset.Columns = 16
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation = 0
        dataset.PixelData = np.arange(256, dtype=np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def test_a_pacs_export_is_grouped_by_study_with_views_from_tags(tmp_path: Path) -> None:
    export = tmp_path / "export"
    write_dicom(export / "A" / "B" / "I001", "1.2.3", Modality="DX", ViewPosition="LL")
    write_dicom(export / "A" / "C" / "I002", "1.2.3", Modality="DX", ViewPosition="AP")
    write_dicom(export / "D" / "I003", "1.2.4", Modality="CR", InstanceNumber=1)
    write_dicom(export / "E" / "I004", "1.2.4", Modality="CR", ViewPosition="PA", InstanceNumber=2)
    write_dicom(export / "I005", "1.2.4", Modality="CT")
    write_dicom(export / "I006", "1.2.4", Modality="CT")
    write_dicom(export / "DICOMDIR", image=False)
    (export / "README.TXT").write_text("a viewer")
    found = studies_of_folder(export)
    assert shown(found) == {
        "1.2.3": [("I001", "lateral"), ("I002", "frontal")],
        # PA is not trusted (data/dicom.py), and goes first all the same.
        "1.2.4": [("I004", "unknown"), ("I003", "unknown")],
    }
    assert found.notes == [
        "left out: 1 DICOM files without an image (directories, reports)",
        "left out: 2 DICOM images of modality CT, no films",
        "left out: 1 files that are no image",
    ]


def test_a_dicom_file_without_a_study_is_one_by_itself_and_said(tmp_path: Path) -> None:
    write_dicom(tmp_path / "sub" / "a.dcm")
    write_dicom(tmp_path / "b.dcm")
    found = studies_of_folder(tmp_path)
    assert list(shown(found)) == ["b.dcm", "sub/a.dcm"]
    assert found.notes[0].startswith("2 of the films do not say which others they belong to")


def test_dicom_without_pydicom_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_dicom(tmp_path / "a.dcm", "1.2.3")
    monkeypatch.setattr("xray_report.data.incoming.film_tags", lambda path: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=rf"{path}.*xray-report\[dicom\]"):
        studies_of_folder(tmp_path)


def test_names_that_end_in_a_view_are_one_study(tmp_path: Path) -> None:
    for name in ("a_frontal.png", "a_lateral.png", "b-PA.png", "c/pa.png", "c/lat.png", "d.png"):
        write_png(tmp_path / "films" / name)
    found = studies_of_folder(tmp_path / "films")
    assert shown(found) == {
        "a": [("a_frontal.png", "frontal"), ("a_lateral.png", "lateral")],
        "b": [("b-PA.png", "frontal")],
        "c": [("lat.png", "lateral"), ("pa.png", "frontal")],
        "d.png": [("d.png", "unknown")],
    }
    assert len(found.notes) == 1
    assert found.notes[0].startswith("1 of the films do not say")


def test_one_study_in_the_folder_itself_is_called_as_the_folder(tmp_path: Path) -> None:
    write_png(tmp_path / "films" / "frontal.png")
    assert list(shown(studies_of_folder(tmp_path / "films"))) == ["films"]


def test_images_of_iu_xray_are_grouped_and_viewed_as_its_source_does(tmp_path: Path) -> None:
    for name in ("1_IM-0001-3001.dcm.png", "1_IM-0001-4001.dcm.png", "CXR2_IM-0652/0.png"):
        write_png(tmp_path / name)
    write_png(tmp_path / "CXR2_IM-0652" / "1.png")
    (tmp_path / "indiana_projections.csv").write_text(
        "uid,filename,projection\n"
        "1,1_IM-0001-3001.dcm.png,Lateral\n1,1_IM-0001-4001.dcm.png,Frontal\n"
    )
    found = studies_of_folder(tmp_path)
    assert shown(found) == {
        "CXR1": [("1_IM-0001-3001.dcm.png", "lateral"), ("1_IM-0001-4001.dcm.png", "frontal")],
        "CXR2": [("0.png", "unknown"), ("1.png", "unknown")],
    }
    assert found.studies[0].images[0].view_from == "projections"
    pair = pair_views(found.studies[0])
    assert pair.frontal is found.studies[0].images[1]


def test_a_broken_film_is_still_a_film(tmp_path: Path) -> None:
    (tmp_path / "a_frontal.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no film")
    assert shown(studies_of_folder(tmp_path)) == {"a": [("a_frontal.png", "frontal")]}


def test_folders_without_a_film_are_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no film")
    with pytest.raises(DataError, match="no PNG, JPEG or DICOM film under it"):
        studies_of_folder(tmp_path)
    with pytest.raises(DataError, match="no such folder; give --folder"):
        studies_of_folder(tmp_path / "none")


def test_a_table_names_the_views_relative_to_itself(tmp_path: Path) -> None:
    table = tmp_path / "films.csv"
    table.write_text("study_id;frontal;lateral\ns1;x/f.png;x/l.png\ns2;;l2.png\ns3;;\n")
    found = studies_of_table(table).studies
    assert [study.study_id for study in found] == ["s1", "s2", "s3"]
    assert [one.pixels.path for one in found[0].images] == [  # type: ignore[attr-defined]
        tmp_path / "x" / "f.png", tmp_path / "x" / "l.png",
    ]  # fmt: skip
    assert [one.view for one in found[1].images] == [View.LATERAL]
    assert found[2].images == ()
    moved = studies_of_table(table, tmp_path / "images").studies[1].images[0].pixels
    assert moved.path == tmp_path / "images" / "l2.png"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study_id,image\ns1,a.png\n", "no column frontal and no column lateral"),
        ("id,frontal\ns1,a.png\n", "no column 'study_id'"),
        ("study_id,frontal\ns1,a.png\ns1,b.png\n", "study s1 stands twice"),
        ("study_id,frontal\ns1,../a.png\n", r"row 2: image path '\.\./a\.png' must lie under"),
        ("study_id,frontal\n../s1,a.png\n", "row 2: id"),
    ],
)
def test_bad_tables_are_named(tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "films.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=words):
        studies_of_table(table)


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_rexranks_json_names_images_and_views(tmp_path: Path) -> None:
    entries = {
        "50051329": {
            "image_path": ["/p10/a.jpg", "/p10/b.jpg"],
            "frontal_lateral": ["left lateral", "antero-posterior"],
            "section_impression": float("nan"),
        },
        "CXR38_IM-1911": {"image_path": ["CXR38_IM-1911/0.png"], "frontal_lateral": ["Frontal"]},
        "third": {"image_path": ["c.png", "d.png"]},
    }
    path = write_json(tmp_path / "ReXRank_test.json", entries)
    found = studies_of_table(path, tmp_path / "files")
    assert shown(found) == {
        "50051329": [("a.jpg", "lateral"), ("b.jpg", "frontal")],
        "CXR38_IM-1911": [("0.png", "frontal")],
        "third": [("c.png", "unknown"), ("d.png", "unknown")],
    }
    first = found.studies[0].images[0].pixels
    assert first.path == tmp_path / "files" / "p10" / "a.jpg"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "no studies by id"),
        ({"s": {"report": "clear"}}, "study s: image_path must be a list"),
        ({"s": {"image_path": ["a.png"], "frontal_lateral": []}}, None),
        ({"s": {"image_path": ["a.png"], "frontal_lateral": ["x", "y"]}}, "frontal_lateral must"),
        ({"s": {"image_path": ["../a.png"]}}, "must lie under"),
    ],
)
def test_bad_rexrank_files_are_named(tmp_path: Path, content: Any, words: str | None) -> None:
    path = write_json(tmp_path / "t.json", content)
    if words is None:
        assert shown(studies_of_table(path)) == {"s": [("a.png", "unknown")]}
        return
    with pytest.raises(DataError, match=words):
        studies_of_table(path)


@pytest.mark.parametrize(
    ("tags", "view", "kinds"),
    [
        ({"Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "AP"}, "frontal", []),
        ({"Modality": "DX", "BodyPartExamined": "CHEST", "ViewPosition": "AP"}, "lateral",
         ["tagged_view"]),
        ({"Modality": "CR", "ViewPosition": "LL"}, "frontal", ["tagged_view"]),
        ({"Modality": "CR", "ViewPosition": "LL"}, "lateral", []),
        ({"ViewPosition": "PA"}, "lateral", []),  # of IU X-ray a third of these are lateral
        ({"BodyPartExamined": "THORAX"}, "frontal", []),
        ({"BodyPartExamined": "KNEE"}, "frontal", ["body_part"]),
        ({"Modality": "MR", "BodyPartExamined": "BRAIN"}, "lateral", ["modality", "body_part"]),
        ({}, "frontal", []),
    ],
)  # fmt: skip
def test_tags_speak_against_a_film(
    tmp_path: Path, tags: dict[str, str], view: str, kinds: list[str]
) -> None:
    path = write_dicom(tmp_path / "a.dcm", **tags)
    found = tag_warnings(path, View(view), "a.dcm")
    assert list(found) == kinds
    assert all(text.startswith("a.dcm is ") for text in found.values())


def test_other_files_have_no_tags_to_speak(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    assert tag_warnings(tmp_path / "a.png", View.FRONTAL, "a.png") == {}
    assert tag_warnings(tmp_path / "gone.dcm", View.FRONTAL, "gone.dcm") == {}
