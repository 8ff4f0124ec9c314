"""CIDEr of Vedantam et al. 2015, equations 1-3, as pycocoevalcap's `Cider` computes it.

That is the clipped form with the Gaussian length penalty (sigma 6), times 10, averaged over the
orders 1..4; document frequencies are counted in the references that are being scored, so a study's
value depends on the corpus it is in, and a corpus of one study scores 0. Where a few studies are
scored on their own, a `Corpus` gives the document frequencies instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from xray_report.metrics.bleu import MAX_ORDER, Ints, PairedCounts, count_pairs, number_ngrams
from xray_report.metrics.study_scores import Floats

SIGMA = 6.0
SCALE = 10.0


class Corpus:
    """In how many texts each n-gram of a corpus stands.

    Args:
        texts: references, space-separated tokens.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self.studies = len(texts)
        found: Counter[str] = Counter()
        for text in texts:
            words = text.split()
            found.update({gram for n in range(MAX_ORDER) for gram in _ngrams(words, n + 1)})
        # One that stands in a single text weighs as much as one that stands in none.
        self._frequency = {gram: times for gram, times in found.items() if times > 1}

    def rarities(self, texts: Sequence[str]) -> list[Floats]:
        """Log of studies / frequency of each distinct n-gram of `texts`, for orders 1..4 by id."""
        texts = list(dict.fromkeys(texts))  # a text that stands twice changes no id
        split = [text.split() for text in texts]
        rarities = []
        for order, (_, gram) in enumerate(number_ngrams(texts), 1):
            frequency = np.ones(int(gram.max(initial=0)) + 1, np.int64)
            frequency[gram] = [
                self._frequency.get(one, 1) for words in split for one in _ngrams(words, order)
            ]
            rarities.append(_rarity(self.studies, frequency))
        return rarities


def _ngrams(words: Sequence[str], order: int) -> Iterator[str]:
    return (" ".join(words[at : at + order]) for at in range(len(words) - order + 1))


def _rarity(studies: int, frequency: Ints) -> Floats:
    return np.asarray(np.log(max(studies, 1)) - np.log(np.maximum(frequency, 1)))


def cider(
    hypotheses: Sequence[str], references: Sequence[str], corpus: Corpus | None = None
) -> Floats:
    """CIDEr of each study, float64 [N], 0..10; the corpus score is the mean.

    Args:
        hypotheses, references: N texts each, in one order.
        corpus: gives the document frequencies; None for `references` themselves.

    Raises:
        DataError: the two lists differ in length.
    """
    counts = count_pairs(hypotheses, references)
    rarities = None if corpus is None else corpus.rarities([*hypotheses, *references])
    return cider_rows(counts, rarities)


def cider_rows(counts: Sequence[PairedCounts], rarities: Sequence[Floats] | None = None) -> Floats:
    """CIDEr of each study [N], from n-grams already counted.

    `rarities` are a `Corpus`'s for hypotheses and then references, or None for the references'.
    """
    if rarities is None:
        rarities = [
            _rarity(one.studies, np.bincount(one.references.gram, minlength=one.distinct))
            for one in counts
        ]
    similarity = np.mean([_cosine(*one) for one in zip(counts, rarities, strict=True)], axis=0)
    return np.asarray(SCALE * similarity * _length_penalty(counts[1]))


def _cosine(order: PairedCounts, rarity: Floats) -> Floats:
    """Clipped cosine of the two tf-idf vectors of one order, study by study."""
    left = order.hypotheses.times * rarity[order.hypotheses.gram]
    right = order.references.times * rarity[order.references.gram]
    shared_left, shared_right = order.shared
    clipped = np.minimum(left[shared_left], right[shared_right]) * right[shared_right]
    dot = np.bincount(order.hypotheses.text[shared_left], clipped, order.studies).astype(np.float64)
    norms = _norms(order.hypotheses.text, left, order.studies)
    norms = norms * _norms(order.references.text, right, order.studies)
    return np.divide(dot, norms, out=np.zeros(order.studies), where=norms != 0)


def _norms(text: Ints, weights: Floats, studies: int) -> Floats:
    return np.sqrt(np.bincount(text, weights**2, studies))


def _length_penalty(bigrams: PairedCounts) -> Floats:
    # The reference implementation measures a text's length in bigrams.
    left = np.bincount(bigrams.hypotheses.text, bigrams.hypotheses.times, bigrams.studies)
    right = np.bincount(bigrams.references.text, bigrams.references.times, bigrams.studies)
    return np.asarray(np.exp(-((left - right) ** 2) / (2 * SIGMA**2)))
