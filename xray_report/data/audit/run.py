"""The audit of one data set, as plain numbers ready for JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from xray_report.data.audit.images import audit_views, find_unreadable
from xray_report.data.audit.protocol import Audited, Published
from xray_report.data.audit.texts import audit_texts
from xray_report.data.study import SPLITS, Study


def audit(
    source: Audited,
    *,
    vectors: str = "bundled",
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Everything there is to know of `source` before training on it.

    Args:
        vectors: word vectors whose coverage is measured.
        workers, progress: of decoding all images, see `find_unreadable`.

    Raises:
        DataError: the data set cannot be read, or a study or patient is in two splits.
    """
    studies = source.studies()
    published = {"published": dict(source.published())} if isinstance(source, Published) else {}
    unreadable = find_unreadable(studies, workers, progress)
    return {
        "data": source.name,
        **published,
        "dropped": dict(source.dropped),
        "studies": len(studies),
        "patients": len({study.patient_id for study in studies} - {None}),
        "labels": count_labels(studies),
        "splits": {split: _split(studies, split) for split in SPLITS},
        "overlap": overlap(studies),
        **audit_views(studies),
        "unreadable images": unreadable,
        "text": audit_texts(studies, source.target, vectors),
    }


def _split(studies: Sequence[Study], split: str) -> dict[str, float | None]:
    side = [study for study in studies if study.split == split]
    labels = [study.labels or {} for study in side]
    labelled = [found["No Finding"] for found in labels if "No Finding" in found]
    normal = sum(labelled) / len(side) if labelled else None
    return {"studies": len(side), "labelled": len(labelled), "normal": normal}


def count_labels(studies: Sequence[Study]) -> dict[str, int]:
    """How many studies have each label that is known of any; the names in the source's order."""
    counts: dict[str, int] = {}
    for study in studies:
        for name, value in (study.labels or {}).items():
            counts[name] = counts.get(name, 0) + (value == 1.0)
    return counts


def overlap(studies: Sequence[Study]) -> dict[str, int]:
    """How many study ids, and patient ids, are in more than one split."""
    sides: dict[tuple[str, str], set[str | None]] = {}
    for study in studies:
        sides.setdefault(("studies", study.study_id), set()).add(study.split)
        if study.patient_id is not None:
            sides.setdefault(("patients", study.patient_id), set()).add(study.split)
    return {
        kind: sum(len(found) > 1 for (k, _), found in sides.items() if k == kind)
        for kind in ("studies", "patients")
    }
