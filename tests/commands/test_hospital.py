from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.commands.console import failure, run
from tests.inference.checkpoints import save
from xray_report.commands.hospital import (
    NOTICE,
    diagnostic_report,
    file_names,
    structured_report,
    write_document,
)
from xray_report.data.dicom import film_identity

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
PATIENT = {"PatientID": "P 7", "PatientName": "Doe^Jane", "PatientComments": "not to be copied"}


def film(path: Path, study: str, series: str, **tags: object) -> Path:
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.Modality, dataset.StudyDate = "CR", "20260131"
    dataset.Rows, dataset.Columns = 40, 50
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    for name, value in (PATIENT | tags).items():
        setattr(dataset, name, value)
    pixels = np.random.default_rng(0).integers(0, 4000, (40, 50), dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hospital")
    save(folder / "model.ckpt")
    film(folder / "export" / "I1", "1.2.3", "1.2.3.1", ViewPosition="AP")
    film(folder / "export" / "I2", "1.2.3", "1.2.3.2", ViewPosition="LL")
    film(folder / "export" / "I3", "1.2.4", "1.2.4.1")
    grey = np.full((40, 50), 90, np.uint8)
    Image.fromarray(grey).save(folder / "frontal.png")
    return folder


def predict(folder: Path, *arguments: object) -> Any:
    return run("predict", "--checkpoint", folder / "model.ckpt", *arguments)


def of_folder(folder: Path, *arguments: object) -> Any:
    result = predict(folder, "--folder", folder / "export", *arguments)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def written(folder: Path) -> Path:
    """Where both kinds of documents of the export lie, and reports.jsonl."""
    asked: list[object] = ["--fhir", folder / "fhir", "--out", folder / "reports.jsonl"]
    if find_spec("highdicom"):
        asked += ["--dicom-sr", folder / "sr"]
    of_folder(folder, *asked)
    return folder


def records_of(folder: Path) -> dict[str, Any]:
    lines = (folder / "reports.jsonl").read_text().splitlines()
    return {one["study_id"]: one for one in map(json.loads, lines)}


# FHIR.


def checked(path: Path) -> dict[str, Any]:
    """A DiagnosticReport that the official model of R4B takes, as plain values."""
    reports = pytest.importorskip(
        "fhir.resources.R4B.diagnosticreport", reason="needs fhir.resources"
    )
    reports.DiagnosticReport.model_validate_json(path.read_text(encoding="utf-8"))
    plain: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return plain


def test_a_fhir_report_of_dicom_films(written: Path) -> None:
    records = records_of(written)
    files = {path.stem: path for path in (written / "fhir").iterdir()}
    assert files.keys() == records.keys() == {"1.2.3", "1.2.4"}
    for name, record in records.items():
        plain = checked(files[name])
        assert plain["status"] == "preliminary"
        assert plain["meta"]["security"][0]["code"] == "AIAST"
        assert NOTICE in plain["text"]["div"]
        assert "drawn (phantom)" in plain["text"]["div"]
        assert plain["conclusion"] == record["report"]
        assert plain["subject"] == {
            "type": "Patient", "identifier": {"value": "P 7"}, "display": "Doe^Jane"
        }  # fmt: skip
        assert plain["effectiveDateTime"] == "2026-01-31"
        assert plain["imagingStudy"][0]["identifier"]["value"] == f"urn:oid:{name}"
        assert "not to be copied" not in files[name].read_text()
        observed = [one for one in plain.get("contained", ()) if one["id"] != "model"]
        said = {one["code"]["text"]: one["valueCodeableConcept"]["text"] for one in observed}
        assert said == record["findings"]
        assert len(plain.get("result", ())) == len(said)


def test_a_fhir_report_of_a_png_names_no_patient(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.JSON"
    result = predict(folder, "--frontal", folder / "frontal.png", "--fhir", path)
    assert result.exit_code == 0, result.output
    plain = checked(path)
    assert plain.keys().isdisjoint({"subject", "effectiveDateTime", "imagingStudy"})
    assert plain["identifier"] == [{"value": "study"}]


def test_findings_are_observations_of_a_named_model(tmp_path: Path) -> None:
    record = {
        "study_id": "a", "report": "Heart <large> & no effusion.", "version": "1", "warnings": [],
        "findings": {"Cardiomegaly": "present", "Pleural Effusion": "absent"},
        "checkpoints": [{"path": "runs/best.ckpt", "sha256": "ab"}],
    }  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps(diagnostic_report(record, [])))
    model, heart, effusion = checked(path)["contained"]
    assert model["deviceName"][0]["name"] == "xray-report, best.ckpt (sha256 ab)"
    assert heart["status"] == effusion["status"] == "preliminary"
    assert effusion["code"]["text"] == "Pleural Effusion"
    assert effusion["valueCodeableConcept"]["text"] == "absent"
    assert "&lt;large&gt; &amp;" in checked(path)["text"]["div"]


def test_a_file_for_several_studies_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    told = failure("predict", "--folder", folder / "export", "--fhir", path)
    assert "for one study, and here are 2" in told
    assert not list(tmp_path.iterdir())


def test_files_are_named_by_studies_and_never_overwrite_each_other() -> None:
    names = file_names(["1.2.3", "a/b", "a_b", "A b", "..", "/"])
    assert names["1.2.3"] == "1.2.3"
    assert len({name.lower() for name in names.values()}) == 6
    assert all("/" not in name and not name.startswith(".") for name in names.values())


# DICOM.


def test_a_structured_report_refers_to_its_films(written: Path) -> None:
    pytest.importorskip("highdicom", reason="needs the extra hospital")
    records = records_of(written)
    read = map(pydicom.dcmread, (written / "sr").iterdir())
    documents = {document.StudyInstanceUID: document for document in read}
    assert documents.keys() == records.keys()
    for name, document in documents.items():
        assert document.SOPClassUID == document.file_meta.MediaStorageSOPClassUID
        assert document.SOPClassUID.name == "Basic Text SR Storage"
        flags = (document.VerificationFlag, document.PreliminaryFlag, document.CompletionFlag)
        assert flags == ("UNVERIFIED", "PRELIMINARY", "PARTIAL")
        assert (document.PatientID, document.PatientName) == ("P 7", "Doe^Jane")
        assert document.PatientBirthDate in (None, "")
        assert "PatientComments" not in document
        found: dict[str, list[Any]] = {}
        gather(document, found)
        assert " ".join(found["Finding"]) == records[name]["report"]
        assert found["Comment"][0] == f"{NOTICE}."
        assert found["Observer Type"] == ["Device"]
        films = [pydicom.dcmread(path) for path in (written / "export").iterdir()]
        own = {one.SOPInstanceUID for one in films if one.StudyInstanceUID == name}
        assert set(found["Source image"]) == own
        evidence = document.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        assert {
            one.ReferencedSOPInstanceUID for row in evidence for one in row.ReferencedSOPSequence
        } == own


def test_names_and_reports_of_any_script_are_kept(tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs the extra hospital")
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    path = film(
        tmp_path / "film.dcm", "1.2.3", "1.2.3.1",
        SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName=name,
    )  # fmt: skip
    record = {
        "study_id": "a", "report": "Größe.", "sentences": [{"text": "Größe."}], "version": "1",
        "warnings": [], "findings": {}, "checkpoints": [{"path": "a.ckpt", "sha256": "ab"}],
    }  # fmt: skip
    tags = [film_identity(path)]
    write_document(tmp_path / "report.dcm", structured_report(record, tags))
    document = pydicom.dcmread(tmp_path / "report.dcm")
    assert document.PatientName == name
    found: dict[str, list[Any]] = {}
    gather(document, found)
    assert found["Finding"] == ["Größe."]
    assert diagnostic_report(record, tags)["subject"]["display"] == name


def gather(item: Any, found: dict[str, list[Any]]) -> None:
    """Values of a document's content, by the names of their concepts."""
    for one in item.get("ContentSequence", ()):
        name = one.ConceptNameCodeSequence[0].CodeMeaning
        values = {
            "TEXT": lambda one=one: one.TextValue,
            "CODE": lambda one=one: one.ConceptCodeSequence[0].CodeMeaning,
            "UIDREF": lambda one=one: one.UID,
            "IMAGE": lambda one=one: one.ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
            "CONTAINER": lambda: None,
        }
        found.setdefault(name, []).append(values[one.ValueType]())
        gather(one, found)


def test_structured_reports_of_films_that_are_no_dicom_are_refused_in_one_line(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom", reason="needs the extra hospital")
    told = failure("predict", "--frontal", folder / "frontal.png", "--dicom-sr", tmp_path / "sr")
    assert "--dicom-sr needs DICOM films" in told
    table = tmp_path / "table.csv"
    table.write_text("study_id,frontal\na,export/I3\nb,frontal.png\n")
    result = predict(
        folder,
        "--table",
        table,
        "--root",
        folder,
        "--dicom-sr",
        tmp_path / "sr",
        "--fhir",
        tmp_path / "f",
    )
    assert result.exit_code == 0
    assert "note: study b has no DICOM film" in result.stderr
    assert [path.name for path in (tmp_path / "sr").iterdir()] == ["a.dcm"]
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["a.json", "b.json"]


def test_without_highdicom_the_extra_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    told = failure("predict", "--folder", folder / "export", "--dicom-sr", tmp_path / "sr")
    assert told == "--dicom-sr needs highdicom: pip install 'xray-report[hospital]'"


def test_films_of_two_patients_are_never_filed_as_one(folder: Path, tmp_path: Path) -> None:
    other = film(tmp_path / "other.dcm", "1.2.3", "1.2.3.9", PatientID="P 8")
    strange = film(tmp_path / "strange.dcm", "1.2.9", "1.2.9.1")
    frontal = ["--frontal", folder / "export" / "I1", "--fhir", tmp_path / "fhir"]
    assert "several patients" in failure("predict", *frontal, "--lateral", other)
    assert "several examinations" in failure("predict", *frontal, "--lateral", strange)
    assert not (tmp_path / "fhir").exists()
