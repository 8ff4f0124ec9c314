"""Pictures of either view: what the findings change, and what size and seed do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.data.phantom.plans import plan_of
from xray_report.data.phantom.cases import ALL_FACTS, FINDING_KINDS, sample_plan
from xray_report.data.phantom.source import draw
from xray_report.errors import OptionError
from xray_report.text.facts import Fact

ORGAN_SIZES = {"cardiomegaly", "hyperinflation", "low_lung_volumes"}


@pytest.mark.parametrize("fact", ALL_FACTS, ids=lambda fact: fact.label)
def test_a_lesion_changes_pixels_inside_its_mask_only(fact: Fact) -> None:
    plan = plan_of((fact,), ALL_FACTS.index(fact))
    for view in sorted(FINDING_KINDS[fact.finding].views):
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


def test_a_missing_view_cannot_be_drawn() -> None:
    plan = replace(plan_of(()), views=frozenset({"frontal"}))
    with pytest.raises(OptionError, match="no lateral view"):
        draw(plan, "lateral", 64)
