from __future__ import annotations

import numpy as np

from xray_report.evaluation.image_baselines import classify


def test_classifier_separates_what_can_be_separated() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 30)).astype(np.float32) * 5 + 3
    abnormal = (features[:, 3] + features[:, 7] > 6).tolist()
    found = classify(features[:150], abnormal[:150], features[150:])
    assert np.mean(np.array(found) == abnormal[150:]) > 0.9
    shuffled = random.permutation(abnormal[:150]).tolist()
    blind = classify(features[:150], shuffled, features[150:])
    assert np.mean(np.array(blind) == abnormal[150:]) < 0.75
