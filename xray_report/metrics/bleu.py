"""BLEU of Papineni et al. 2002 ("BLEU: a method for automatic evaluation"), by sacrebleu.

BLEU-n = BP * exp(mean of log p_1 .. log p_n): cumulative, unsmoothed, 0 where a precision is 0.
`corpus_bleu` is sacrebleu itself; the per-study statistics that intervals need are counted here
and agree with it exactly. Texts are space-separated tokens unless a tokenizer is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU, BLEUScore

from xray_report.metrics.ngrams import MAX_ORDER, PairedCounts, count_pairs
from xray_report.metrics.pairs import check_pairs

BLEU_KEYS = tuple(f"bleu{order}" for order in range(1, MAX_ORDER + 1))

EQUAL_WEIGHTS = tuple(tuple([1 / order] * order) for order in range(1, MAX_ORDER + 1))
"""Weights of log p_1..p_n in BLEU-n."""

ORIGINAL_WEIGHTS = ((1.0,), (0.5, 0.5), (0.33, 0.33, 0.33), (0.25, 0.25, 0.25, 0.25))
"""The weights of the Keras project: its BLEU-3 uses .33, not 1/3."""


@lru_cache(maxsize=8)
def _scorer(tokenize: str, lowercase: bool) -> BLEU:
    return BLEU(
        tokenize=tokenize,
        smooth_method="none",
        effective_order=False,
        lowercase=lowercase,
        force=True,
    )


def corpus_bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    tokenize: str = "none",
    lowercase: bool = False,
) -> dict[str, float]:
    """BLEU-1..4 of a corpus with one reference a study, as fractions.

    Args:
        hypotheses: N texts; an empty one counts as zero words.
        references: N texts, in the same order.
        tokenize: a tokenizer of sacrebleu's; `none` splits at spaces.
        lowercase: whether sacrebleu lower-cases both sides first.

    Returns:
        `bleu1` .. `bleu4`, each 0..1; all 0 for an empty corpus.

    Raises:
        DataError: the two lists differ in length.
    """
    check_pairs(hypotheses, references)
    if not hypotheses:
        return dict.fromkeys(BLEU_KEYS, 0.0)
    scorer = _scorer(tokenize, lowercase)
    result = scorer.corpus_score(list(hypotheses), [list(references)])
    return dict(zip(BLEU_KEYS, bleu_values(_row(result)).tolist(), strict=True))


def bleu_signature(*, tokenize: str, lowercase: bool) -> str:
    """Sacrebleu's signature of the scorer that `corpus_bleu` uses with these options."""
    scorer = _scorer(tokenize, lowercase)
    scorer.corpus_score(["a"], [["a"]])  # sacrebleu learns the number of references by scoring
    return str(scorer.get_signature())


def bleu_statistics(
    hypotheses: Sequence[str],
    references: Sequence[str],
) -> NDArray[np.float64]:
    """Sufficient statistics of each study: their sum over studies gives the corpus score.

    Returns:
        [N, 10]: hypothesis length, reference length, matches of orders 1..4, n-grams 1..4.

    Raises:
        DataError: the two lists differ in length.
    """
    return bleu_rows(count_pairs(hypotheses, references))


def bleu_rows(counts: Sequence[PairedCounts]) -> NDArray[np.float64]:
    """The statistics [N, 10] of `bleu_statistics`, from n-grams already counted."""
    studies = counts[0].studies
    matches, totals = [], []
    for order in counts:
        left, right = order.shared
        clipped = np.minimum(order.hypotheses.times[left], order.references.times[right])
        matches.append(np.bincount(order.hypotheses.text[left], clipped, studies))
        totals.append(np.bincount(order.hypotheses.text, order.hypotheses.times, studies))
    words = np.bincount(counts[0].references.text, counts[0].references.times, studies)
    rows = [totals[0], words, *matches, *totals]
    return np.stack(rows, axis=-1).astype(np.float64)


def _row(score: BLEUScore) -> NDArray[np.float64]:
    counts = [score.sys_len, score.ref_len, *score.counts, *score.totals]
    return np.array(counts, dtype=np.float64)


def bleu_values(
    statistics: NDArray[np.float64],
    weights: Sequence[Sequence[float]] = EQUAL_WEIGHTS,
) -> NDArray[np.float64]:
    """BLEU-1..4 from statistics [..., 10] (see `bleu_statistics`), as an array [..., 4]."""
    hypothesis_length, reference_length = statistics[..., 0], statistics[..., 1]
    matches = statistics[..., 2 : 2 + MAX_ORDER]
    totals = statistics[..., 2 + MAX_ORDER :]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_precision = np.where(matches > 0, np.log(matches / totals), -np.inf)
        log_penalty = np.minimum(0.0, 1.0 - reference_length / hypothesis_length)
    penalty = np.where(hypothesis_length > 0, np.exp(log_penalty), 0.0)
    orders = [
        np.exp((log_precision[..., : len(weight)] * np.array(weight)).sum(axis=-1))
        for weight in weights
    ]
    return np.asarray(np.stack(orders, axis=-1) * penalty[..., None])


def sentence_bleu(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """BLEU-1..4 of each study [N, 4] with the Keras project's weights, from statistics [N, 10].

    Their means over studies are the numbers that the `original` protocol reports.
    """
    return bleu_values(statistics, ORIGINAL_WEIGHTS)
