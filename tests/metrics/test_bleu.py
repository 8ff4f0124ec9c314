from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from torchmetrics.functional.text import bleu_score

from tests.metrics.conftest import Corpus
from tests.metrics.corpora import DEGENERATE, pairs, quick, split, words
from xray_report.errors import DataError
from xray_report.metrics.bleu import (
    bleu_signature,
    bleu_statistics,
    bleu_values,
    corpus_bleu,
    sentence_bleu,
    smoothed_bleu4,
)
from xray_report.metrics.protocols import clean_tokens


def by_sacrebleu(hypotheses: list[str], references: list[str]) -> list[float]:
    """BLEU of each order by sacrebleu's own score, one run an order."""
    return [
        BLEU(tokenize="none", smooth_method="none", force=True, max_ngram_order=order)
        .corpus_score(hypotheses, [references])
        .score
        / 100
        for order in range(1, 5)
    ]


def by_torchmetrics(hypotheses: list[str], references: list[str]) -> list[float]:
    """BLEU-1 and BLEU-4; the two between them take as long again."""
    wrapped = [[text] for text in references]
    return [float(bleu_score(hypotheses, wrapped, n_gram=order)) for order in (1, 4)]


def ours(hypotheses: list[str], references: list[str]) -> list[float]:
    return list(corpus_bleu(hypotheses, references).values())


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_corpora_agree_with_sacrebleu_and_torchmetrics(name: str) -> None:
    hypotheses, references = DEGENERATE[name]
    assert ours(hypotheses, references) == pytest.approx(by_sacrebleu(hypotheses, references))
    first_and_last = ours(hypotheses, references)[::3]
    assert first_and_last == pytest.approx(by_torchmetrics(hypotheses, references), abs=1e-6)


def test_reports_agree_with_sacrebleu_and_torchmetrics(corpus: Corpus) -> None:
    hypotheses, references = [
        [clean_tokens(t) for t in side] for side in (corpus.generated, corpus.test)
    ]
    scores = ours(hypotheses, references)
    assert scores == pytest.approx(by_sacrebleu(hypotheses, references), abs=1e-9)
    assert scores[::3] == pytest.approx(by_torchmetrics(hypotheses, references), abs=1e-6)
    assert scores == sorted(scores, reverse=True)


def test_reports_agree_with_pycocoevalcap(corpus: Corpus) -> None:
    module = pytest.importorskip("pycocoevalcap.bleu.bleu", reason="pycocoevalcap is not installed")
    hypotheses, references = [
        [clean_tokens(t) for t in side] for side in (corpus.generated, corpus.test)
    ]
    truth = {i: [text] for i, text in enumerate(references)}
    generated = {i: [text] for i, text in enumerate(hypotheses)}
    expected, _ = module.Bleu(4).compute_score(truth, generated, verbose=0)
    assert ours(hypotheses, references) == pytest.approx(expected, abs=1e-6)


@quick
@given(pairs)
def test_summed_statistics_give_sacrebleus_score(rows: list[tuple[str, str]]) -> None:
    hypotheses, references = split(rows)
    values = bleu_values(bleu_statistics(hypotheses, references).sum(axis=0))
    assert values.tolist() == pytest.approx(ours(hypotheses, references), abs=1e-12)


@quick
@given(pairs, st.randoms())
def test_order_of_studies_changes_nothing(rows: list[tuple[str, str]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert corpus_bleu(*split(rows)) == corpus_bleu(*split(shuffled))


@quick
@given(st.lists(st.lists(words, min_size=4, max_size=12).map(" ".join), min_size=1, max_size=5))
def test_identity_scores_one(texts: list[str]) -> None:
    assert ours(texts, texts) == pytest.approx([1.0] * 4)


@quick
@given(st.permutations("abcdefgh"), st.permutations("abcdefghij"))
def test_orders_fall_for_a_report_without_repeated_words(left: list[str], right: list[str]) -> None:
    scores = ours([" ".join(left)], [" ".join(right)])
    assert scores == sorted(scores, reverse=True)


def test_orders_can_rise_where_short_reports_have_no_pairs_to_get_wrong() -> None:
    # The law BLEU-1 >= BLEU-2 is one of real corpora, not of arithmetic: p_1 = 2/3, p_2 = 1/1.
    scores = corpus_bleu(["wrong", "lungs clear"], ["right", "lungs clear"])
    assert scores["bleu1"] == pytest.approx(2 / 3)
    assert scores["bleu2"] == pytest.approx(math.sqrt(2 / 3))


def test_hand_made_value() -> None:
    # 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, 0 of 1; four words for five: exp(1 - 5/4).
    scores = corpus_bleu(["a b c x"], ["a b c d e"])
    penalty = math.exp(1 - 5 / 4)
    expected = [0.75, math.sqrt(0.75 * 2 / 3), (0.75 * 2 / 3 * 0.5) ** (1 / 3), 0.0]
    assert list(scores.values()) == pytest.approx([penalty * value for value in expected])


def test_original_means_of_sentences_use_a_third_rounded_down() -> None:
    rows = sentence_bleu(bleu_statistics(["a b c x", "a b c d"], ["a b c d", "a b c d"]))
    first = math.exp(0.33 * (math.log(3 / 4) + math.log(2 / 3) + math.log(1 / 2)))
    assert rows[:, 2] == pytest.approx([first, 1.0])
    assert rows[:, 3] == pytest.approx([0.0, 1.0])


def test_smoothed_bleu_of_one_report_is_sacrebleus_add_one(corpus: Corpus) -> None:
    hypotheses = [clean_tokens(text) for text in corpus.generated[:50]]
    references = [clean_tokens(text) for text in corpus.test[:50]]
    scorer = BLEU(tokenize="none", smooth_method="add-k", smooth_value=1, force=True)
    expected = [
        scorer.corpus_score([left], [[right]]).score / 100
        for left, right in zip(hypotheses, references, strict=True)
    ]
    found = smoothed_bleu4(bleu_statistics(hypotheses, references))
    assert found == pytest.approx(expected)
    assert np.median(found) > 0


def test_empty_corpus_scores_zero() -> None:
    assert corpus_bleu([], []) == {"bleu1": 0.0, "bleu2": 0.0, "bleu3": 0.0, "bleu4": 0.0}
    assert bleu_statistics([], []).shape == (0, 10)
    assert not np.isnan(bleu_values(np.zeros(10))).any()


def test_unequal_lengths_and_single_texts_are_refused() -> None:
    with pytest.raises(DataError, match="2 hypotheses but 1 references"):
        corpus_bleu(["a", "b"], ["a"])
    with pytest.raises(DataError, match="lists of texts"):
        corpus_bleu("abc", "abc")


def test_signature_is_sacrebleus() -> None:
    signature = bleu_signature(tokenize="13a", lowercase=True)
    assert signature.startswith("nrefs:1|case:lc|eff:no|tok:13a|smooth:none|version:")
