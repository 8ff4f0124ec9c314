from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from xray_report.evaluation.run import classify, image_baselines, pooled_features


class Features:
    """A data set of which only features, ids and reports are known; features [N, 2, C, 1, 1]."""

    def __init__(self, prefix: str, size: int) -> None:
        angles = torch.linspace(0, 1, size)
        self.features = torch.stack([angles.cos(), angles.sin()], -1).repeat(1, 2)
        self.features = self.features.reshape(size, 2, 2, 1, 1)
        studies = [SimpleNamespace(study_id=f"{prefix}{row}") for row in range(size)]
        self.examples = [SimpleNamespace(study=s, reference=f"of {s.study_id}") for s in studies]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, rows: list[int]) -> SimpleNamespace:
        return SimpleNamespace(features=self.features[rows])


def nearest(train: Any, evaluated: Any, rows: list[int]) -> list[str]:
    return image_baselines(train, Features("v", 2), evaluated, rows)["nearest"]  # type: ignore[arg-type]


def test_no_study_is_its_own_nearest() -> None:
    train = Features("t", 3)
    assert nearest(train, train, [0, 1, 2]) != ["of t0", "of t1", "of t2"]
    assert nearest(train, train, [2, 0]) == ["of t1", "of t1"]
    assert nearest(train, Features("e", 3), [0, 1, 2]) == ["of t0", "of t1", "of t2"]


def test_features_of_any_channels_and_grid_are_pooled() -> None:
    dataset: Any = Features("t", 200)
    dataset.features = torch.rand(200, 2, 3, 4, 5, dtype=torch.float64).half()
    found = pooled_features(dataset, [199, *range(150)])
    assert found.shape == (151, 6)
    assert found.dtype == np.float32
    expected = dataset.features[199].float().mean((-2, -1)).flatten()
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_classifier_separates_what_can_be_separated() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(1000, 30)).astype(np.float32) * 5 + 3
    abnormal = (features[:, 3] + features[:, 7] > 6).tolist()
    found = classify(features[:600], abnormal[:600], features[600:])
    assert np.mean(np.array(found) == abnormal[600:]) > 0.9
    shuffled = random.permutation(abnormal[:600]).tolist()
    blind = classify(features[:600], shuffled, features[600:])
    assert np.mean(np.array(blind) == abnormal[600:]) < 0.75
