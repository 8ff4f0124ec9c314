"""Reports written without looking at the image, or by looking up another study's report.

Whoever claims to read images must beat them in the same table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xray_report.errors import DataError
from xray_report.metrics.bleu import MAX_ORDER, NgramCounts, bleu_values, count_ngrams
from xray_report.metrics.protocols import clean
from xray_report.metrics.study_scores import Floats

SEED = 7
_ROWS = 256


def most_frequent_report(train_texts: Sequence[str]) -> str:
    """The training report that stands most often after cleaning; ties go to the first.

    Raises:
        DataError: no training reports.
    """
    if not train_texts:
        raise DataError("the most frequent report needs training reports, got none")
    first = {clean(text): text for text in reversed(train_texts)}
    return first[Counter(clean(text) for text in train_texts).most_common(1)[0][0]]


def random_reports(train_texts: Sequence[str], studies: int, seed: int = SEED) -> list[str]:
    """A training report drawn at random (with replacement) for each study."""
    if not train_texts:
        raise DataError("random reports need training reports, got none")
    picks = np.random.default_rng(seed).integers(len(train_texts), size=studies)
    return [train_texts[pick] for pick in picks]


def nearest_reports(
    train_features: NDArray[np.floating],
    train_texts: Sequence[str],
    features: NDArray[np.floating],
    own: Sequence[int | None] | None = None,
) -> list[str]:
    """The report of the training study with the most similar encoder features (cosine).

    Args:
        train_features: float [M, D], one pooled vector a training study.
        train_texts: their M reports.
        features: float [N, D].
        own: row in `train_features` of each of the N itself, which is passed over; None where it
            is no training study.

    Raises:
        DataError: shapes that do not fit, or no training studies.
    """
    if len(train_features) != len(train_texts) or not train_texts:
        raise DataError(f"{len(train_features)} feature rows for {len(train_texts)} reports")
    if train_features.shape[1:] != features.shape[1:] or features.ndim != 2:
        raise DataError(
            f"features {features.shape} do not fit those of train {train_features.shape}"
        )
    known = _unit(train_features)
    picks: list[int] = []
    for start in range(0, len(features), _ROWS):
        similarity = _unit(features[start : start + _ROWS]) @ known.T
        for row, place in enumerate(own[start : start + _ROWS] if own else ()):
            if place is not None:
                similarity[row, place] = -np.inf
        picks.extend(similarity.argmax(axis=1).tolist())
    return [train_texts[pick] for pick in picks]


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    rows = rows.astype(np.float32)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, 1e-12), dtype=np.float32)


def two_constants(
    train_texts: Sequence[str],
    train_abnormal: Sequence[bool],
    validation_texts: Sequence[str],
    validation_abnormal: Sequence[bool],
    predicted_abnormal: Sequence[bool],
) -> list[str]:
    """One constant for studies a classifier calls normal, one for those it calls abnormal.

    Each is the best constant of its kind: chosen among the training reports of that kind on the
    validation reports of that kind, or among all where a kind is missing.
    """
    constants: dict[bool, str] = {}
    for kind in (False, True):
        train = _of_kind(train_texts, train_abnormal, kind)
        validation = _of_kind(validation_texts, validation_abnormal, kind)
        constants[kind] = best_constant(train or train_texts, validation or validation_texts)
    return [constants[bool(flag)] for flag in predicted_abnormal]


def _of_kind(texts: Sequence[str], abnormal: Sequence[bool], kind: bool) -> list[str]:
    if len(texts) != len(abnormal):
        raise DataError(f"{len(abnormal)} normal/abnormal flags for {len(texts)} reports")
    return [text for text, flag in zip(texts, abnormal, strict=True) if bool(flag) is kind]


def text_baselines(
    train_texts: Sequence[str], validation_texts: Sequence[str], studies: int
) -> dict[str, list[str]]:
    """The baselines that need texts only, N reports each: `constant`, `most_frequent`, `random`."""
    return {
        "constant": [best_constant(train_texts, validation_texts)] * studies,
        "most_frequent": [most_frequent_report(train_texts)] * studies,
        "random": random_reports(train_texts, studies),
    }


# ------------------------------------------------------------------------------
# The best constant report: the one training report that scores best when given to everybody.


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
