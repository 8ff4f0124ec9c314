from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xray_report.data.phantom.anatomy import adapt, sample_anatomy
from xray_report.data.phantom.cases import (
    ALL_FACTS,
    BOTH,
    DICE,
    KINDS,
    Lesion,
    Plan,
    sample_plan,
    stream,
)
from xray_report.data.phantom.frontal import frontal_body
from xray_report.data.phantom.source import draw
from xray_report.errors import OptionError
from xray_report.text.facts import Fact

PICTURE = [
    [26, 83, 151, 191, 162, 84, 22],
    [130, 112, 86, 193, 94, 115, 142],
    [90, 73, 81, 192, 99, 79, 103],
    [65, 85, 95, 199, 120, 84, 67],
    [64, 88, 106, 207, 177, 158, 94],
    [70, 140, 158, 206, 182, 139, 72],
    [122, 184, 184, 207, 172, 180, 105],
]
"""Mean grey level of each of 7 x 7 fields of study 0 of seed 0, frontal."""

ORGAN_SIZES = {"cardiomegaly", "hyperinflation", "low_lung_volumes"}


def plan_of(facts: tuple[Fact, ...], index: int = 0) -> Plan:
    body = stream(11, index, 2)
    anatomy = adapt(sample_anatomy(body), facts, body)
    dice = stream(11, index, 3).random((len(facts), DICE)).tolist()
    lesions = tuple(Lesion(fact, tuple(row)) for fact, row in zip(facts, dice, strict=True))
    return Plan(BOTH, facts, anatomy, lesions)


def views_of(fact: Fact) -> list[str]:
    return sorted(KINDS[fact.finding].views)


@pytest.mark.parametrize("fact", ALL_FACTS, ids=lambda fact: fact.label)
def test_a_lesion_changes_pixels_inside_its_mask_only(fact: Fact) -> None:
    plan = plan_of((fact,), ALL_FACTS.index(fact))
    for view in views_of(fact):
        drawn = draw(plan, view, 112)
        assert [region.label for region in drawn.regions] == [fact.label]
        mask = drawn.regions[0].mask
        assert mask.dtype == bool
        assert mask.shape == drawn.image.shape == (112, 112)
        assert 20 <= mask.sum() < 0.6 * mask.size
        if fact.finding in ORGAN_SIZES:
            continue
        without = draw(replace(plan, facts=(), lesions=()), view, 112).image
        differs = drawn.image != without
        assert not (differs & ~mask).any()
        change = np.abs(drawn.image.astype(int) - without)[mask]
        assert change.max() >= 25, "a finding must be conspicuous"


def test_a_frontal_only_finding_leaves_the_lateral_alone() -> None:
    plan = plan_of((Fact("pneumothorax", "left", "", "large"), Fact("degenerative_spine")))
    assert [region.label for region in draw(plan, "lateral", 64).regions] == ["degenerative_spine"]
    assert [region.label for region in draw(plan, "frontal", 64).regions] == [
        "pneumothorax|left|large"
    ]


@pytest.mark.parametrize("finding", ["nodule", "mass", "consolidation", "granuloma"])
def test_lesions_lie_on_their_side_and_in_their_zone(finding: str) -> None:
    for fact in (fact for fact in ALL_FACTS if fact.finding == finding):
        mask = draw(plan_of((fact,), 3), "frontal", 96).regions[0].mask
        rows, columns = (axis / 96 for axis in np.nonzero(mask))
        assert (columns.mean() > 0.5) == (fact.side == "left"), "the patient's left is our right"
        low, high = {"upper": (0.1, 0.38), "mid": (0.38, 0.55), "lower": (0.52, 0.8)}[fact.zone]
        assert low < rows.mean() < high


def test_degrees_of_cardiomegaly_leave_gaps() -> None:
    hearts = {"": [], "mild": [], "severe": []}
    for index in range(60):
        for size, ratios in hearts.items():
            facts = (Fact("cardiomegaly", size=size),) if size else ()
            ratios.append(plan_of(facts, index).anatomy.heart)
    assert max(hearts[""]) < 0.5 < 0.54 < min(hearts["mild"])
    assert max(hearts["mild"]) + 0.08 < min(hearts["severe"])


def test_the_drawn_heart_is_as_wide_as_asked() -> None:
    body = replace(plan_of((), 1).anatomy, angle=(0.0, 0.0), heart=0.5)
    view = frontal_body(body, 224, np.random.default_rng(0))
    columns = np.nonzero((view.heart > 0.5).any(axis=0))[0]
    chest = 2 * body.chest * body.scale[0] * 224
    assert (columns[-1] - columns[0] + 1) / chest == pytest.approx(0.5, abs=0.02)


def test_size_changes_the_sampling_only() -> None:
    plan = sample_plan(0, 1)
    large = draw(plan, "frontal", 256).image.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    small = draw(plan, "frontal", 64).image
    assert np.corrcoef(large.ravel(), small.ravel())[0, 1] > 0.97


def test_normal_studies_vary_everywhere() -> None:
    plans = [plan_of((), index) for index in range(24)]
    pictures = np.stack([draw(plan, "frontal", 56).image for plan in plans]).astype(float)
    lungs = pictures[:, 15:40, 12:44]
    assert np.median(lungs.std(axis=0)) > 10


def test_the_same_plan_gives_the_same_picture() -> None:
    plan = sample_plan(2, 7)
    view = sorted(plan.views)[0]
    assert (draw(plan, view, 64).image == draw(plan, view, 64).image).all()


def test_a_golden_picture() -> None:
    coarse = draw(sample_plan(0, 0), "frontal", 224).image.reshape(7, 32, 7, 32).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse, PICTURE, atol=1.0)


def test_a_missing_view_cannot_be_drawn() -> None:
    plan = replace(plan_of(()), views=frozenset({"frontal"}))
    with pytest.raises(OptionError, match="no lateral view"):
        draw(plan, "lateral", 64)
