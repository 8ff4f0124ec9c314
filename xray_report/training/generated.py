"""Reports decoded during validation, gathered from all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch.distributed


class Generated(NamedTuple):
    """One decoded report beside its reference as published."""

    study_id: str
    hypothesis: str
    reference: str


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
