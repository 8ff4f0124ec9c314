"""Auditing a data set before training on it: its texts, images and views, counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from xray_report.data.study import SPLITS, Audited, Pixels, Study, View, report_text
from xray_report.errors import ImageError
from xray_report.text.cleaning import Cleaner
from xray_report.text.vectors import load_vectors
from xray_report.text.words import SPECIAL_WORDS, Vocabulary


@runtime_checkable
class Published(Protocol):
    """A source that also knows what was published, whether or not it was found on this disk."""

    def published(self) -> Mapping[str, Any]:
        """Counts by name; a value may be a mapping of counts."""
        ...


def audit(
    source: Audited,
    *,
    vectors: str = "bundled",
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Counts of everything in `source`, as plain numbers ready for JSON.

    Args:
        vectors: word vectors whose coverage is measured.
        workers, progress: of decoding all images, see `find_unreadable`.

    Raises:
        DataError: the data set cannot be read, or a study or patient is in two splits.
    """
    studies = source.studies()
    published = {"published": dict(source.published())} if isinstance(source, Published) else {}
    unreadable = find_unreadable(studies, workers, progress)
    return {
        "data": source.name,
        **published,
        "dropped": dict(source.dropped),
        "studies": len(studies),
        "patients": len({study.patient_id for study in studies} - {None}) or None,
        "labels": count_labels(studies),
        "splits": {split: _split_counts(studies, split) for split in SPLITS},
        "overlap": overlap(studies),
        **audit_views(studies),
        "unreadable images": unreadable,
        "text": audit_texts(studies, source.target, vectors),
    }


def _split_counts(studies: Sequence[Study], split: str) -> dict[str, float | None]:
    side = [study for study in studies if study.split == split]
    labels = [study.labels or {} for study in side]
    labelled = [known["No Finding"] for known in labels if "No Finding" in known]
    normal = sum(labelled) / len(side) if labelled else None
    return {"studies": len(side), "labelled": len(labelled), "normal": normal}


def count_labels(studies: Sequence[Study]) -> dict[str, int]:
    """How many studies have each label that is known of any; the names in the source's order."""
    counts: dict[str, int] = {}
    for study in studies:
        for name, value in (study.labels or {}).items():
            counts[name] = counts.get(name, 0) + (value == 1.0)
    return counts


def overlap(studies: Sequence[Study]) -> dict[str, int]:
    """How many study ids, and patient ids, are in more than one split."""
    sides: dict[tuple[str, str], set[str | None]] = {}
    for study in studies:
        sides.setdefault(("studies", study.study_id), set()).add(study.split)
        if study.patient_id is not None:
            sides.setdefault(("patients", study.patient_id), set()).add(study.split)
    return {
        kind: sum(len(found) > 1 for (k, _), found in sides.items() if k == kind)
        for kind in ("studies", "patients")
    }


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
    words = vocabulary.words[len(SPECIAL_WORDS) :]
    known = load_vectors(vectors, words).known
    counts = Counter(word for text in sides["train"] for word in text.split())
    has_vector = {word for word, yes in zip(words, known, strict=True) if yes}
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


def audit_views(studies: Sequence[Study]) -> dict[str, Any]:
    """Images by view, by where the view was learnt, by study, and which slots studies fill."""
    images = [image for study in studies for image in study.images]
    slots = Counter(_slots({View(image.view) for image in study.images}) for study in studies)
    return {
        "images": len(images),
        "views": dict(sorted(Counter(View(image.view).value for image in images).items())),
        "views learnt from": dict(sorted(Counter(image.view_from for image in images).items())),
        "images per study": {
            str(n): count
            for n, count in sorted(Counter(len(study.images) for study in studies).items())
        },
        "studies with": dict(sorted(slots.items())),
    }


def _slots(views: set[View]) -> str:
    known = sorted(view.value for view in views - {View.UNKNOWN})
    return " and ".join(known) or ("unknown views only" if views else "no image")


FEW_IMAGES = 200
"""Up to so many images starting worker processes would take longer than decoding."""


def find_unreadable(
    studies: Sequence[Study],
    workers: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, str]]:
    """Decode every image; study and error of each that cannot be.

    Args:
        workers: processes; None takes one a core, and none at all for a few images.
        progress: called with the images done and all of them.
    """
    ids = [study.study_id for study in studies for _ in study.images]
    images = [image.pixels for study in studies for image in study.images]
    if workers is None:
        workers = 0 if len(images) <= FEW_IMAGES else os.cpu_count() or 1
    unreadable: list[dict[str, str]] = []
    errors = zip(ids, _errors(images, workers), strict=True)
    for done, (study_id, error) in enumerate(errors, start=1):
        if error:
            unreadable.append({"study": study_id, "error": error})
        progress(done, len(images))
    return unreadable


def _errors(images: Sequence[Pixels], workers: int) -> Iterator[str | None]:
    """Why each image cannot be decoded, in order; in this process where `workers` is 0."""
    if not workers:
        yield from map(_error, images)
        return
    # Not forked: torch's threads do not survive it.
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(_error, images, chunksize=16)


def _error(pixels: Pixels) -> str | None:
    try:
        pixels.load()
    except ImageError as error:
        return str(error)
    return None
