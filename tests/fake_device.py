"""A CUDA device that is not there: tensors without data, of which no two devices may meet.

Under `FakeTensorMode` every operation checks devices and shapes and computes nothing. What would
ask for data (which studies have finished, what stands in a result) gets made-up answers here, so
that whole searches run. Only forward passes: backward ones ask for a real device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode

CUDA = torch.device("cuda", 0)


class MadeUp(TorchFunctionMode):
    """Answers for fake tensors: half of a mask's places are true, all numbers are zero."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name == "nonzero":
            (mask,) = args
            if kwargs and kwargs.get("as_tuple"):
                place = torch.zeros((mask.numel() + 1) // 2, dtype=torch.long, device=mask.device)
                return (place,) * mask.dim()
            return torch.arange((len(mask) + 1) // 2, device=mask.device).unsqueeze(1)
        if name == "item":
            kind = args[0].dtype
            return False if kind == torch.bool else 0.0 if kind.is_floating_point else 0
        if name == "__getitem__" and isinstance(args[1], Tensor) and args[1].dtype == torch.bool:
            part, mask = args
            assert part.device == mask.device
            return part.flatten(0, mask.dim() - 1)
        if name == "gru":  # has no fake kernel; its output has the size of its hidden state
            words, hidden, weights = args[:3]
            assert {part.device for part in (words, hidden, *weights)} == {words.device}
            return words.new_empty(*words.shape[:2], hidden.shape[2]), torch.empty_like(hidden)
        return func(*args, **(kwargs or {}))


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Within it, tensors made on `CUDA` are fake ones."""
    with FakeTensorMode(), MadeUp():
        yield
