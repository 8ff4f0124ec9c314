"""Baselines that choose among training reports by the images' features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from xray_report.data.dataset import StudyDataset
from xray_report.metrics.baselines import nearest_reports, two_constants
from xray_report.metrics.findings.scores import abnormal_reports

_BATCH = 128
"""Studies whose features are read at a time."""
_WEIGHT_DECAY = 1e-3


def image_baselines(
    train: StudyDataset,
    val: StudyDataset,
    evaluated: StudyDataset,
    rows: Sequence[int],
    device: torch.device | str = "cpu",
) -> dict[str, list[str]]:
    """Reports of `nearest` and `two_constants` for the evaluated studies, in their order.

    A training study is not its own nearest.

    Args:
        train, val, evaluated: data sets with cached features.
        rows: whose images each evaluated study has: its own, unless they were exchanged.
        device: what the classifier behind `two_constants` is trained on.
    """
    train_texts, val_texts = (
        [example.reference for example in dataset.examples] for dataset in (train, val)
    )
    abnormal, val_abnormal = (
        [bool(flag) for flag in abnormal_reports(texts)] for texts in (train_texts, val_texts)
    )
    known, asked = pooled_features(train, range(len(train))), pooled_features(evaluated, rows)
    predicted = classify(known, abnormal, asked, device)
    places = {example.study.study_id: row for row, example in enumerate(train.examples)}
    own = [places.get(evaluated.examples[row].study.study_id) for row in rows]
    return {
        "nearest": nearest_reports(known, train_texts, asked, own),
        "two_constants": two_constants(train_texts, abnormal, val_texts, val_abnormal, predicted),
    }


def pooled_features(dataset: StudyDataset, rows: Sequence[int]) -> NDArray[np.float32]:
    """Average-pooled features of both views side by side, float32 [len(rows), 2 * C]."""
    parts = []
    for start in range(0, len(rows), _BATCH):
        features = dataset.__getitems__(list(rows[start : start + _BATCH])).features
        assert features is not None
        parts.append(features.float().mean((-2, -1)).flatten(1).cpu().numpy())
    return np.concatenate(parts)


def classify(
    features: NDArray[np.float32],
    abnormal: Sequence[bool],
    asked: NDArray[np.float32],
    device: torch.device | str = "cpu",
) -> list[bool]:
    """Logistic regression on standardised features: whether each of `asked` is abnormal.

    Args:
        features: float32 [M, D].
        abnormal: M flags.
        asked: float32 [N, D].
        device: what it is trained on.
    """
    mean, spread = features.mean(0), features.std(0) + 1e-6
    known, new = (torch.from_numpy((part - mean) / spread).to(device) for part in (features, asked))
    truth = torch.tensor(abnormal, dtype=torch.float32, device=device)
    weights = torch.zeros(known.shape[1] + 1, device=device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = known @ weights[:-1] + weights[-1]
        cost = functional.binary_cross_entropy_with_logits(logits, truth)
        cost = cost + _WEIGHT_DECAY * weights[:-1].square().sum()
        cost.backward()  # type: ignore[no-untyped-call]
        return cost

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return [bool(flag) for flag in (new @ weights[:-1] + weights[-1] > 0).tolist()]
