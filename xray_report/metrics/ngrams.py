"""Counting the n-grams of many pairs of texts at once; BLEU and CIDEr are both made of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xray_report.metrics.pairs import check_pairs

MAX_ORDER = 4
Ints = NDArray[np.int64]


class NgramCounts(NamedTuple):
    """How often each n-gram of one order stands in each text; one entry a (text, n-gram).

    Args:
        text: int64 [M] index of the text, ascending.
        gram: int64 [M] id of the n-gram, 0 .. distinct - 1.
        times: int64 [M] occurrences, at least 1.
    """

    text: Ints
    gram: Ints
    times: Ints


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


def count_ngrams(texts: Sequence[str], max_order: int = MAX_ORDER) -> list[NgramCounts]:
    """Counts of orders 1..max_order in texts of space-separated tokens."""
    tokens = [text.split() for text in texts]
    ids: dict[str, int] = {}
    flat = (ids.setdefault(token, len(ids)) for words in tokens for token in words)
    words = np.fromiter(flat, dtype=np.int64)
    owner = np.repeat(np.arange(len(texts)), [len(words) for words in tokens])
    start, gram = np.arange(len(words)), words
    counts = [_tally(owner, gram)]
    for order in range(2, max_order + 1):
        last = start + order - 1
        inside = last < len(words)
        inside[inside] = owner[last[inside]] == owner[start[inside]]
        start = start[inside]
        joined = gram[inside] * len(ids) + words[start + order - 1]
        gram = np.unique(joined, return_inverse=True)[1].astype(np.int64)
        counts.append(_tally(owner[start], gram))
    return counts


def _tally(text: Ints, gram: Ints) -> NgramCounts:
    distinct = int(gram.max(initial=0)) + 1
    keys, count = np.unique(text * distinct + gram, return_counts=True)
    return NgramCounts(keys // distinct, keys % distinct, count.astype(np.int64))


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
    border = int(np.searchsorted(counts.text, studies))
    left = NgramCounts(*(part[:border] for part in counts))
    right = NgramCounts(counts.text[border:] - studies, counts.gram[border:], counts.times[border:])
    _, in_left, in_right = np.intersect1d(
        left.text * distinct + left.gram,
        right.text * distinct + right.gram,
        assume_unique=True,
        return_indices=True,
    )
    return PairedCounts(left, right, (in_left, in_right), studies, distinct)
