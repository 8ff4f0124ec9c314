from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.data.phantom.plans import plan_of
from xray_report.data.phantom.cases import ALL_FACTS, sample_plan
from xray_report.data.phantom.frontal import draw_frontal, frontal_body

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


@pytest.mark.parametrize("finding", ["nodule", "mass", "consolidation", "granuloma"])
def test_lesions_lie_on_their_side_and_in_their_zone(finding: str) -> None:
    for fact in (fact for fact in ALL_FACTS if fact.finding == finding):
        mask = draw_frontal(plan_of((fact,), 3), 96).regions[0].mask
        rows, columns = (axis / 96 for axis in np.nonzero(mask))
        assert (columns.mean() > 0.5) == (fact.side == "left"), "the patient's left is our right"
        low, high = {"upper": (0.1, 0.38), "mid": (0.38, 0.55), "lower": (0.52, 0.8)}[fact.zone]
        assert low < rows.mean() < high


def test_the_drawn_heart_is_as_wide_as_asked() -> None:
    body = replace(plan_of((), 1).anatomy, angle=(0.0, 0.0), heart=0.5)
    view = frontal_body(body, 224, np.random.default_rng(0))
    columns = np.nonzero((view.heart > 0.5).any(axis=0))[0]
    chest = 2 * body.chest * body.scale[0] * 224
    assert (columns[-1] - columns[0] + 1) / chest == pytest.approx(0.5, abs=0.02)


def test_a_golden_picture() -> None:
    coarse = draw_frontal(sample_plan(0, 0), 224).image.reshape(7, 32, 7, 32).mean(axis=(1, 3))
    np.testing.assert_allclose(coarse, PICTURE, atol=1.0)
