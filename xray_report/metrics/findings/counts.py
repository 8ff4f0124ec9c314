"""Per-study counts of agreement: from them, and from their means, come all finding scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray_report.metrics.findings.labeller import Labels, label_reports, read_facts
from xray_report.metrics.findings.reading import Assertion
from xray_report.metrics.pairs import check_pairs
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
