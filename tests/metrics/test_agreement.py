"""Utilities of consensus decoding: against sacrebleu, against plain counting, and by their laws."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU

from xray_report.metrics.agreement import UTILITIES, agreement, f_beta, in_reports, stated

WORDS = ["no", "effusion", ".", "the", "heart", "normal", "small", "left", "pneumothorax"]


def texts_of(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(0, 14))) for _ in range(count)]


def test_bleu_is_sacrebleus_with_one_added() -> None:
    texts = list(dict.fromkeys(texts_of(30)))
    scorer = BLEU(tokenize="none", smooth_method="add-k", smooth_value=1, force=True)
    found = agreement(texts, {"bleu": 1})
    for row, hypothesis in enumerate(texts):
        for column, reference in enumerate(texts):
            if row != column:
                expected = scorer.corpus_score([hypothesis], [[reference]]).score / 100
                assert found[row, column] == pytest.approx(expected, abs=1e-9)


def test_ngrams_is_the_mean_cosine_of_counts_with_ciders_penalty() -> None:
    texts = list(dict.fromkeys(texts_of(12, seed=1)))
    found = agreement(texts, {"ngrams": 1})
    for row, one in enumerate(texts):
        for column, other in enumerate(texts):
            if row != column:
                assert found[row, column] == pytest.approx(plain_ngrams(one, other), abs=1e-12)
    np.testing.assert_allclose(found, found.T)


def plain_ngrams(one: str, other: str) -> float:
    left, right = one.split(), other.split()
    total = 0.0
    for order in range(1, 5):
        counts = [
            Counter(tuple(words[i : i + order]) for i in range(len(words) - order + 1))
            for words in (left, right)
        ]
        dot = sum(times * counts[1][gram] for gram, times in counts[0].items())
        norm = math.prod(math.sqrt(sum(n * n for n in one.values())) for one in counts)
        total += dot / norm / 4 if norm else 0.0
    return total * math.exp(-((len(left) - len(right)) ** 2) / 72)


NORMAL = "the heart is normal . the lungs are clear ."
EFFUSION = "there is pleural effusion ."
BOTH = "there is pleural effusion . there is pneumothorax ."


def test_findings_is_f1_of_the_classes_that_are_there_for_certain() -> None:
    unsure = "pneumonia is possible ."
    found = agreement([NORMAL, EFFUSION, BOTH, unsure, ""], {"findings": 1})
    assert found[1, 2] == found[2, 1] == pytest.approx(2 / 3)
    assert found[0].tolist() == [1, 0, 0, 0, 0]
    assert found[3, 4] == 1  # neither has any for certain


def test_beta_weighs_recall_of_findings_and_facts() -> None:
    for name in ("findings", "facts"):
        recalling = agreement([EFFUSION, BOTH], {name: 1}, beta=2)
        # Of one and of both: precision and recall 1 and 1/2, or 1/2 and 1.
        assert recalling[0, 1] == pytest.approx(5 * 0.5 / (4 * 1 + 0.5))
        assert recalling[1, 0] == pytest.approx(5 * 0.5 / (4 * 0.5 + 1))


def test_facts_see_the_side() -> None:
    left, right = "small left pleural effusion .", "small right pleural effusion ."
    found = agreement([left, right, NORMAL], {"facts": 1})
    assert found[0, 1] == found[0, 2] == 0
    assert agreement([left, right], {"findings": 1})[0, 1] == 1


def test_weights_are_shares() -> None:
    texts = [NORMAL, EFFUSION, BOTH, ""]
    alone = {name: agreement(texts, {name: 3}) for name in UTILITIES}
    mixed = agreement(texts, {"bleu": 1, "ngrams": 2, "findings": 1, "facts": 0})
    expected = (alone["bleu"] + 2 * alone["ngrams"] + alone["findings"]) / 4
    np.testing.assert_allclose(mixed, expected)


@pytest.mark.parametrize("name", UTILITIES)
def test_against_references_values_are_those_among_all_of_them(name: str) -> None:
    texts, references = ["", NORMAL, EFFUSION, *texts_of(12, seed=3)], ["no", NORMAL, BOTH, ""]
    everything = agreement([*texts, *references], {name: 1}, beta=2)
    found = agreement(texts, {name: 1}, beta=2, references=references)
    np.testing.assert_allclose(found, everything[: len(texts), len(texts) :])
    assert agreement(texts, {name: 1}, references=[]).shape == (len(texts), 0)
    assert agreement([], {name: 1}, references=references).shape == (0, len(references))


@pytest.mark.parametrize("name", UTILITIES)
def test_a_text_agrees_wholly_with_itself_and_values_are_shares(name: str) -> None:
    for texts in (["", "no", NORMAL, *texts_of(20, seed=2)], [""], [NORMAL], ["", "no"]):
        found = agreement(texts, {name: 1})
        assert found.shape == (len(texts), len(texts))
        assert (np.diag(found) == 1).all()
        assert ((found >= 0) & (found <= 1 + 1e-12)).all()


def test_labels_that_texts_state_are_classes_or_findings_with_their_size() -> None:
    labels = ["Edema", "Cardiomegaly", "cardiomegaly", "cardiomegaly|mild", "No Finding"]
    texts = ["mild cardiomegaly .", "the heart is enlarged . no edema .", NORMAL, "edema ."]
    expected = [[0, 1, 1, 1, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]
    np.testing.assert_array_equal(stated(texts, labels), expected)
    assert stated([], labels).shape == (0, 5)
    assert stated(texts, []).shape == (4, 0)
    assert all(in_reports(label) for label in labels)
    assert not in_reports("Infiltration")
    assert not in_reports("")


def test_f_beta_of_sets_against_one() -> None:
    held = np.array([[1.0, 1, 0], [0, 0, 0], [1, 0, 1]])
    np.testing.assert_allclose(f_beta(held, np.array([[1.0, 0, 0]]), 1.0)[:, 0], [2 / 3, 0, 2 / 3])
    np.testing.assert_allclose(
        f_beta(held, np.array([[1.0, 1, 1]]), 2.0)[:, 0], [10 / 14, 0, 10 / 14]
    )
    np.testing.assert_allclose(f_beta(held, np.zeros((1, 3)), 1.0)[:, 0], [0, 1, 0])
