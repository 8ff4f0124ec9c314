"""The labels of a phantom study and of each of its pictures."""

from __future__ import annotations

from xray_report.data.phantom.findings import KINDS, LABEL_NAMES
from xray_report.text.facts import Fact, chexpert_classes


def study_labels(facts: tuple[Fact, ...]) -> dict[str, float]:
    """Every label of a study, 1.0 or 0.0."""
    present = chexpert_classes(facts) | {fact.label for fact in facts}
    return {name: float(name in present) for name in LABEL_NAMES}


def image_labels(facts: tuple[Fact, ...], view: str) -> dict[str, float]:
    """The labels of one picture.

    On a lateral a finding of one side shows, but not which side: its fact and the same fact of the
    other side are left out, unknown, unless both are there.
    """
    seen = tuple(fact for fact in facts if view in KINDS[fact.finding].views)
    labels = study_labels(seen)
    if view == "lateral":
        for fact in seen:
            other = fact._replace(side={"left": "right", "right": "left"}.get(fact.side, ""))
            if fact.side and other not in seen:
                labels.pop(fact.label, None)
                labels.pop(other.label, None)
    return labels
