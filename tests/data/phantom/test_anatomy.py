from __future__ import annotations

from tests.data.phantom.plans import plan_of
from xray_report.data.phantom.cases import sample_plan
from xray_report.text.facts import Fact


def test_bodies_are_the_golden_ones() -> None:
    body = sample_plan(0, 0).anatomy
    assert (round(body.chest, 9), round(body.gain, 9), body.salt) == (
        0.404942312,
        1.092144487,
        658770200,
    )


def test_degrees_of_cardiomegaly_leave_gaps() -> None:
    hearts = {"": [], "mild": [], "severe": []}
    for index in range(60):
        for size, ratios in hearts.items():
            facts = (Fact("cardiomegaly", size=size),) if size else ()
            ratios.append(plan_of(facts, index).anatomy.heart)
    assert max(hearts[""]) < 0.5 < 0.54 < min(hearts["mild"])
    assert max(hearts["mild"]) + 0.08 < min(hearts["severe"])
