"""Groups of studies to score apart, since one mean hides where a model fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray_report.errors import DataError
from xray_report.metrics.preparation import clean

NO_FINDING: Final = "No Finding"
NOT_DISEASE: Final = frozenset({NO_FINDING, "Support Devices"})

Indices = NDArray[np.int64]


def is_abnormal(labels: Mapping[str, float] | None) -> bool | None:
    """Whether a study's labels name a finding; None where they do not say.

    "No Finding" decides where it is given. Otherwise a study is abnormal where any finding but
    "Support Devices" is present; labels without "No Finding" may be too few to call one normal.
    """
    if not labels:
        return None
    verdict = labels.get(NO_FINDING)
    if verdict in (0.0, 1.0):
        return verdict == 0.0
    found = any(value == 1 for name, value in labels.items() if name not in NOT_DISEASE)
    return True if found else None


def strata(
    references: Sequence[str],
    *,
    abnormal: Sequence[bool | None] | None = None,
    train_texts: Sequence[str] | None = None,
    views: Sequence[int] | None = None,
) -> dict[str, Indices]:
    """Indices of the studies of each stratum that has any.

    Args:
        references: N raw texts.
        abnormal: N flags, None where unknown -> `normal`, `abnormal`.
        train_texts: training reports -> `seen_reference` (stands in train after cleaning),
            `novel_reference`.
        views: N numbers of views -> `one_view`, `two_views` (two or more).

    Returns:
        Those, and by words of the cleaned reference, split at the terciles, `short_reference`,
        `medium_reference`, `long_reference`.

    Raises:
        DataError: a list of another length than the references.
    """
    cleaned = [clean(text) for text in references]
    groups = dict(_by_length(cleaned))
    if abnormal is not None:
        groups |= _by_flag(abnormal, "abnormal", "normal", len(cleaned))
    if train_texts is not None:
        known = {clean(text) for text in train_texts}
        seen = [text in known for text in cleaned]
        groups |= _by_flag(seen, "seen_reference", "novel_reference", len(cleaned))
    if views is not None:
        both = [number > 1 if number else None for number in views]
        groups |= _by_flag(both, "two_views", "one_view", len(cleaned))
    return {name: indices for name, indices in groups.items() if len(indices)}


def _by_flag(
    flags: Sequence[bool | None], true_name: str, false_name: str, studies: int
) -> dict[str, Indices]:
    if len(flags) != studies:
        raise DataError(f"{true_name}: {len(flags)} values for {studies} studies")
    return {
        name: np.array([i for i, flag in enumerate(flags) if flag is wanted], dtype=np.int64)
        for name, wanted in ((true_name, True), (false_name, False))
    }


def _by_length(cleaned: Sequence[str]) -> Iterator[tuple[str, Indices]]:
    lengths = np.array([len(text.split()) for text in cleaned], dtype=np.int64)
    low, high = np.quantile(lengths, [1 / 3, 2 / 3]) if len(lengths) else (0, 0)
    yield "short_reference", np.flatnonzero(lengths <= low)
    yield "medium_reference", np.flatnonzero((lengths > low) & (lengths <= high))
    yield "long_reference", np.flatnonzero(lengths > high)
