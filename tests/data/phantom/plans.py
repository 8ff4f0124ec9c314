"""Plans of studies with chosen findings."""

from __future__ import annotations

from xray_report.data.phantom.anatomy import adapt, sample_anatomy
from xray_report.data.phantom.cases import BOTH, DICE, Lesion, StudyPlan, stream
from xray_report.text.facts import Fact


def plan_of(facts: tuple[Fact, ...], index: int = 0) -> StudyPlan:
    """Both views of study `index` of seed 11, with the findings `facts` instead of its own."""
    body = stream(11, index, 2)
    anatomy = adapt(sample_anatomy(body), facts, body)
    dice = stream(11, index, 3).random((len(facts), DICE)).tolist()
    lesions = tuple(Lesion(fact, tuple(row)) for fact, row in zip(facts, dice, strict=True))
    return StudyPlan(BOTH, facts, anatomy, lesions)
