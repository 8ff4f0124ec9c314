"""Per-study counts of agreement: from them, and from their means, come all finding scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray_report.metrics.findings.labeller import Labels, label_reports, read_facts
from xray_report.metrics.findings.negation import Assertion
from xray_report.metrics.study_scores import StudyScores, check_pairs
from xray_report.text.facts import CHEXPERT_CLASSES

POSITIVE: Final = frozenset({Assertion.PRESENT})
"""An uncertain finding is not positive: so the annotators of the Indiana collection have it."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def positives(labels: Sequence[Labels]) -> Bools:
    """Which of the 14 classes are positive, [N, 14]."""
    found = [[assertion in POSITIVE for assertion in label.assertions] for label in labels]
    return np.array(found, dtype=np.bool_).reshape(len(labels), len(CHEXPERT_CLASSES))


def agreement(found: Bools, truth: Bools) -> Floats:
    """True positives, false positives, false negatives [3, ...] of two arrays of one shape."""
    return np.stack([found & truth, found & ~truth, ~found & truth]).astype(np.float64)


def normality(labels: Sequence[Labels]) -> Bools:
    """Whether each report is normal, and whether it is abnormal, [N, 2]; a blank one is neither."""
    verdicts = [label["No Finding"] for label in labels]
    rows = [[verdict is Assertion.PRESENT, verdict is Assertion.ABSENT] for verdict in verdicts]
    return np.array(rows, dtype=np.bool_).reshape(len(labels), 2)


def finding_counts(hypotheses: Sequence[str], references: Sequence[str]) -> Floats:
    """True positives, false positives and false negatives of each study and class.

    Returns:
        [3, N, 14], each 0 or 1; classes in CheXpert's order.

    Raises:
        DataError: the two lists differ in length.
    """
    check_pairs(hypotheses, references)
    found, truth = positives(label_reports(hypotheses)), positives(label_reports(references))
    return agreement(found, truth)


def fact_counts(hypotheses: Sequence[str], references: Sequence[str]) -> Floats:
    """True positives, false positives and false negatives of positive facts in each study.

    A fact counts as a whole: the right finding on the wrong side is one false positive and one
    false negative.

    Returns:
        [3, N].

    Raises:
        DataError: the two lists differ in length.
    """
    check_pairs(hypotheses, references)
    rows = []
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        found, truth = read_facts(hypothesis), read_facts(reference)
        rows.append([len(found & truth), len(found - truth), len(truth - found)])
    return np.array(rows, dtype=np.float64).reshape(-1, 3).T


# ------------------------------------------------------------------------------
# Scores of generated reports by what they find, as functions of per-study counts.
#
# Precision, recall and F1 are 0 where they would divide by zero.

PARTS: Final = ("precision", "recall", "f1")
_CLASSES: Final = len(CHEXPERT_CLASSES)
_NO_FINDING: Final = CHEXPERT_CLASSES.index("No Finding")
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
    *(f"findings/{class_key(name)}/{part}" for name in CHEXPERT_CLASSES for part in PARTS),
)
FACT_KEYS: Final = tuple(f"facts/{part}" for part in PARTS)


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


def _combined(means: Floats) -> Floats:
    """Scores [..., M] from means of rows [..., 3 * 14 + 4]."""
    counts = means[..., : 3 * _CLASSES].reshape(*means.shape[:-1], _CLASSES, 3)
    table = precision_recall_f1(counts)
    support = counts[..., 0] + counts[..., 2]
    micro = precision_recall_f1(counts.sum(axis=-2))
    rest = np.delete(np.arange(_CLASSES), _NO_FINDING)
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


def finding_study_scores(hypotheses: Sequence[str], references: Sequence[str]) -> StudyScores:
    """Finding scores with one row a study, for subsets and intervals; see `finding_scores`."""
    check_pairs(hypotheses, references)
    found, truth = label_reports(hypotheses), label_reports(references)
    counts = agreement(positives(found), positives(truth))
    verdicts = normality(truth)
    rows = [
        counts.transpose(1, 2, 0).reshape(-1, 3 * _CLASSES),
        verdicts.astype(np.float64),
        (verdicts & normality(found)).astype(np.float64),
    ]
    return StudyScores(FINDING_KEYS, np.hstack(rows), _combined, counts=True)


def fact_study_scores(hypotheses: Sequence[str], references: Sequence[str]) -> StudyScores:
    """Fact scores with one row a study, for subsets and intervals; see `fact_scores`."""
    counts = fact_counts(hypotheses, references).T
    return StudyScores(FACT_KEYS, counts, precision_recall_f1, counts=True)


def finding_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Agreement of generated and reference reports on the 14 CheXpert classes, as fractions.

    A finding is positive where it is present for certain. Macro F1 is over the classes that the
    references hold. `abnormal_sensitivity` is the share of studies with an abnormal reference whose
    hypothesis tells of an abnormality too, `abnormal_specificity` the share of normal ones whose
    hypothesis is normal too; a blank hypothesis is neither.

    Returns:
        `FINDING_KEYS`: `findings/micro_f1`, ..., `findings/pleural_effusion/recall`, ...

    Raises:
        DataError: the two lists differ in length.
    """
    return finding_study_scores(hypotheses, references).corpus()


def fact_scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Agreement on positive facts (finding, side, zone and size together), micro-averaged.

    Returns:
        `facts/precision`, `facts/recall` and `facts/f1`, each 0..1.

    Raises:
        DataError: the two lists differ in length.
    """
    return fact_study_scores(hypotheses, references).corpus()
