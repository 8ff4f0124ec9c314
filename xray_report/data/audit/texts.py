"""Lengths, vocabulary and word vectors of reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from xray_report.data.study import SPLITS, Study
from xray_report.data.target import report_text
from xray_report.text.cleaning import Cleaner
from xray_report.text.vectors import load_vectors
from xray_report.text.vocabulary import Vocabulary


def audit_texts(studies: Sequence[Study], target: str, vectors: str) -> dict[str, Any]:
    """Counts of the cleaned `target` texts: present, emptied by cleaning, lengths, vocabulary.

    Lengths are in words without full stops. The vocabulary is that of train; coverage is the
    share of its words, and of all its occurrences, that `vectors` has.
    """
    clean = Cleaner()
    texts = {study.study_id: report_text(study, target) for study in studies}
    cleaned = {name: clean(text) for name, text in texts.items() if text}
    sides: dict[str, list[str]] = {split: [] for split in SPLITS}
    for study in studies:
        if study.split and cleaned.get(study.study_id):
            sides[study.split].append(cleaned[study.study_id])
    return {
        "target": target,
        "studies without it": len(studies) - len(cleaned),
        "nothing left after cleaning": sum(not text for text in cleaned.values()),
        "words": _lengths([text for text in cleaned.values() if text]),
        "vocabulary": _vocabulary(sides, vectors),
        "also in train": {split: repeated(sides[split], sides["train"]) for split in SPLITS[1:]},
    }


def repeated(texts: Sequence[str], train: Sequence[str]) -> float | None:
    """Share of `texts` that stand word for word in `train`; None where there are none."""
    known = set(train)
    return sum(text in known for text in texts) / len(texts) if texts else None


def _lengths(texts: Sequence[str]) -> dict[str, float]:
    counts = [sum(word != "." for word in text.split()) for text in texts]
    if not counts:
        return {}
    return {
        "mean": float(np.mean(counts)),
        "median": float(np.median(counts)),
        "95 %": float(np.percentile(counts, 95)),
        "longest": float(max(counts)),
    }


def _vocabulary(sides: dict[str, list[str]], vectors: str) -> dict[str, Any]:
    if not sides["train"]:
        return {}
    vocabulary = Vocabulary.build(sides["train"], 1)
    known = load_vectors(vectors, vocabulary.words).known
    counts = Counter(word for text in sides["train"] for word in text.split())
    has_vector = {word for word, yes in zip(vocabulary.words, known, strict=True) if yes}
    return {
        "words": len(counts),
        "words seen once": sum(count == 1 for count in counts.values()),
        "vectors": vectors,
        "words with a vector": sum(word in has_vector for word in counts) / len(counts),
        "occurrences with a vector": sum(n for word, n in counts.items() if word in has_vector)
        / counts.total(),
        "unknown to train": {split: _unknown(sides[split], counts) for split in SPLITS[1:]},
    }


def _unknown(texts: Sequence[str], known: Counter[str]) -> float | None:
    words = [word for text in texts for word in text.split()]
    return sum(word not in known for word in words) / len(words) if words else None
