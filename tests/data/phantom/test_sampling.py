from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations

import pytest

from xray_report.data.phantom.cases import (
    ALL_FACTS,
    BOTH,
    FRONTAL,
    KINDS,
    LATERAL,
    REPORT,
    Plan,
    conflict,
    sample_plan,
    stream,
)
from xray_report.data.phantom.report import write_report
from xray_report.text.facts import Fact


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [sample_plan(0, index) for index in range(1200)]


def test_facts_and_reports_are_the_golden_ones_on_every_machine() -> None:
    lines = []
    for index in range(60):
        facts = sample_plan(0, index).facts
        report = write_report(facts, stream(0, index, REPORT))
        lines.append(" ".join(fact.label for fact in facts) + " = " + report)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest[:16] == "84675605d2609aa0", "\n".join(lines[:6])


def test_bodies_are_the_golden_ones() -> None:
    body = sample_plan(0, 0).anatomy
    assert (round(body.chest, 9), round(body.gain, 9), body.salt) == (
        0.404942312,
        1.092144487,
        658770200,
    )


def test_a_study_does_not_depend_on_those_drawn_before() -> None:
    backwards = {index: sample_plan(5, index) for index in reversed(range(20))}
    assert all(sample_plan(5, index) == backwards[index] for index in range(20))


def test_seeds_and_studies_differ() -> None:
    plans = [sample_plan(seed, index) for seed in range(3) for index in range(5)]
    assert len({plan.anatomy for plan in plans}) == len(plans)


def test_every_fact_is_frequent_enough_to_be_learnt(plans: list[Plan]) -> None:
    counts = Counter(fact for plan in plans for fact in plan.facts)
    assert min(counts[fact] for fact in ALL_FACTS) >= 15
    assert max(counts.values()) <= 80


def test_a_third_of_the_studies_is_normal_and_a_quarter_has_one_view(plans: list[Plan]) -> None:
    assert 0.29 < sum(not plan.facts for plan in plans) / len(plans) < 0.38
    views = Counter(plan.views for plan in plans)
    assert 0.17 < views[FRONTAL] / len(plans) < 0.23
    assert 0.03 < views[LATERAL] / len(plans) < 0.07
    assert views[BOTH] == len(plans) - views[FRONTAL] - views[LATERAL]


def test_abnormal_studies_have_one_to_four_findings(plans: list[Plan]) -> None:
    numbers = [len({f.finding for f in plan.facts}) for plan in plans if plan.facts]
    assert set(numbers) == {1, 2, 3, 4}
    assert 1.7 < sum(numbers) / len(numbers) < 2.1


def test_a_study_holds_only_what_its_views_show(plans: list[Plan]) -> None:
    for plan in plans:
        assert all(KINDS[fact.finding].readable(plan.views) for fact in plan.facts)
    lateral = [plan for plan in plans if plan.views == LATERAL]
    assert any(plan.facts for plan in lateral)
    assert not any(fact.side for plan in lateral for fact in plan.facts)


def test_findings_that_go_together_do_so_more_often_than_by_chance(plans: list[Plan]) -> None:
    sets = [{fact.finding for fact in plan.facts} for plan in plans]

    def lift(one: str, other: str) -> float:
        both = sum({one, other} <= found for found in sets)
        return both * len(sets) / (sum(one in f for f in sets) * sum(other in f for f in sets))

    assert lift("cardiomegaly", "edema") > 2
    assert lift("sternotomy_wires", "pacemaker") > 2
    assert lift("endotracheal_tube", "central_line") > 2


def test_findings_that_hide_one_another_are_never_together(plans: list[Plan]) -> None:
    for plan in plans:
        for first, second in combinations(plan.facts, 2):
            assert first.finding == second.finding or not conflict(first, second)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Fact("edema", size="mild"), Fact("opacity", "left", "upper"), True),
        (Fact("nodule", "left", "upper"), Fact("mass", "left", "upper"), True),
        (Fact("nodule", "left", "upper"), Fact("mass", "right", "upper"), False),
        (Fact("mass", "left", "lower"), Fact("opacity", "left", "upper"), True),
        (Fact("pleural_effusion", "left", "", "large"), Fact("nodule", "left", "mid"), True),
        (Fact("pleural_effusion", "left", "", "small"), Fact("nodule", "left", "mid"), False),
        (Fact("pleural_effusion", "left", "", "small"), Fact("atelectasis", "left"), False),
        (Fact("pleural_effusion", "left", "", "large"), Fact("atelectasis", "left"), True),
        (Fact("cardiomegaly", size="severe"), Fact("nodule", "left", "mid"), True),
        (Fact("cardiomegaly", size="mild"), Fact("pleural_effusion", "left", "", "small"), False),
        (Fact("pacemaker"), Fact("central_line", "left"), True),
        (Fact("pacemaker"), Fact("central_line", "right"), False),
    ],
)
def test_conflicts(first: Fact, second: Fact, expected: bool) -> None:
    assert conflict(first, second) is expected
    assert conflict(second, first) is expected
