from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text.rouge import rouge_score

from tests.metrics.conftest import Corpus
from tests.metrics.corpora import DEGENERATE, pairs, quick, split, texts
from xray_report.metrics.cider import Corpus as Frequencies
from xray_report.metrics.cider import cider
from xray_report.metrics.protocols import clean_tokens
from xray_report.metrics.rouge import common_subsequence, rouge_l


def by_coco(name: str, scorer: str, hypotheses: list[str], references: list[str]) -> Any:
    module = pytest.importorskip(f"pycocoevalcap.{name}", reason="pycocoevalcap is not installed")
    truth = {i: [text] for i, text in enumerate(references)}
    generated = {i: [text] for i, text in enumerate(hypotheses)}
    return getattr(module, scorer)().compute_score(truth, generated)[1]


def rouge_by_coco(hypotheses: list[str], references: list[str]) -> Any:
    return by_coco("rouge.rouge", "Rouge", hypotheses, references)


def cider_by_coco(hypotheses: list[str], references: list[str]) -> Any:
    return by_coco("cider.cider", "Cider", hypotheses, references)


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_corpora_agree_with_pycocoevalcap(name: str) -> None:
    hypotheses, references = DEGENERATE[name]
    assert rouge_l(hypotheses, references) == pytest.approx(rouge_by_coco(hypotheses, references))
    if name != "both empty":  # pycocoevalcap fails on a corpus without any n-gram
        assert cider(hypotheses, references) == pytest.approx(cider_by_coco(hypotheses, references))


def test_reports_agree_with_pycocoevalcap(corpus: Corpus) -> None:
    hypotheses, references = [
        [clean_tokens(t) for t in side] for side in (corpus.generated, corpus.test)
    ]
    assert rouge_l(hypotheses, references) == pytest.approx(
        rouge_by_coco(hypotheses, references), abs=1e-9
    )
    assert cider(hypotheses, references) == pytest.approx(
        cider_by_coco(hypotheses, references), abs=1e-9
    )


@quick
@given(pairs)
def test_random_corpora_agree_with_pycocoevalcap(rows: list[tuple[str, str]]) -> None:
    hypotheses, references = split(rows)
    assert rouge_l(hypotheses, references) == pytest.approx(rouge_by_coco(hypotheses, references))
    if any(references):
        assert cider(hypotheses, references) == pytest.approx(cider_by_coco(hypotheses, references))


def test_a_corpus_scores_a_few_studies_as_among_all(corpus: Corpus) -> None:
    hypotheses, references = [
        [clean_tokens(t) for t in side] for side in (corpus.generated, corpus.test)
    ]
    everyone, known = cider(hypotheses, references), Frequencies(references)
    some = [7, 3, 3, 11]
    few = [[side[n] for n in some] for side in (hypotheses, references)]
    assert cider(*few, known) == pytest.approx(everyone[some])
    assert cider(*few) != pytest.approx(everyone[some])


def test_words_that_a_corpus_lacks_are_the_rarest() -> None:
    known = Frequencies(["lungs clear .", "lungs clear .", "heart large ."])
    same = ["nodule here"]
    assert cider(same, same, known) == pytest.approx([10 / 2])  # of orders 1 and 2, not 3 and 4
    assert cider(["lungs clear"], ["lungs clear"], Frequencies(["lungs clear"] * 3)) == [0.0]


@quick
@given(pairs)
def test_a_corpus_of_the_references_changes_nothing(rows: list[tuple[str, str]]) -> None:
    hypotheses, references = split(rows)
    known = Frequencies(references)
    assert cider(hypotheses, references, known) == pytest.approx(cider(hypotheses, references))


def test_rouge_with_beta_one_agrees_with_torchmetrics(corpus: Corpus) -> None:
    # Its tokenizer keeps letters and digits only, so give it words only.
    hypotheses = [clean_tokens(t).replace(" .", "") or "none" for t in corpus.generated[:100]]
    references = [clean_tokens(t).replace(" .", "") for t in corpus.test[:100]]
    found = rouge_score(hypotheses, references, rouge_keys="rougeL")["rougeL_fmeasure"]
    assert rouge_l(hypotheses, references, beta=1.0).mean() == pytest.approx(float(found), abs=1e-6)


def subsequence_by_table(left: list[str], right: list[str]) -> int:
    table = np.zeros((len(left) + 1, len(right) + 1), dtype=int)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1, j + 1] = (
                table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
            )
    return int(table[-1, -1])


@quick
@given(st.lists(st.sampled_from("abc"), max_size=80), st.lists(st.sampled_from("abc"), max_size=80))
def test_common_subsequence_equals_the_table(left: list[str], right: list[str]) -> None:
    assert common_subsequence(left, right) == subsequence_by_table(left, right)


@quick
@given(st.lists(texts, min_size=1, max_size=6))
def test_identity_scores_one_rouge(reports: list[str]) -> None:
    assert rouge_l(reports, reports) == pytest.approx(np.ones(len(reports)))


def test_identity_of_distinct_reports_scores_ten_cider() -> None:
    reports = [
        "the heart is normal",
        "small left pleural effusion",
        "no focal airspace disease here",
    ]
    assert cider(reports, reports) == pytest.approx([10.0] * 3)


@quick
@given(pairs)
def test_order_of_studies_changes_nothing(rows: list[tuple[str, str]]) -> None:
    forwards, backwards = split(rows), split(rows[::-1])
    assert rouge_l(*forwards)[::-1] == pytest.approx(rouge_l(*backwards))
    assert cider(*forwards)[::-1] == pytest.approx(cider(*backwards))


def test_empty_corpus() -> None:
    assert rouge_l([], []).shape == cider([], []).shape == (0,)
