"""R2Gen's annotation.json (Chen et al. 2020, EMNLP), for IU X-ray and for MIMIC-CXR.

`{"train": [{"id", "report", "image_path": [...], "split", ...}], "val": [...], "test": [...]}`
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xray_report.data.study import SPLITS, Split
from xray_report.data.tables import read_text
from xray_report.errors import DataError


@dataclass(frozen=True)
class Annotation:
    """One entry: its id, report text, image paths as written (never opened) and split."""

    entry_id: str
    report: str
    image_paths: tuple[str, ...]
    split: Split
    study_id: str | None = None
    subject_id: str | None = None


def read_annotation(path: Path) -> list[Annotation]:
    """All entries in file order. Raises `DataError`."""
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # also numbers of over 4300 digits
        raise DataError(
            f"{path}: not valid JSON ({error}); download annotation.json again"
        ) from None
    if not isinstance(content, dict) or not any(split in content for split in SPLITS):
        raise DataError(f"{path}: no train, val or test list; give R2Gen's annotation.json")
    found: dict[str, Annotation] = {}
    for split in SPLITS:
        entries = content.get(split, [])
        if not isinstance(entries, list):
            raise DataError(f"{path}: {split} is no list; give R2Gen's annotation.json")
        for number, entry in enumerate(entries):
            annotation = _entry(entry, split, f"{path}, {split} entry {number}")
            if annotation.entry_id in found:
                raise DataError(
                    f"{path}: id {annotation.entry_id[:80]!r} stands twice; remove one of them"
                )
            found[annotation.entry_id] = annotation
    return list(found.values())


def _entry(entry: Any, split: Split, where: str) -> Annotation:
    try:
        paths, values = entry["image_path"], (entry["id"], entry["report"])
    except (TypeError, KeyError) as error:
        raise DataError(f"{where}: lacks {error}; give R2Gen's annotation.json") from None
    if not isinstance(paths, list) or not all(
        isinstance(value, str) for value in (*values, *paths)
    ):
        raise DataError(
            f"{where}: id and report must be text, image_path a list of it; correct the entry"
        )
    study, subject = entry.get("study_id"), entry.get("subject_id")
    return Annotation(
        entry["id"],
        entry["report"],
        tuple(paths),
        split,
        None if study is None else str(study),
        None if subject is None else str(subject),
    )
