"""BLEU-1..4 (Papineni et al. 2002, "BLEU: a method for automatic evaluation"), by sacrebleu.

BLEU-n = BP * exp(mean of log p_1 .. log p_n): cumulative, unsmoothed, 0 where a precision is 0.
`corpus_bleu` is sacrebleu itself; the per-study statistics that intervals need are computed from
n-grams counted here for many texts at once, and agree with it exactly. Texts are space-separated
tokens unless a tokenizer is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU

from xray_report.metrics.study_scores import Floats, check_pairs

Ints = NDArray[np.int64]

MAX_ORDER = 4
BLEU_KEYS = tuple(f"bleu{order}" for order in range(1, MAX_ORDER + 1))

EQUAL_WEIGHTS = tuple(tuple([1 / order] * order) for order in range(1, MAX_ORDER + 1))
"""Weights of log p_1..p_n in BLEU-n."""

ORIGINAL_WEIGHTS = ((1.0,), (0.5, 0.5), (0.33, 0.33, 0.33), (0.25, 0.25, 0.25, 0.25))
"""The weights of the Keras project: its BLEU-3 uses .33, not 1/3."""


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
    result = _scorer(tokenize, lowercase).corpus_score(list(hypotheses), [list(references)])
    statistics = [result.sys_len, result.ref_len, *result.counts, *result.totals]
    values = bleu_values(np.array(statistics, dtype=np.float64))
    return dict(zip(BLEU_KEYS, values.tolist(), strict=True))


@lru_cache(maxsize=8)
def _scorer(tokenize: str, lowercase: bool) -> BLEU:
    return BLEU(
        tokenize=tokenize,
        smooth_method="none",
        effective_order=False,
        lowercase=lowercase,
        force=True,
    )


def bleu_signature(*, tokenize: str, lowercase: bool) -> str:
    """Sacrebleu's signature of the scorer that `corpus_bleu` uses with these options."""
    scorer = _scorer(tokenize, lowercase)
    scorer.corpus_score(["a"], [["a"]])  # sacrebleu learns the number of references by scoring
    return str(scorer.get_signature())


# From statistics to scores.


def bleu_values(statistics: Floats, weights: Sequence[Sequence[float]] = EQUAL_WEIGHTS) -> Floats:
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


def sentence_bleu(statistics: Floats) -> Floats:
    """BLEU-1..4 of each study [N, 4] with the Keras project's weights, from statistics [N, 10].

    Their means over studies are the numbers that the `original` protocol reports.
    """
    return bleu_values(statistics, ORIGINAL_WEIGHTS)


def smoothed_bleu4(statistics: Floats) -> Floats:
    """BLEU-4 of each study [N], 0..1, that tells texts apart which share no four words.

    One is added to matches and totals of orders 2 to 4 (Lin and Och 2004, "ORANGE", section 4),
    sacrebleu's `add-k` with k = 1. Statistics as of `bleu_statistics`.
    """
    smoothed = statistics.copy()
    smoothed[..., 3 : 2 + MAX_ORDER] += 1
    smoothed[..., 3 + MAX_ORDER :] += 1
    return np.asarray(bleu_values(smoothed)[..., -1])


def bleu_statistics(hypotheses: Sequence[str], references: Sequence[str]) -> Floats:
    """Sufficient statistics of each study: their sum over studies gives the corpus score.

    Returns:
        [N, 10]: hypothesis length, reference length, matches of orders 1..4, n-grams 1..4.

    Raises:
        DataError: the two lists differ in length.
    """
    return bleu_rows(count_pairs(hypotheses, references))


def bleu_rows(counts: Sequence[PairedCounts]) -> Floats:
    """The statistics [N, 10] of `bleu_statistics`, from n-grams already counted."""
    studies = counts[0].studies
    matches, totals = [], []
    for order in counts:
        left, right = order.shared
        clipped = np.minimum(order.hypotheses.times[left], order.references.times[right])
        matches.append(np.bincount(order.hypotheses.text[left], clipped, studies))
        totals.append(np.bincount(order.hypotheses.text, order.hypotheses.times, studies))
    words = np.bincount(counts[0].references.text, counts[0].references.times, studies)
    return np.stack([totals[0], words, *matches, *totals], axis=-1).astype(np.float64)


# Counting n-grams.


class NgramCounts(NamedTuple):
    """How often each n-gram of one order occurs in each text; one entry a (text, n-gram).

    Args:
        text: int64 [M] index of the text, ascending.
        gram: int64 [M] id of the n-gram, 0 .. distinct - 1.
        times: int64 [M] occurrences, at least 1.
    """

    text: Ints
    gram: Ints
    times: Ints

    def split(self, texts: int) -> tuple[NgramCounts, NgramCounts]:
        """Counts of the first `texts` texts, and of the rest, numbered from 0 again."""
        border = int(np.searchsorted(self.text, texts))
        text, gram, times = (part[border:] for part in self)
        first = NgramCounts(*(part[:border] for part in self))
        return first, NgramCounts(text - texts, gram, times)


class PairedCounts(NamedTuple):
    """Counts of one order for N hypotheses and their N references, with common n-gram ids.

    Args:
        hypotheses, references: counts of either side, text 0 .. N - 1.
        shared: two int64 arrays, rows of `hypotheses` and of `references` that are the same
            n-gram of the same study.
        studies, distinct: N and the number of distinct n-grams on both sides.
    """

    hypotheses: NgramCounts
    references: NgramCounts
    shared: tuple[Ints, Ints]
    studies: int
    distinct: int


def count_pairs(hypotheses: Sequence[str], references: Sequence[str]) -> list[PairedCounts]:
    """Counts of orders 1..4 on both sides of a corpus with one reference a study.

    Raises:
        DataError: the two lists differ in length.
    """
    check_pairs(hypotheses, references)
    studies = len(hypotheses)
    return [_pair(counts, studies) for counts in count_ngrams([*hypotheses, *references])]


def _pair(counts: NgramCounts, studies: int) -> PairedCounts:
    distinct = int(counts.gram.max(initial=0)) + 1
    left, right = counts.split(studies)
    _, in_left, in_right = np.intersect1d(
        left.text * distinct + left.gram,
        right.text * distinct + right.gram,
        assume_unique=True,
        return_indices=True,
    )
    return PairedCounts(left, right, (in_left, in_right), studies, distinct)


def count_ngrams(texts: Sequence[str], max_order: int = MAX_ORDER) -> list[NgramCounts]:
    """Counts of orders 1..max_order in texts of space-separated tokens."""
    return [_tally(owner, gram) for owner, gram in number_ngrams(texts, max_order)]


def number_ngrams(texts: Sequence[str], max_order: int = MAX_ORDER) -> list[tuple[Ints, Ints]]:
    """Text and id of each occurrence of an n-gram, for orders 1..max_order.

    Occurrences stand in the order of the texts, and in them of their places; ids as of
    `NgramCounts`.
    """
    tokens = [text.split() for text in texts]
    ids: dict[str, int] = {}
    flat = (ids.setdefault(token, len(ids)) for words in tokens for token in words)
    words = np.fromiter(flat, dtype=np.int64)
    owner = np.repeat(np.arange(len(texts)), [len(words) for words in tokens])
    start, gram = np.arange(len(words)), words
    numbered = [(owner, gram)]
    for order in range(2, max_order + 1):
        last = start + order - 1
        inside = last < len(words)
        inside[inside] = owner[last[inside]] == owner[start[inside]]
        start = start[inside]
        joined = gram[inside] * len(ids) + words[start + order - 1]
        gram = np.unique(joined, return_inverse=True)[1].astype(np.int64)
        numbered.append((owner[start], gram))
    return numbered


def _tally(text: Ints, gram: Ints) -> NgramCounts:
    distinct = int(gram.max(initial=0)) + 1
    keys, count = np.unique(text * distinct + gram, return_counts=True)
    return NgramCounts(keys // distinct, keys % distinct, count.astype(np.int64))
