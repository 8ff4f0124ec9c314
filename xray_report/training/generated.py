"""Reports decoded during validation, gathered from all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.distributed


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
    """All processes' reports, each study once, ordered by study id.

    Samplers repeat studies to give every process equally many; scored twice they would count
    twice.
    """
    parts = [list(local)]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [[] for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(parts, list(local))
    by_study = {one.study_id: one for part in parts for one in part}
    return [by_study[study_id] for study_id in sorted(by_study)]
