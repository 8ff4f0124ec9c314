from __future__ import annotations

import pytest

from tests.metrics.conftest import Corpus
from xray_report.errors import DataError
from xray_report.metrics.diagnostics import is_abnormal, strata


@pytest.mark.parametrize(
    ("labels", "abnormal"),
    [
        (None, None),
        ({}, None),
        ({"No Finding": 1.0}, False),
        ({"No Finding": 0.0}, True),
        ({"No Finding": float("nan"), "Edema": 1.0}, True),
        ({"Edema": 1.0, "Fracture": 0.0}, True),
        ({"Edema": 0.0, "Fracture": 0.0}, None),
        ({"Edema": float("nan"), "Fracture": 0.0}, None),
        ({"Support Devices": 1.0, "Edema": 0.0}, None),
        ({"Support Devices": 1.0}, None),
    ],
)
def test_abnormal(labels: dict[str, float] | None, abnormal: bool | None) -> None:
    assert is_abnormal(labels) is abnormal


def test_groups_of_a_hand_made_corpus() -> None:
    groups = strata(
        ["Heart normal.", "Lungs clear today here.", "Large effusion on the left side today."],
        abnormal=[False, None, True],
        train_texts=["heart normal ."],
        views=[2, 1, 3],
    )
    found = {name: indices.tolist() for name, indices in groups.items()}
    assert found == {
        "short_reference": [0],
        "medium_reference": [1],
        "long_reference": [2],
        "normal": [0],
        "abnormal": [2],
        "seen_reference": [0],
        "novel_reference": [1, 2],
        "two_views": [0, 2],
        "one_view": [1],
    }


def test_half_of_the_real_test_reports_stand_in_train(real: Corpus) -> None:
    groups = strata(real.test, train_texts=real.train)
    assert len(groups["seen_reference"]) == 277
    lengths = [len(groups[f"{name}_reference"]) for name in ("short", "medium", "long")]
    assert sum(lengths) == 590
    assert min(lengths) > 150


def test_lists_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="two_views: 1 values for 2 studies"):
        strata(["a", "b"], views=[2])
