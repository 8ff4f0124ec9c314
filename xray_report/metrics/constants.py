"""The best constant report: the one training report that scores best when given to everybody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xray_report.errors import DataError
from xray_report.metrics.bleu import bleu_values
from xray_report.metrics.ngrams import MAX_ORDER, NgramCounts, count_ngrams
from xray_report.metrics.preparation import clean
from xray_report.metrics.study_scores import Floats


def constant_scores(candidates: Sequence[str], references: Sequence[str]) -> Floats:
    """Clean corpus BLEU-4 [C] that each candidate reaches as the report of every reference.

    Exact, and without scoring C * N pairs: the clipped matches of an n-gram that stands m times
    in a candidate are the sum over references of min(m, times there), read from a table.
    """
    studies = len(references)
    orders = count_ngrams([clean(text) for text in [*references, *candidates]])
    matches = np.empty((len(candidates), MAX_ORDER))
    totals = np.empty((len(candidates), MAX_ORDER))
    words = 0
    for index, counts in enumerate(orders):
        border = int(np.searchsorted(counts.text, studies))
        there, here = _halves(counts, border, studies)
        words = words or int(there.times.sum())
        table = _clipped_table(there, here)
        found = table[here.times, here.gram]
        matches[:, index] = np.bincount(here.text, found, len(candidates))
        totals[:, index] = np.bincount(here.text, here.times, len(candidates)) * studies
    lengths = np.stack([totals[:, 0], np.full(len(candidates), float(words))], axis=-1)
    return bleu_values(np.concatenate([lengths, matches, totals], axis=-1))[:, -1]


def _halves(counts: NgramCounts, border: int, studies: int) -> tuple[NgramCounts, NgramCounts]:
    first = NgramCounts(*(part[:border] for part in counts))
    rest = NgramCounts(counts.text[border:] - studies, counts.gram[border:], counts.times[border:])
    return first, rest


def _clipped_table(references: NgramCounts, candidates: NgramCounts) -> Floats:
    """Entry [m, g]: sum over references of min(m, times of n-gram g there)."""
    most = int(candidates.times.max(initial=0))
    grams = int(max(references.gram.max(initial=0), candidates.gram.max(initial=0))) + 1
    table = np.zeros((most + 1, grams))
    for times in range(1, most + 1):
        table[times] = np.bincount(references.gram[references.times >= times], minlength=grams)
    return np.asarray(table.cumsum(axis=0))


def best_constant(train_texts: Sequence[str], validation_texts: Sequence[str]) -> str:
    """The training report with the best clean BLEU-4 on validation; ties go to the first.

    Raises:
        DataError: no training or no validation reports.
    """
    if not train_texts or not validation_texts:
        raise DataError("the best constant report needs training and validation reports, got none")
    candidates = list({clean(text): text for text in reversed(train_texts)}.values())[::-1]
    return candidates[int(constant_scores(candidates, validation_texts).argmax())]
