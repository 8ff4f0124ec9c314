from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from tests.metrics.conftest import Corpus
from tests.metrics.corpora import pairs, quick, split
from xray_report.errors import DataError
from xray_report.metrics.baselines import (
    best_constant,
    constant_scores,
    most_frequent_report,
    nearest_reports,
    random_reports,
    text_baselines,
    two_constants,
)
from xray_report.metrics.protocols import CLEAN, protocol_scores


@quick
@given(pairs)
def test_constant_scores_equal_scoring_each_constant(rows: list[tuple[str, str]]) -> None:
    candidates, references = split(rows)
    slowly = [
        protocol_scores([candidate] * len(references), references, [CLEAN])["clean/bleu4"]
        for candidate in candidates
    ]
    assert constant_scores(candidates, references).tolist() == pytest.approx(slowly, abs=1e-12)


def test_best_constant_beats_every_other_training_report(corpus: Corpus) -> None:
    best = best_constant(corpus.train, corpus.val)
    assert best in corpus.train
    reached = protocol_scores([best] * len(corpus.val), corpus.val, [CLEAN])["clean/bleu4"]
    for other in [most_frequent_report(corpus.train), *corpus.train[:20]]:
        assert (
            protocol_scores([other] * len(corpus.val), corpus.val, [CLEAN])["clean/bleu4"]
            <= reached
        )


def test_one_sentence_reaches_what_papers_publish_on_the_real_split(real: Corpus) -> None:
    best = best_constant(real.train, real.val)
    found = protocol_scores([best] * len(real.test), real.test, train_texts=real.train)
    assert found["clean/bleu4"] == pytest.approx(0.1655, abs=0.002)
    bleus = [found[f"r2gen/bleu{order}"] for order in (1, 2, 3, 4)]
    assert bleus == pytest.approx([0.500, 0.338, 0.240, 0.172], abs=0.001)


def test_most_frequent_ignores_case_and_spacing() -> None:
    assert most_frequent_report(["Lungs clear.", "Heart big.", "lungs  clear."]) == "Lungs clear."


def test_random_reports_repeat_and_come_from_train() -> None:
    train = [f"report {i}" for i in range(50)]
    drawn = random_reports(train, 200)
    assert drawn == random_reports(train, 200)
    assert set(drawn) <= set(train)
    assert len(set(drawn)) > 30


def test_nearest_is_by_angle() -> None:
    train = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=np.float16)
    queries = np.array([[5.0, 1.0], [0.1, 0.2], [-3.0, 0.0], [0.0, 9.0]])
    assert nearest_reports(train, ["a", "b", "c"], queries) == ["a", "b", "c", "b"]


def test_nearest_of_train_is_itself_across_chunks() -> None:
    features = np.random.default_rng(0).normal(size=(600, 8))
    texts = [str(i) for i in range(600)]
    assert nearest_reports(features, texts, features) == texts


def test_nearest_passes_over_the_study_itself() -> None:
    train = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    queries = np.array([[1.0, 0.0], [1.0, 0.0], [0.1, 1.0]])
    assert nearest_reports(train, ["a", "b", "c"], queries, [0, None, 2]) == ["b", "a", "b"]


def test_nearest_refuses_what_does_not_fit() -> None:
    with pytest.raises(DataError, match="2 feature rows for 1 reports"):
        nearest_reports(np.ones((2, 3)), ["a"], np.ones((1, 3)))
    with pytest.raises(DataError, match="do not fit"):
        nearest_reports(np.ones((1, 3)), ["a"], np.ones((1, 4)))


def test_two_constants_follow_the_classifier() -> None:
    normal, abnormal = "the heart is normal today", "there is a large left effusion"
    texts, flags = [normal, abnormal, "other words"], [False, True, True]
    generated = two_constants(texts, flags, texts[:2], flags[:2], [True, False, True])
    assert generated == [abnormal, normal, abnormal]


def test_two_constants_survive_a_side_without_abnormal_studies() -> None:
    texts = ["the heart is normal today"] * 2
    assert two_constants(texts, [False] * 2, texts, [False] * 2, [True]) == [texts[0]]
    with pytest.raises(DataError, match="1 normal/abnormal flags for 2 reports"):
        two_constants(texts, [False], texts, [False] * 2, [True])


def test_text_baselines_have_a_report_for_everybody() -> None:
    found = text_baselines(["a b c d e"], ["a b c d e"], 3)
    assert set(found) == {"constant", "most_frequent", "random"}
    assert all(len(texts) == 3 for texts in found.values())


def test_no_training_reports() -> None:
    for make in (lambda: best_constant([], ["a"]), lambda: best_constant(["a"], [])):
        with pytest.raises(DataError, match="needs training and validation reports"):
            make()
    with pytest.raises(DataError, match="needs training reports"):
        most_frequent_report([])
    with pytest.raises(DataError, match="need training reports"):
        random_reports([], 1)
