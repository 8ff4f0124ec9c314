"""CIDEr of Vedantam et al. 2015, equations 1-3, as pycocoevalcap's `Cider` computes it.

That is the clipped form with the Gaussian length penalty (sigma 6), times 10, averaged over the
orders 1..4; document frequencies are counted in the references that are being scored, so a study's
value depends on the corpus it stands in, and a corpus of one study scores 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xray_report.metrics.bleu import Ints, PairedCounts, count_pairs

SIGMA = 6.0
SCALE = 10.0


def cider(hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """CIDEr of each study, float64 [N], 0..10; the corpus score is the mean.

    Raises:
        DataError: the two lists differ in length.
    """
    return cider_rows(count_pairs(hypotheses, references))


def cider_rows(counts: Sequence[PairedCounts]) -> NDArray[np.float64]:
    """CIDEr of each study [N], from n-grams already counted."""
    similarity = np.mean([_cosine(order) for order in counts], axis=0)
    return np.asarray(SCALE * similarity * _length_penalty(counts[1]))


def _cosine(order: PairedCounts) -> NDArray[np.float64]:
    """Clipped cosine of the two tf-idf vectors of one order, study by study."""
    frequency = np.bincount(order.references.gram, minlength=order.distinct)
    rarity = np.log(max(order.studies, 1)) - np.log(np.maximum(frequency, 1))
    left = order.hypotheses.times * rarity[order.hypotheses.gram]
    right = order.references.times * rarity[order.references.gram]
    shared_left, shared_right = order.shared
    clipped = np.minimum(left[shared_left], right[shared_right]) * right[shared_right]
    dot = np.bincount(order.hypotheses.text[shared_left], clipped, order.studies).astype(np.float64)
    norms = _norm(order.hypotheses.text, left, order.studies) * _norm(
        order.references.text, right, order.studies
    )
    return np.divide(dot, norms, out=np.zeros(order.studies), where=norms != 0)


def _norm(text: Ints, weights: NDArray[np.float64], studies: int) -> NDArray[np.float64]:
    return np.sqrt(np.bincount(text, weights**2, studies))


def _length_penalty(bigrams: PairedCounts) -> NDArray[np.float64]:
    # The reference implementation measures a text's length in bigrams.
    left = np.bincount(bigrams.hypotheses.text, bigrams.hypotheses.times, bigrams.studies)
    right = np.bincount(bigrams.references.text, bigrams.references.times, bigrams.studies)
    return np.asarray(np.exp(-((left - right) ** 2) / (2 * SIGMA**2)))
