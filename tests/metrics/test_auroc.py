from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from xray_report.metrics.auroc import auroc

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40)


@given(PAIRS)
def test_agrees_with_scikit_learn_ties_and_all(pairs: list[tuple[int, bool]]) -> None:
    scores, truth = (np.array(part, float) for part in zip(*pairs, strict=True))
    found = auroc(scores, truth, resamples=50)
    assert (found.positives, found.images) == (truth.sum(), len(truth))
    if 0 < truth.sum() < len(truth):
        assert found.value == pytest.approx(roc_auc_score(truth, scores))
    else:
        assert np.isnan(found.value)


def test_resamples_in_parts_are_those_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    scores, truth = random.integers(0, 9, 60).astype(float), (random.random(60) < 0.4).astype(float)
    whole = auroc(scores, truth, resamples=100)
    monkeypatch.setattr("xray_report.metrics.auroc.AT_ONCE", 60 * 7)
    assert auroc(scores, truth, resamples=100) == whole


def test_unknown_truth_is_left_out() -> None:
    scores, truth = np.array([0.1, 0.9, 0.5]), np.array([0.0, 1.0, np.nan])
    assert auroc(scores, truth).value == 1.0
    assert auroc(scores, truth).images == 2
    assert np.isnan(auroc(scores, truth, resamples=0).low)


def test_interval_holds_the_value_and_narrows_with_more_images() -> None:
    random = np.random.default_rng(0)
    widths = []
    for images in (50, 2000):
        truth = (random.random(images) < 0.3).astype(float)
        found = auroc(truth + random.normal(size=images), truth)
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 3
