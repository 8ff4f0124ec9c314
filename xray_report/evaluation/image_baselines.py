"""Baselines that look at the images, but write nothing of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from xray_report.data.dataset import StudyDataset
from xray_report.metrics.baselines import nearest_reports, two_constants
from xray_report.metrics.rule_labeller import RuleLabeller

_ROWS = 128
_L2 = 1e-3


def image_baselines(
    train: StudyDataset, val: StudyDataset, evaluated: StudyDataset, rows: Sequence[int]
) -> dict[str, list[str]]:
    """Reports of `nearest` and `two_constants` for the evaluated studies, in their order.

    A training study is not its own nearest.

    Args:
        train, val, evaluated: data sets with cached features.
        rows: whose images each evaluated study has: its own, unless they were exchanged.
    """
    train_texts, val_texts = (_texts(dataset) for dataset in (train, val))
    labeller = RuleLabeller()
    abnormal, val_abnormal = (
        [bool(flag) for flag in labeller.abnormal(texts)] for texts in (train_texts, val_texts)
    )
    known, asked = pooled(train, range(len(train))), pooled(evaluated, rows)
    places = {study_id: place for place, study_id in enumerate(_ids(train))}
    ids = _ids(evaluated)
    own = [places.get(ids[row]) for row in rows]
    return {
        "nearest": nearest_reports(known, train_texts, asked, own),
        "two_constants": two_constants(
            train_texts,
            abnormal,
            val_texts,
            val_abnormal,
            classify(known, abnormal, asked),
        ),
    }


def _ids(dataset: StudyDataset) -> list[str]:
    return [example.study.study_id for example in dataset.examples]


def _texts(dataset: StudyDataset) -> list[str]:
    return [example.reference for example in dataset.examples]


def pooled(dataset: StudyDataset, rows: Sequence[int]) -> NDArray[np.float32]:
    """Average-pooled features of both views side by side, float32 [len(rows), 2048]."""
    parts = []
    for start in range(0, len(rows), _ROWS):
        features = dataset.__getitems__(list(rows[start : start + _ROWS])).features
        assert features is not None
        parts.append(features.float().mean((-2, -1)).flatten(1).numpy())
    return np.concatenate(parts)


def classify(
    features: NDArray[np.float32], abnormal: Sequence[bool], asked: NDArray[np.float32]
) -> list[bool]:
    """Logistic regression on standardised features [M, D]: whether each of `asked` is abnormal."""
    mean, spread = features.mean(0), features.std(0) + 1e-6
    known, new = (torch.from_numpy((part - mean) / spread) for part in (features, asked))
    truth = torch.tensor(abnormal, dtype=torch.float32)
    weights = torch.zeros(known.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = known @ weights[:-1] + weights[-1]
        cost = functional.binary_cross_entropy_with_logits(logits, truth)
        cost = cost + _L2 * weights[:-1].square().sum()
        cost.backward()  # type: ignore[no-untyped-call]
        return cost

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return [bool(flag) for flag in (new @ weights[:-1] + weights[-1] > 0).tolist()]
