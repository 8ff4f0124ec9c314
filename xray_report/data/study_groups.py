"""Groups of studies that must not be parted, because one would tell about the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from xray_report.data.study import Study

Group = tuple[Study, ...]
"""Studies of one group, by id."""


def group_studies(
    studies: Sequence[Study], text_of: Callable[[Study], str] | None = None
) -> list[Group]:
    """Put together the studies of one patient and, given `text_of`, those of one text.

    Being together is transitive: if A and B share a patient and B and C a text, all three are one
    group. An empty text ties nothing. The groups do not depend on the order of `studies`.
    """
    parent = list(range(len(studies)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, study in enumerate(studies):
        for tie in _ties(study, text_of):
            parent[root(i)] = root(first.setdefault(tie, i))
    members: dict[int, list[Study]] = {}
    for i, study in enumerate(studies):
        members.setdefault(root(i), []).append(study)
    return [tuple(sorted(group, key=lambda study: study.study_id)) for group in members.values()]


def normality(group: Group) -> str:
    """`normal`, `abnormal` or `unknown`: the most of the group's `No Finding` labels."""
    known = [s.labels["No Finding"] for s in group if s.labels and "No Finding" in s.labels]
    if not known:
        return "unknown"
    return "normal" if fmean(known) > 0.5 else "abnormal"


def _ties(study: Study, text_of: Callable[[Study], str] | None) -> list[tuple[str, str]]:
    ties = [("study", study.study_id)]
    if study.patient_id is not None:
        ties.append(("patient", study.patient_id))
    text = text_of(study) if text_of else ""
    if text:
        ties.append(("text", text))
    return ties
