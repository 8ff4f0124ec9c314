"""The collection as found: its reports, images and views, before anything is left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from xray_report.data.iu_xray import kaggle, layout, nlm
from xray_report.data.iu_xray.extra import DICOM_TAGS, find_in_extra, reports_of_extra
from xray_report.data.iu_xray.ids import r2gen_study
from xray_report.data.iu_xray.layout import Layout
from xray_report.data.iu_xray.published import PublishedReport
from xray_report.data.iu_xray.views import read_dicom_tags
from xray_report.data.r2gen import Annotation, read_annotation
from xray_report.data.study import View
from xray_report.data.target import text_or_none
from xray_report.data.view_tags import view_of_file
from xray_report.errors import DataError


@dataclass(frozen=True)
class Collection:
    """Everything published that was found.

    Args:
        reports: by study number.
        reports_from: file or folder they were read from.
        images: study id -> image key -> file; empty where there is no image folder.
        projections: view by image key from indiana_projections.csv; `tags` from DICOM headers, read
            only where images need them.
        annotations: R2Gen's entries by study id; empty where there is no annotation.json.
        unrecognised: image files that belong to no study of the collection.
    """

    reports: list[PublishedReport]
    reports_from: Path
    images: dict[str, dict[str, Path]] = field(default_factory=dict)
    projections: dict[str, View] = field(default_factory=dict)
    tags: dict[str, View] = field(default_factory=dict)
    annotations: dict[str, Annotation] = field(default_factory=dict)
    unrecognised: list[Path] = field(default_factory=list)


def collect(root: Path | None, annotation: Path | None) -> Collection:
    """Read what lies under `root` (None: the extra's reports alone). Raises `DataError`."""
    found = layout.scan(root) if root else Layout()
    annotation = annotation or found.files.get(layout.ANNOTATION)
    annotations = _by_study(annotation) if annotation else {}
    projections_file = found.files.get(kaggle.PROJECTIONS)
    projections = kaggle.read_projections(projections_file) if projections_file else {}
    reports, where = _read_reports(found, projections, annotations, annotation)
    reports = sorted(reports, key=lambda report: int(report.study_id))
    images = found.images_by_study(reports) if found.has_images else {}
    untold = {
        k: path for keys in images.values() for k, path in keys.items() if k not in projections
    }
    return Collection(
        reports=reports,
        reports_from=where,
        images=images,
        projections=projections,
        tags=_read_tags(untold) if untold else {},
        annotations=annotations,
        unrecognised=found.unrecognised,
    )


def _read_reports(
    found: Layout,
    projections: dict[str, View],
    annotations: dict[str, Annotation],
    annotation: Path | None,
) -> tuple[list[PublishedReport], Path]:
    """The most complete form there is: XML, then Kaggle's table, then R2Gen's texts."""
    if found.xml_folder:
        return nlm.read_xml_folder(found.xml_folder), found.xml_folder
    if tgz := found.files.get(layout.TGZ):
        return nlm.read_tgz(tgz), tgz
    if table := found.files.get(kaggle.REPORTS):
        return kaggle.read_reports_csv(table, projections), table
    if annotation and find_in_extra(layout.TGZ) is None:
        return [_of_annotation(entry, study) for study, entry in annotations.items()], annotation
    path = reports_of_extra()
    return nlm.read_tgz(path), path


def _read_tags(images: dict[str, Path]) -> dict[str, View]:
    """Views that DICOM headers tell: those that the extra lists, and those of `images`."""
    listed = find_in_extra(DICOM_TAGS)
    own = {key: view for key, path in images.items() if (view := view_of_file(path))}
    return {**(read_dicom_tags(listed) if listed else {}), **own}


def _by_study(path: Path) -> dict[str, Annotation]:
    entries: dict[str, Annotation] = {}
    for entry in read_annotation(path):
        study_id = r2gen_study(entry.entry_id)
        if study_id is None or study_id in entries:
            raise DataError(
                f"{path}: id {entry.entry_id[:80]!r} is not one study of IU X-ray; "
                "give R2Gen's annotation.json of IU X-ray"
            )
        entries[study_id] = entry
    return entries


def _of_annotation(entry: Annotation, study_id: str) -> PublishedReport:
    return PublishedReport(study_id=study_id, findings=text_or_none(entry.report))
