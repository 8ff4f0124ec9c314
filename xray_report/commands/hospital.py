"""What hospitals' systems take in: FHIR diagnostic reports and DICOM structured reports.

Both are marked as machine-made and as preliminary. Of the patient they hold what the films' own
tags say, since a report that cannot be filed under a patient is none; nothing is made up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xray_report.commands.shared import write_json
from xray_report.errors import DataError, MissingExtraError, OptionError

if TYPE_CHECKING:
    from xray_report.data.study import Study

NOTICE = "Written by a machine and preliminary: not verified by a radiologist, not for clinical use"
SERIES_NUMBER = 999
"""Of the structured reports: a study's own series begin at 1."""

UTF_8 = "ISO_IR 192"
"""As DICOM calls it; it holds any name and any report."""


class HospitalOutputs:
    """Writes the documents of studies as they are read.

    Args:
        fhir: a .json file for one study, or else a folder with a file a study; None for none.
        dicom_sr: folder of a structured report a study; None for none.
        studies: those that will be read.

    Raises:
        MissingExtraError: structured reports without highdicom, or FHIR of DICOM without pydicom.
        OptionError: a file for several studies, or structured reports where no film is DICOM.
        DataError: films of several patients or examinations in one study.
    """

    def __init__(self, fhir: Path | None, dicom_sr: Path | None, studies: Sequence[Study]) -> None:
        self.fhir, self.dicom_sr = fhir, dicom_sr
        if _is_file(fhir) and len(studies) > 1:
            raise OptionError(
                f"--fhir {fhir} is a file for one study, and here are {len(studies)}: name a folder"
            )
        asked = fhir is not None or dicom_sr is not None
        self.identities = identities(studies) if asked else {}
        if dicom_sr is not None:
            _check_highdicom()
            if not self.identities:
                raise OptionError(
                    "--dicom-sr needs DICOM films, whose patient and UIDs it refers to, and none "
                    "of these is one: give DICOM, or use --fhir or --out"
                )
        self.names = file_names([study.study_id for study in studies])

    def write(self, record: Mapping[str, Any]) -> None:
        """Write the documents of one study, if it has a report.

        That no structured report can be written of it is said.

        Args:
            record: as `reading.SCHEMA` has it.
        """
        import typer

        study_id = record["study_id"]
        tags = self.identities.get(study_id, ())
        if record["report"] is None:
            return
        if self.fhir is not None:
            path = self.fhir if _is_file(self.fhir) else self.fhir / f"{self.names[study_id]}.json"
            write_json(path, diagnostic_report(record, tags))
        if self.dicom_sr is not None and tags:
            path = self.dicom_sr / f"{self.names[study_id]}.dcm"
            write_document(path, structured_report(record, tags))
        elif self.dicom_sr is not None:
            told = f"study {study_id} has no DICOM film with UIDs, and so no --dicom-sr"
            typer.echo(f"note: {told}", err=True)


def _is_file(fhir: Path | None) -> bool:
    """Whether `--fhir` names a file, and no folder."""
    return fhir is not None and fhir.suffix.lower() == ".json"


def identities(studies: Sequence[Study]) -> dict[str, list[Any]]:
    """Of each study with DICOM films, what they say of whose they are.

    Raises `DataError` for a study of several patients or examinations.
    """
    from xray_report.data.dicom import film_identity

    found = {}
    for study in studies:
        paths = [getattr(image.pixels, "path", None) for image in study.images]
        tags = [one for path in paths if path and (one := film_identity(path)) is not None]
        for keyword, what in (("StudyInstanceUID", "examinations"), ("PatientID", "patients")):
            if len({str(one.get(keyword) or "") for one in tags}) > 1:
                raise DataError(
                    f"study {study.study_id} has films of several {what} ({keyword} differs): no "
                    "report of theirs can be filed; read them one by one"
                )
        if tags:
            found[study.study_id] = tags
    return found


def file_names(study_ids: Sequence[str]) -> dict[str, str]:
    """A file's name, without suffix, for each study: its id where that can be one."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for study_id in study_ids:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", study_id).strip(".") or "study"
        name, number = plain, 2
        while name.lower() in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.lower())
        names[study_id] = name
    return names


def said_tag(tags: Sequence[Any], keyword: str) -> str:
    """What the films of a study say under a keyword; "" where they say nothing."""
    return next((text for one in tags if (text := str(one.get(keyword) or "").strip())), "")


# FHIR R4.

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_MACHINE_MADE = {
    "system": f"{_TERMINOLOGY}/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
"""Label of what a machine asserts, as HL7's guide `AI Transparency on FHIR` has it."""


def diagnostic_report(record: Mapping[str, Any], tags: Sequence[Any]) -> dict[str, Any]:
    """A study's DiagnosticReport (hl7.org/fhir/R4/diagnosticreport.html) as plain values.

    Status `preliminary`, security label AIAST; the conclusion is the report. Each finding that
    the labeller reads is an Observation in it, in words; who made it is their Device.

    Args:
        record: as `reading.SCHEMA` has it, with a report.
        tags: of the study's DICOM films, whose patient, study and date are referred to; empty
            where the films are none.
    """
    from datetime import datetime, timezone

    common: dict[str, Any] = {}
    if subject := _patient(tags):
        common["subject"] = subject
    if date := _date(said_tag(tags, "StudyDate")):
        common["effectiveDateTime"] = date
    findings = [
        {
            "resourceType": "Observation",
            "id": f"finding-{number}",
            "meta": {"security": [_MACHINE_MADE]},
            "status": "preliminary",
            "code": {"text": name},
            **common,
            "valueCodeableConcept": {"text": said},
            "device": {"reference": "#model"},
        }
        for number, (name, said) in enumerate(record["findings"].items(), 1)
    ]
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "meta": {"security": [_MACHINE_MADE]},
        "text": {"status": "generated", "div": _narrative(record)},
        "status": "preliminary",
        "category": [{"coding": [{"system": f"{_TERMINOLOGY}/v2-0074", "code": "RAD"}]}],
        "code": {
            "coding": [{"system": "http://loinc.org", "code": "18748-4"}],
            "text": "Chest X-ray report",
        },
        **common,
        "issued": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "conclusion": record["report"] or "(empty report)",
    }
    if uid := said_tag(tags, "StudyInstanceUID"):
        identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}
        report["imagingStudy"] = [{"type": "ImagingStudy", "identifier": identifier}]
    else:
        report["identifier"] = [{"value": record["study_id"]}]
    if findings:
        report["contained"] = [_device(record), *findings]
        report["result"] = [{"reference": f"#{one['id']}"} for one in findings]
    return report


def _patient(tags: Sequence[Any]) -> dict[str, Any]:
    """Reference to the patient of DICOM films: the id that they have, and the name."""
    subject: dict[str, Any] = {}
    if patient := said_tag(tags, "PatientID"):
        subject["identifier"] = {"value": patient}
    if name := said_tag(tags, "PatientName"):
        subject["display"] = name
    return {"type": "Patient", **subject} if subject else {}


def _date(tag: str) -> str:
    """FHIR's date of a DICOM date YYYYMMDD; "" of anything else."""
    from datetime import datetime

    try:
        return datetime.strptime(tag, "%Y%m%d").date().isoformat()
    except ValueError:
        return ""


def _device(record: Mapping[str, Any]) -> dict[str, Any]:
    names = [f"{Path(one['path']).name} (sha256 {one['sha256']})" for one in record["checkpoints"]]
    return {
        "resourceType": "Device",
        "id": "model",
        "deviceName": [{"name": ", ".join(["xray-report", *names]), "type": "other"}],
        "version": [{"value": record["version"]}],
    }


def _narrative(record: Mapping[str, Any]) -> str:
    """The report for people, with what must be known of it."""
    from html import escape

    warnings = "".join(f"<li>{escape(one['text'])}</li>" for one in record["warnings"])
    return (
        f'<div xmlns="http://www.w3.org/1999/xhtml"><p><b>{NOTICE}.</b></p>'
        f"<p>{escape(record['report'] or '(empty report)')}</p>"
        + (f"<ul>{warnings}</ul>" if warnings else "")
        + f"<p>xray-report {escape(record['version'])}</p></div>"
    )


# DICOM.


def _check_highdicom() -> None:
    try:
        import highdicom  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "--dicom-sr needs highdicom: pip install 'xray-report[hospital]'"
        ) from error


def structured_report(record: Mapping[str, Any], tags: Sequence[Any]) -> Any:
    """A study's Basic Text SR (PS3.3, A.35.1), a pydicom `Dataset`.

    Unverified, preliminary and partial, by an observer that is a device; a sentence is a finding,
    and the films of the study are referred to. It belongs to the same patient and study.

    Args:
        record: as `reading.SCHEMA` has it, with a report.
        tags: of the study's DICOM films, at least one.
    """
    from warnings import catch_warnings, simplefilter

    import highdicom
    from highdicom.sr import (
        CodedConcept,
        ContainerContentItem,
        ContentSequence,
        DeviceObserverIdentifyingAttributes,
        EnhancedSR,
        ImageContentItem,
        LanguageOfContentItemAndDescendants,
        ObserverContext,
        RelationshipTypeValues,
        TextContentItem,
    )
    from pydicom.sr.codedict import codes
    from pydicom.uid import BasicTextSRStorage, generate_uid

    contains = RelationshipTypeValues.CONTAINS
    root = ContainerContentItem(
        codes.LN.DiagnosticImagingReport, is_content_continuous=False, template_id="2000"
    )
    digests = [one["sha256"] for one in record["checkpoints"]]
    observer = DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=digests),  # the same model is the same observer
        name=f"xray-report {record['version']}",
        model_name=", ".join(Path(one["path"]).name for one in record["checkpoints"]),
        serial_number=", ".join(digests),
    )
    english = CodedConcept("en", "RFC5646", "English")
    items = [
        *LanguageOfContentItemAndDescendants(english),
        *ObserverContext(codes.DCM.Device, observer),
    ]
    told = [f"{NOTICE}.", *(one["text"] for one in record["warnings"])]
    items += [TextContentItem(codes.DCM.Comment, text, contains) for text in told]
    section = ContainerContentItem(codes.DCM.Findings, relationship_type=contains)
    sentences = [one["text"] for one in record["sentences"]] or ["(empty report)"]
    section.ContentSequence = ContentSequence(
        [TextContentItem(codes.DCM.Finding, text, contains) for text in sentences]
    )
    items.append(section)
    items += [
        ImageContentItem(
            codes.DCM.SourceImage, one.SOPClassUID, one.SOPInstanceUID, relationship_type=contains
        )
        for one in tags
    ]
    root.ContentSequence = ContentSequence(items)
    with catch_warnings():
        # Of names that it finds unlikely: they are the film's.
        simplefilter("ignore", UserWarning)
        document: Any = EnhancedSR(
            evidence=[_evidence(one) for one in tags],
            content=root,
            series_instance_uid=highdicom.UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="xray-report",
            is_complete=False,
            is_final=False,
            is_verified=False,
            series_description="Machine-made preliminary report",
        )
    # highdicom has no class of the Basic Text SR, whose IOD is the Enhanced SR's without numbers
    # and regions, which ours has none of.
    document.SOPClassUID = document.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    document.SpecificCharacterSet = UTF_8
    return document


def _evidence(tags: Any) -> Any:
    """The tags of a film in UTF-8; those that it lacks and a document may leave empty are empty."""
    from copy import deepcopy

    whole = deepcopy(tags)
    whole.decode()
    whole.SpecificCharacterSet = UTF_8
    for keyword in (
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"),
        *("StudyID", "StudyDate", "StudyTime"),
    ):
        if keyword not in whole:
            setattr(whole, keyword, None)
    return whole


def write_document(path: Path, document: Any) -> None:
    """Write a DICOM file."""
    from xray_report.files import replacing

    with replacing(path) as temporary:
        document.save_as(temporary, enforce_file_format=True)
