"""How far each text of a few agrees with each other one: the utilities of consensus decoding.

Of each study's few texts every one is held against every other, so n-grams and findings are
counted once a text and the pairs are products of matrices. No utility looks beyond these texts: a
study's values do not depend on the studies beside it, as CIDEr's would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from xray_report.metrics.bleu import MAX_ORDER, NgramCounts, count_ngrams
from xray_report.metrics.cider import SIGMA
from xray_report.metrics.findings.labeller import label_reports, read_facts
from xray_report.metrics.findings.scores import positives
from xray_report.metrics.study_scores import Floats


def agreement(texts: Sequence[str], weights: Mapping[str, float], beta: float = 1.0) -> Floats:
    """Weighted mean of utilities of each text against each, float64 [N, N], 0..1.

    Args:
        texts: N reports, cleaned: tokens with single spaces between them.
        weights: of some of `UTILITIES`, none negative, at least one above 0.
        beta: how many times as much recall of findings and facts counts as precision.

    Returns:
        Row h, column r: the text h held against r as its reference. A text agrees wholly (1) with
        itself, an empty one in words with no other.
    """
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items() if weight}
    counts: list[Floats] = []
    if any(name in OF_NGRAMS for name in shares):
        counts = [_dense(one, len(texts)) for one in count_ngrams(texts)]
    values = np.zeros((len(texts), len(texts)))
    for name, share in shares.items():
        if name in OF_NGRAMS:
            values += share * OF_NGRAMS[name](counts)
        else:
            values += share * _f_beta(OF_LABELS[name](texts), beta)
    np.fill_diagonal(values, 1.0)
    return values


def _dense(counts: NgramCounts, texts: int) -> Floats:
    """[N, G] occurrences of each n-gram of one order in each text."""
    table = np.zeros((texts, int(counts.gram.max(initial=0)) + 1))
    table[counts.text, counts.gram] = counts.times
    return table


def _ratio(part: Floats, whole: Floats, otherwise: float) -> Floats:
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, otherwise), where=whole > 0))


# Of n-grams.


def bleu(counts: Sequence[Floats]) -> Floats:
    """Sentence BLEU-4 [N, N], all precisions but that of words with one added above and below.

    Lin and Och 2004, "ORANGE", section 4: sacrebleu's `add-k` with k = 1.

    Args:
        counts: [N, G] for each order 1..4.
    """
    log_precision = np.zeros((len(counts[0]),) * 2)
    for order, table in enumerate(counts):
        added = float(order > 0)
        written = table.sum(1, keepdims=True)
        with np.errstate(divide="ignore"):
            log_precision += np.log(_ratio(_clipped(table) + added, written + added, 0.0))
    words = counts[0].sum(1)
    shortness = 1.0 - _ratio(words, words[:, None], np.inf)
    return np.asarray(np.exp(log_precision / MAX_ORDER + np.minimum(0.0, shortness)))


def _clipped(table: Floats) -> Floats:
    """Sums over n-grams of the smaller of two texts' counts, [N, N].

    The smaller of two counts is the number of t = 1, 2, ... that both reach.
    """
    matches = np.zeros((len(table),) * 2)
    for times in range(1, int(table.max(initial=0)) + 1):
        reached = table[:, (table >= times).any(0)] >= times
        matches += reached.astype(np.float64) @ reached.T.astype(np.float64)
    return matches


def ngrams(counts: Sequence[Floats]) -> Floats:
    """CIDEr without its document frequencies: cosine of n-gram counts, mean of orders 1..4.

    With CIDEr-D's Gaussian penalty of lengths that differ (Vedantam et al. 2015, section 5), in
    words. [N, N], symmetric.

    Args:
        counts: [N, G] for each order 1..4.
    """
    cosines = []
    for table in counts:
        norm = np.sqrt((table**2).sum(1))
        cosines.append(_ratio(table @ table.T, norm[:, None] * norm, 0.0))
    words = counts[0].sum(1)
    return np.asarray(
        np.mean(cosines, axis=0) * np.exp(-((words[:, None] - words) ** 2) / (2 * SIGMA**2))
    )


OF_NGRAMS: Final[Mapping[str, Callable[[Sequence[Floats]], Floats]]] = {
    "bleu": bleu,
    "ngrams": ngrams,
}


# Of what the labeller reads.


def findings(texts: Sequence[str]) -> Floats:
    """Which of the 14 CheXpert classes each text has for certain, [N, 14] of 0 and 1."""
    return positives(label_reports(texts)).astype(np.float64)


def facts(texts: Sequence[str]) -> Floats:
    """Which of all facts (finding, side, zone and size) each text states, [N, F] of 0 and 1."""
    stated = [read_facts(text) for text in texts]
    every = list(frozenset().union(*stated))
    return np.array([[one in own for one in every] for own in stated], dtype=np.float64)


OF_LABELS: Final[Mapping[str, Callable[[Sequence[str]], Floats]]] = {
    "findings": findings,
    "facts": facts,
}


def _f_beta(held: Floats, beta: float) -> Floats:
    """F-beta of each row of `held` [N, M] against each, [N, N]; two empty ones agree: 1."""
    own, square = held.sum(1), beta**2
    return _ratio((1 + square) * held @ held.T, own[:, None] + square * own, 1.0)


UTILITIES: Final = (*OF_NGRAMS, *OF_LABELS)
"""Names of the utilities."""
