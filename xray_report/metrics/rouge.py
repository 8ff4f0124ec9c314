"""ROUGE-L of Lin 2004 as the COCO caption evaluation computes it: F with beta 1.2.

The ROUGE-L of Google's rouge-score (and torchmetrics) is the same with beta 1, another number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xray_report.metrics.study_scores import check_pairs

COCO_BETA = 1.2


def rouge_l(
    hypotheses: Sequence[str], references: Sequence[str], beta: float = COCO_BETA
) -> NDArray[np.float64]:
    """ROUGE-L of each study, float64 [N], 0..1; the corpus score is the mean.

    Texts are tokens separated by single spaces. As in COCO's code an empty text counts as one
    empty token, so that two empty texts score 1.

    Raises:
        DataError: the two lists differ in length.
    """
    check_pairs(hypotheses, references)
    pairs = zip(hypotheses, references, strict=True)
    return np.array([_f_score(h.split(" "), r.split(" "), beta) for h, r in pairs], np.float64)


def _f_score(hypothesis: list[str], reference: list[str], beta: float) -> float:
    common = common_subsequence(hypothesis, reference)
    if common == 0:
        return 0.0
    precision, recall = common / len(hypothesis), common / len(reference)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, by Hyyro's bit-parallel recurrence (2004).

    Bit i of `row` is 0 where the table's row grows at position i of `right`.
    """
    where: dict[str, int] = {}
    for position, token in enumerate(right):
        where[token] = where.get(token, 0) | 1 << position
    full = (1 << len(right)) - 1
    row = full
    for token in left:
        match = row & where.get(token, 0)
        row = ((row + match) | (row - match)) & full
    return len(right) - row.bit_count()
