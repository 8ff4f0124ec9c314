from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given

from tests.metrics.conftest import Corpus
from tests.metrics.corpora import pairs, quick, split
from xray_report.errors import DataError
from xray_report.metrics.protocols import CLEAN, protocol_study_scores
from xray_report.metrics.study_scores import (
    BOOTSTRAP_SEED,
    RESAMPLES,
    StudyScores,
    intervals,
    paired_differences,
    resampling_weights,
)


def family(values: list[float]) -> StudyScores:
    return StudyScores(("test/score",), np.array(values, dtype=np.float64)[:, None])


def test_weights_are_draws_with_replacement() -> None:
    weights = resampling_weights(40, 200, 3)
    counts = weights * 40
    assert weights.shape == (200, 40)
    assert np.allclose(weights.sum(axis=1), 1)
    assert np.allclose(counts, counts.round())
    assert (counts == 0).any()
    assert (counts >= 2).any()


def test_interval_of_a_mean_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(2.0, 0.5, size=400)
    found = intervals([family(values.tolist())])
    half = 1.96 * values.std() / math.sqrt(400)
    assert found["test/score_low"] == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found["test/score_high"] == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_resamples_equal_scoring_the_drawn_studies_again(written: Corpus) -> None:
    hypotheses, references = written.generated[:30], written.test[:30]
    scores = protocol_study_scores(CLEAN, hypotheses, references)
    weights = resampling_weights(30, 5, BOOTSTRAP_SEED)
    for row, sampled in zip(weights, scores.resampled(weights), strict=True):
        drawn = np.repeat(np.arange(30), (row * 30).round().astype(int)).tolist()
        again = protocol_study_scores(
            CLEAN, [hypotheses[i] for i in drawn], [references[i] for i in drawn]
        )
        bleu_and_rouge = list(again.corpus().values())[:5]  # CIDEr keeps its frequencies
        assert sampled[:5].tolist() == pytest.approx(bleu_and_rouge, abs=1e-12)


@quick
@given(pairs)
def test_interval_contains_the_point_value(rows: list[tuple[str, str]]) -> None:
    scores = protocol_study_scores(CLEAN, *split(rows))
    found = intervals([scores], resamples=50)
    for key, value in scores.corpus().items():
        assert found[f"{key}_low"] <= value <= found[f"{key}_high"]


def test_intervals_repeat_exactly_and_narrow_with_more_studies(written: Corpus) -> None:
    few = intervals([protocol_study_scores(CLEAN, written.generated[:50], written.test[:50])])
    many = intervals([protocol_study_scores(CLEAN, written.generated, written.test)])
    again = intervals([protocol_study_scores(CLEAN, written.generated, written.test)])
    assert many == again
    key = "clean/bleu4"
    assert many[f"{key}_high"] - many[f"{key}_low"] < 0.6 * (few[f"{key}_high"] - few[f"{key}_low"])


def test_no_studies_have_no_interval_and_unequal_families_are_refused() -> None:
    assert intervals([]) == {}
    assert intervals([family([])]) == {}
    with pytest.raises(DataError, match="different numbers"):
        intervals([family([1.0]), family([1.0, 2.0])])


def test_paired_bootstrap_sees_a_small_but_steady_gain() -> None:
    noise = np.random.default_rng(1).normal(0, 1, size=200)
    steady = paired_differences(family(noise.tolist()), family((noise + 0.01).tolist()))
    row = steady["test/score"]
    assert row.difference == pytest.approx(0.01)
    assert row.clear
    assert row.p_value == pytest.approx(2 / (RESAMPLES + 1))


def test_paired_bootstrap_of_equals_is_no_difference() -> None:
    row = paired_differences(family([0.1, 0.5]), family([0.1, 0.5]))["test/score"]
    assert (row.difference, row.low, row.high, row.p_value) == (0, 0, 0, 1)
    assert not row.clear


def test_paired_bootstrap_is_antisymmetric(written: Corpus) -> None:
    one = protocol_study_scores(CLEAN, written.generated, written.test)
    other = protocol_study_scores(CLEAN, written.train[: len(written.test)], written.test)
    there, back = paired_differences(one, other), paired_differences(other, one)
    for key in one.keys:
        assert there[key].difference == pytest.approx(-back[key].difference)
        assert there[key].low == pytest.approx(-back[key].high)
        assert there[key].p_value == pytest.approx(back[key].p_value)


def test_pairing_needs_the_same_studies() -> None:
    with pytest.raises(DataError, match="same scores of the same studies"):
        paired_differences(family([1.0]), family([1.0, 2.0]))
