"""Scores of generated reports by what they find, from per-study counts of agreement.

Precision, recall and F1 are 0 where they would divide by zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray_report.metrics.findings.labeller import Labels, label_reports, read_facts
from xray_report.metrics.findings.negation import Assertion
from xray_report.metrics.study_scores import Floats, StudyScores, check_pairs
from xray_report.text.facts import CHEXPERT_CLASSES

Bools = NDArray[np.bool_]

RATIOS: Final = ("precision", "recall", "f1")
_CLASSES: Final = len(CHEXPERT_CLASSES)
_OVERALL: Final = (
    "micro_precision",
    "micro_recall",
    "micro_f1",
    "macro_f1",
    "micro_f1_without_no_finding",
    "macro_f1_without_no_finding",
    "abnormal_sensitivity",
    "abnormal_specificity",
)


def class_key(name: str) -> str:
    """Name of a class in keys: "Pleural Effusion" is `pleural_effusion`."""
    return name.lower().replace(" ", "_")


FINDING_KEYS: Final = (
    *(f"findings/{name}" for name in _OVERALL),
    *(f"findings/{class_key(name)}/{ratio}" for name in CHEXPERT_CLASSES for ratio in RATIOS),
)
FACT_KEYS: Final = tuple(f"facts/{ratio}" for ratio in RATIOS)


# Scores by class.


def finding_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Agreement of generated and reference reports on the 14 CheXpert classes, as fractions.

    A finding is positive where it is present for certain. Macro F1 is over the classes that the
    references hold. `abnormal_sensitivity` is the share of studies with an abnormal reference whose
    hypothesis names an abnormality too, `abnormal_specificity` the share of normal ones whose
    hypothesis is normal too; a blank hypothesis is neither.

    Returns:
        `FINDING_KEYS`: `findings/micro_f1`, ..., `findings/pleural_effusion/recall`, ...

    Raises:
        DataError: the two lists differ in length.
    """
    return finding_study_scores(hypotheses, references).corpus()


def finding_study_scores(hypotheses: Sequence[str], references: Sequence[str]) -> StudyScores:
    """Finding scores with one row a study, for subsets and intervals; see `finding_scores`."""
    check_pairs(hypotheses, references)
    found, truth = label_reports(hypotheses), label_reports(references)
    counts = agreement(positives(found), positives(truth))
    verdicts = _normal_and_abnormal(truth)
    rows = [
        counts.transpose(1, 2, 0).reshape(-1, 3 * _CLASSES),
        verdicts.astype(np.float64),
        (verdicts & _normal_and_abnormal(found)).astype(np.float64),
    ]
    return StudyScores(FINDING_KEYS, np.hstack(rows), _combined, counts=True)


def positives(labels: Sequence[Labels]) -> Bools:
    """Which of the 14 classes are positive, [N, 14].

    An uncertain finding is not: so the annotators of the Indiana collection have it.
    """
    found = [[one is Assertion.PRESENT for one in label.assertions] for label in labels]
    return np.array(found, dtype=np.bool_).reshape(len(labels), _CLASSES)


def agreement(found: Bools, truth: Bools) -> Floats:
    """True positives, false positives, false negatives [3, ...] of two arrays of one shape."""
    return np.stack([found & truth, found & ~truth, ~found & truth]).astype(np.float64)


def _normal_and_abnormal(labels: Sequence[Labels]) -> Bools:
    """Whether each report is normal, and whether it is abnormal, [N, 2]; a blank one is neither."""
    verdicts = [label["No Finding"] for label in labels]
    rows = [[verdict is Assertion.PRESENT, verdict is Assertion.ABSENT] for verdict in verdicts]
    return np.array(rows, dtype=np.bool_).reshape(len(labels), 2)


def _combined(means: Floats) -> Floats:
    """Scores [..., M] from means of rows [..., 3 * 14 + 4]."""
    counts = means[..., : 3 * _CLASSES].reshape(*means.shape[:-1], _CLASSES, 3)
    table = precision_recall_f1(counts)
    support = counts[..., 0] + counts[..., 2]
    micro = precision_recall_f1(counts.sum(axis=-2))
    rest = np.delete(np.arange(_CLASSES), CHEXPERT_CLASSES.index("No Finding"))
    normal, abnormal, both_normal, both_abnormal = np.moveaxis(means[..., 3 * _CLASSES :], -1, 0)
    overall = (
        micro[..., 0],
        micro[..., 1],
        micro[..., 2],
        _macro(table[..., 2], support),
        precision_recall_f1(counts[..., rest, :].sum(axis=-2))[..., 2],
        _macro(table[..., rest, 2], support[..., rest]),
        _ratio(both_abnormal, abnormal),
        _ratio(both_normal, normal),
    )
    flat = table.reshape(*means.shape[:-1], 3 * _CLASSES)
    return np.concatenate([np.stack(overall, axis=-1), flat], axis=-1)


def precision_recall_f1(counts: Floats) -> Floats:
    """Precision, recall and F1 [..., 3] from true positives, false positives, false negatives.

    Args:
        counts: [..., 3], or means of such counts.
    """
    hits, wrong, missed = counts[..., 0], counts[..., 1], counts[..., 2]
    ratios = ((hits, hits + wrong), (hits, hits + missed), (2 * hits, 2 * hits + wrong + missed))
    return np.stack([_ratio(part, whole) for part, whole in ratios], axis=-1)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _macro(f1: Floats, support: Floats) -> Floats:
    """Mean F1 over the classes that the references hold at all."""
    held = (support > 0).astype(np.float64)
    return _ratio((f1 * held).sum(axis=-1), held.sum(axis=-1))


# Scores by fact.


def fact_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Agreement on positive facts (finding, side, zone and size together), micro-averaged.

    A fact counts as a whole: the right finding on the wrong side is one false positive and one
    false negative.

    Returns:
        `facts/precision`, `facts/recall` and `facts/f1`, each 0..1.

    Raises:
        DataError: the two lists differ in length.
    """
    return fact_study_scores(hypotheses, references).corpus()


def fact_study_scores(hypotheses: Sequence[str], references: Sequence[str]) -> StudyScores:
    """Fact scores with one row a study, for subsets and intervals; see `fact_scores`.

    The rows are true positives, false positives and false negatives, [N, 3].
    """
    check_pairs(hypotheses, references)
    rows = []
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        found, truth = read_facts(hypothesis), read_facts(reference)
        rows.append([len(found & truth), len(found - truth), len(truth - found)])
    counts = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return StudyScores(FACT_KEYS, counts, precision_recall_f1, counts=True)


# Scores of single studies.


def study_f1(hypotheses: Sequence[str], references: Sequence[str]) -> tuple[Floats, Floats]:
    """F1 of each study over its classes, and over its facts; float64 [N] each, 0..1.

    "No Finding" is one of the 14 classes: of a normal study it is the one to find. Where neither
    side has a class or a fact they agree, which is 1; so normal studies have a score of facts.

    Raises:
        DataError: the two lists differ in length.
    """
    check_pairs(hypotheses, references)
    found, truth = label_reports(hypotheses), label_reports(references)
    classes = agreement(positives(found), positives(truth)).sum(2).T
    return _example_f1(classes), _example_f1(fact_study_scores(hypotheses, references).rows)


def _example_f1(counts: Floats) -> Floats:
    """F1 [N] of counts [N, 3]; 1 where there is nothing to find and nothing was found."""
    return np.where(counts.any(1), precision_recall_f1(counts)[:, 2], 1.0)


# What the reports of a corpus say.


def abnormal_reports(texts: Sequence[str]) -> list[bool | None]:
    """Whether each report names an abnormality; None for a blank one."""
    verdicts = _normal_and_abnormal(label_reports(texts))
    return [bool(abnormal) if normal or abnormal else None for normal, abnormal in verdicts]


def class_support(texts: Sequence[str]) -> dict[str, float]:
    """How many reports have each class for certain, as `findings/<class>/studies`."""
    totals = positives(label_reports(texts)).sum(axis=0)
    return {
        f"findings/{class_key(name)}/studies": float(total)
        for name, total in zip(CHEXPERT_CLASSES, totals, strict=True)
    }
