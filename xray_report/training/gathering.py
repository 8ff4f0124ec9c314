"""What all processes of a distributed run have found out, each thing once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch.distributed

Key = TypeVar("Key", bound=Any)
Item = TypeVar("Item")


def gathered(mine: Mapping[Key, Item]) -> dict[Key, Item]:
    """Everybody's items, ordered by their keys.

    Samplers repeat studies to give every process equally many; scored twice they would count
    twice.
    """
    parts: list[Mapping[Key, Item]] = [mine]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [{} for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(parts, dict(mine))
    merged = {key: item for part in parts for key, item in part.items()}
    return {key: merged[key] for key in sorted(merged)}
