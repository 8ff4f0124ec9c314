"""How far texts agree with others: the utilities of consensus decoding.

Of a study's few texts every one is held against every other, or others against them, so n-grams
and findings are counted once a text and the pairs are products of matrices. No utility looks
beyond these texts: a study's values do not depend on the studies beside it, as CIDEr's would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from xray_report.metrics.bleu import MAX_ORDER, NgramCounts, count_ngrams
from xray_report.metrics.cider import SIGMA
from xray_report.metrics.findings.labeller import label_reports, named_findings, read_facts
from xray_report.metrics.findings.lexicon import FACT_ATTRIBUTES
from xray_report.metrics.findings.negation import Assertion
from xray_report.metrics.findings.scores import positives
from xray_report.metrics.study_scores import Floats
from xray_report.text.facts import CHEXPERT_CLASSES


def agreement(
    texts: Sequence[str],
    weights: Mapping[str, float],
    beta: float = 1.0,
    references: Sequence[str] | None = None,
) -> Floats:
    """Weighted mean of utilities of each text against each reference, float64 [N, M], 0..1.

    Args:
        texts: N reports, cleaned: tokens with single spaces between them.
        weights: of some of `UTILITIES`, none negative, at least one above 0.
        beta: how many times as much recall of findings and facts counts as precision.
        references: M reports like them; None for the texts themselves.

    Returns:
        Row h, column r: text h held against reference r. A text agrees wholly (1) with itself, an
        empty one in words with no other.
    """
    references = texts if references is None else references
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items() if weight}
    orders: list[Order] = []
    if any(name in OF_NGRAMS for name in shares):
        orders = [
            _order(one, len(texts), len(references)) for one in count_ngrams([*texts, *references])
        ]
    values = np.zeros((len(texts), len(references)))
    for name, share in shares.items():
        if name in OF_NGRAMS:
            values += share * OF_NGRAMS[name](orders)
        else:
            held = OF_LABELS[name]([*texts, *references])
            values += share * f_beta(held[: len(texts)], held[len(texts) :], beta)
    ids = {text: number for number, text in enumerate(dict.fromkeys([*texts, *references]))}
    own, theirs = (np.array([ids[text] for text in some], int) for some in (texts, references))
    values[own[:, None] == theirs] = 1.0
    return values


class Order(NamedTuple):
    """N-grams of one order, the G that stand in any reference.

    Args:
        texts: [N, G], how often each text has each of them.
        references: [M, G], how often each reference has it.
        written: [N], n-grams of each text, also such as no reference has.
        norms: [N], root of the sum of the squared counts of a text, of all its n-grams.
    """

    texts: Floats
    references: Floats
    written: Floats
    norms: Floats


def _order(counts: NgramCounts, texts: int, references: int) -> Order:
    """The order of `counts`: those of so many texts, and of so many references after them."""
    own, theirs = counts.split(texts)
    known = np.unique(theirs.gram)
    column = np.full(int(counts.gram.max(initial=-1)) + 1, -1)  # -1: in no reference
    column[known] = np.arange(len(known))
    held = np.zeros((references, len(known)))
    held[theirs.text, column[theirs.gram]] = theirs.times
    shared = column[own.gram] >= 0
    table = np.zeros((texts, len(known)))
    table[own.text[shared], column[own.gram[shared]]] = own.times[shared]
    times = own.times.astype(np.float64)
    written = np.bincount(own.text, times, texts).astype(np.float64)
    norms = np.sqrt(np.bincount(own.text, times**2, texts))
    return Order(table, held, written, norms)


def _ratio(part: Floats, whole: Floats, otherwise: float) -> Floats:
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, otherwise), where=whole > 0))


# Of n-grams.


def bleu(orders: Sequence[Order]) -> Floats:
    """Sentence BLEU-4 [N, M], all precisions but that of words with one added above and below.

    Lin and Och 2004, "ORANGE", section 4: sacrebleu's `add-k` with k = 1.

    Args:
        orders: 1..4.
    """
    log_precision = np.zeros((len(orders[0].texts), len(orders[0].references)))
    for number, order in enumerate(orders):
        added = float(number > 0)
        with np.errstate(divide="ignore"):
            log_precision += np.log(
                _ratio(_clipped(order) + added, order.written[:, None] + added, 0.0)
            )
    shortness = 1.0 - _ratio(orders[0].references.sum(1), orders[0].written[:, None], np.inf)
    return np.asarray(np.exp(log_precision / MAX_ORDER + np.minimum(0.0, shortness)))


def _clipped(order: Order) -> Floats:
    """Sums over n-grams of the smaller of a text's and a reference's counts, [N, M].

    The smaller of two counts is the number of t = 1, 2, ... that both reach.
    """
    matches = np.zeros((len(order.texts), len(order.references)))
    for times in range(1, int(order.references.max(initial=0)) + 1):
        often = (order.references >= times).any(0)
        texts, references = order.texts[:, often] >= times, order.references[:, often] >= times
        matches += texts.astype(np.float64) @ references.T.astype(np.float64)
    return matches


def ngrams(orders: Sequence[Order]) -> Floats:
    """CIDEr without its document frequencies: cosine of n-gram counts, mean of orders 1..4.

    With CIDEr-D's Gaussian penalty of lengths that differ (Vedantam et al. 2015, section 5), in
    words. [N, M].

    Args:
        orders: 1..4.
    """
    cosines = []
    for order in orders:
        norms = np.sqrt((order.references**2).sum(1))
        cosines.append(_ratio(order.texts @ order.references.T, order.norms[:, None] * norms, 0.0))
    apart = orders[0].written[:, None] - orders[0].references.sum(1)
    return np.asarray(np.mean(cosines, axis=0) * np.exp(-(apart**2) / (2 * SIGMA**2)))


OF_NGRAMS: Final[Mapping[str, Callable[[Sequence[Order]], Floats]]] = {
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


def f_beta(held: Floats, references: Floats, beta: float) -> Floats:
    """F-beta of rows `held` [N, K] against `references` [M, K]: [N, M]; two empty ones agree: 1."""
    square = beta**2
    whole = held.sum(1)[:, None] + square * references.sum(1)
    return _ratio((1 + square) * held @ references.T, whole, 1.0)


# Against what a classifier sees.


def in_reports(label: str) -> bool:
    """Whether a text can be read for `label`: a class of CheXpert, or as of `named_findings`.

    Labels of other collections ("Infiltration") cannot: no text is known to state or deny them.
    """
    return label in CHEXPERT_CLASSES or label.partition("|")[0] in FACT_ATTRIBUTES


def stated(texts: Sequence[str], labels: Sequence[str]) -> Floats:
    """Which of the K labels each text states for certain, [N, K] of 0 and 1; see `in_reports`."""
    rows = []
    for text, classes in zip(texts, label_reports(texts), strict=True):
        there = {name for name, said in classes.items() if said is Assertion.PRESENT}
        there |= named_findings(text)
        rows.append([label in there for label in labels])
    return np.array(rows, dtype=np.float64).reshape(len(texts), len(labels))


UTILITIES: Final = (*OF_NGRAMS, *OF_LABELS)
"""Names of the utilities."""
