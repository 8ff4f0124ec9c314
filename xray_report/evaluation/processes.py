"""An evaluation shared by processes: `torchrun --nproc-per-node 2 evaluate.py` starts two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

Item = TypeVar("Item")
PATIENCE = timedelta(hours=12)
"""How long the others wait while the first fills the feature cache."""


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun started; nothing happens in a process started alone."""
    if not distributed.is_torchelastic_launched():
        yield
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    if torch.cuda.is_available():
        torch.cuda.set_device(distributed.get_node_local_rank())
    try:
        yield
    finally:
        distributed.destroy_process_group()


def share() -> tuple[int, int]:
    """(number of this process, number of processes)."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return share()[0] == 0


@contextmanager
def first_goes_first() -> Iterator[None]:
    """Let the first process finish the block before the others enter it."""
    alone = share()[1] == 1
    if not alone and not is_first():
        distributed.barrier()
    yield
    if not alone and is_first():
        distributed.barrier()


def gathered(mine: Mapping[int, Item]) -> list[Item]:
    """Everybody's items in order of their numbers, each number once."""
    parts: list[Mapping[int, Item]] = [mine]
    if distributed.is_initialized():
        parts = [{} for _ in range(share()[1])]
        distributed.all_gather_object(parts, mine)
    merged = {number: item for part in parts for number, item in part.items()}
    return [merged[number] for number in sorted(merged)]
