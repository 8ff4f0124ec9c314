"""R2Gen's annotation.json of MIMIC-CXR: one entry an image, the report repeated."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from xray_report.data.folders import is_file
from xray_report.data.ids import check_id, inside
from xray_report.data.images import FilePixels
from xray_report.data.r2gen import Annotation, read_annotation
from xray_report.data.study import Split, Study, StudyImage
from xray_report.data.target import text_or_none
from xray_report.errors import DataError


def read_annotated(path: Path, folders: Iterable[Path]) -> tuple[list[Study], dict[str, Split]]:
    """Studies (images that lie under one of `folders`, views unknown) and their splits.

    Raises `DataError` if a study's entries disagree about its report or its split.
    """
    folders = list(folders)
    entries: dict[str, list[Annotation]] = {}
    for entry in read_annotation(path):
        name = check_id(entry.study_id or entry.entry_id, f"{path}, id {entry.entry_id[:80]}")
        entries.setdefault(name, []).append(entry)
    studies = [_study(name, group, folders, path) for name, group in entries.items()]
    return studies, {name: group[0].split for name, group in entries.items()}


def _study(name: str, group: list[Annotation], folders: list[Path], path: Path) -> Study:
    if len({(entry.report, entry.split) for entry in group}) > 1:
        raise DataError(
            f"{path}: entries of study {name} have different reports or splits; correct them"
        )
    relative = dict.fromkeys(image for entry in group for image in entry.image_paths)
    files = (_find(image, folders, f"{path}, study {name}") for image in relative)
    return Study(
        study_id=name,
        patient_id=group[0].subject_id,
        images=tuple(StudyImage(FilePixels(file)) for file in files if file),
        findings=text_or_none(group[0].report),
    )


def _find(image: str, folders: list[Path], where: str) -> Path | None:
    paths = (inside(folder, image, where) for folder in folders)
    return next((path for path in paths if is_file(path)), None)
