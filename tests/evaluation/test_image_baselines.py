from __future__ import annotations

import numpy as np

from xray_report.evaluation.image_baselines import classify


def test_classifier_separates_what_can_be_separated() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(1000, 30)).astype(np.float32) * 5 + 3
    abnormal = (features[:, 3] + features[:, 7] > 6).tolist()
    found = classify(features[:600], abnormal[:600], features[600:])
    assert np.mean(np.array(found) == abnormal[600:]) > 0.9
    shuffled = random.permutation(abnormal[:600]).tolist()
    blind = classify(features[:600], shuffled, features[600:])
    assert np.mean(np.array(blind) == abnormal[600:]) < 0.75
