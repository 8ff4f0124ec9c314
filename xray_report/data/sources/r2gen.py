"""R2Gen's annotation.json (Chen et al. 2020, EMNLP), for IU X-ray and for MIMIC-CXR.

`{"train": [{"id", "report", "image_path": [...], "split", ...}], "val": [...], "test": [...]}`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xray_report.data.study import SPLITS, Split
from xray_report.data.tables import read_json
from xray_report.errors import DataError


@dataclass(frozen=True)
class R2GenEntry:
    """One entry: its id, report text, image paths as written (never opened) and split.

    MIMIC-CXR's entries, one an image, also name the study and the patient (`subject_id`).
    """

    entry_id: str
    report: str
    image_paths: tuple[str, ...]
    split: Split
    study_id: str | None = None
    subject_id: str | None = None


def read_annotation(path: Path) -> list[R2GenEntry]:
    """All entries in file order. Raises `DataError`."""
    content = read_json(path, "download annotation.json again")
    if not isinstance(content, dict) or not any(split in content for split in SPLITS):
        raise DataError(f"{path}: no train, val or test list; give R2Gen's annotation.json")
    found: dict[str, R2GenEntry] = {}
    for split in SPLITS:
        values = content.get(split, [])
        if not isinstance(values, list):
            raise DataError(f"{path}: {split} is no list; give R2Gen's annotation.json")
        for number, value in enumerate(values):
            entry = _entry(value, split, f"{path}, {split} entry {number}")
            if entry.entry_id in found:
                raise DataError(
                    f"{path}: id {entry.entry_id[:80]!r} stands twice; remove one of them"
                )
            found[entry.entry_id] = entry
    return list(found.values())


def _entry(value: Any, split: Split, place: str) -> R2GenEntry:
    try:
        name, report, paths = value["id"], value["report"], value["image_path"]
    except (TypeError, KeyError) as error:
        raise DataError(f"{place}: lacks {error}; give R2Gen's annotation.json") from None
    if not isinstance(paths, list) or not all(isinstance(v, str) for v in (name, report, *paths)):
        raise DataError(
            f"{place}: id and report must be text, image_path a list of it; correct the entry"
        )
    study, subject = value.get("study_id"), value.get("subject_id")
    return R2GenEntry(
        name,
        report,
        tuple(paths),
        split,
        None if study is None else str(study),
        None if subject is None else str(subject),
    )
