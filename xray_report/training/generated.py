"""Reports decoded during validation, gathered from all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xray_report.training.gathering import gathered


class Generated(NamedTuple):
    """One decoded report beside its reference as published.

    Args:
        loss: mean cross-entropy of the reference's words, nats a word.
        words: how many those are.
    """

    study_id: str
    hypothesis: str
    reference: str
    loss: float = 0.0
    words: int = 0


def gather(local: Sequence[Generated]) -> list[Generated]:
    """All processes' reports, each study once, ordered by study id."""
    return list(gathered({one.study_id: one for one in local}).values())
