"""Helpers for several processes: gathering items, and a step without data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch.distributed
from torch import Tensor, nn

Key = TypeVar("Key", bound=Any)
Item = TypeVar("Item")


def gathered(mine: Mapping[Key, Item]) -> dict[Key, Item]:
    """The items of all processes, ordered by their keys.

    Samplers repeat studies to give every process equally many; scored twice they would count
    twice.
    """
    parts: list[Mapping[Key, Item]] = [mine]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [{} for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(parts, dict(mine))
    merged = {key: item for part in parts for key, item in part.items()}
    return {key: merged[key] for key in sorted(merged)}


def nothing_to_learn(module: nn.Module) -> Tensor:
    """A loss of 0 that gives every trainable weight a gradient of 0.

    With several processes, one whose batch holds nothing must take part in the step all the same.
    """
    weights = [weight.sum() for weight in module.parameters() if weight.requires_grad]
    return torch.stack(weights).sum() * 0.0
