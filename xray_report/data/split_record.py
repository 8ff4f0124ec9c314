"""What a checkpoint keeps of its split, so that no later test holds what it was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b, sha256
from typing import Any

from xray_report.data.study import SPLITS, Study

MARK_BYTES = 6
"""Enough that of 200,000 training and 3,000 test studies no two seem the same by chance."""

# The record: plain values only, 12 letters a study.


def record_split(studies: Sequence[Study]) -> dict[str, Any]:
    """Of each split its number of studies, a digest of their ids, and a mark of each.

    Marks are of studies and of their patients, where those are known; they give no id away.
    """
    return {name: _record([one for one in studies if one.split == name]) for name in SPLITS}


def _record(studies: Sequence[Study]) -> dict[str, Any]:
    ids = sorted(study.study_id for study in studies)
    marks = sorted({mark for study in studies for mark in marks_of(study)})
    return {
        "studies": len(ids),
        "digest": sha256("\n".join(ids).encode(errors="surrogateescape")).hexdigest(),
        "marks": "".join(marks),
    }


def marks_of(study: Study) -> list[str]:
    """Marks of a study and, where it is known, of its patient."""
    named = [f"study/{study.study_id}"]
    named += [f"patient/{study.patient_id}"] if study.patient_id is not None else []
    return [
        blake2b(name.encode(errors="surrogateescape"), digest_size=MARK_BYTES).hexdigest()
        for name in named
    ]


# Comparing with it.


def overlapping(studies: Iterable[Study], part: Mapping[str, Any]) -> list[str]:
    """Ids of the studies that the recorded part of a split holds, or of whose patients it does."""
    marks, width = str(part.get("marks", "")), 2 * MARK_BYTES
    known = {marks[start : start + width] for start in range(0, len(marks), width)}
    return [study.study_id for study in studies if not known.isdisjoint(marks_of(study))]


def changed(studies: Sequence[Study], part: Mapping[str, Any]) -> str:
    """How a split differs from the recorded part, in words; "" if it holds the same studies."""
    now = _record(studies)
    if now["digest"] == part.get("digest"):
        return ""
    then = part.get("studies")
    return "other studies" if then == now["studies"] else f"{now['studies']} studies, not {then}"
