from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from xray_report.errors import OptionError
from xray_report.training.schedule import adam


def rates(steps: int, **options: Any) -> list[float]:
    module: Any = SimpleNamespace(trainer=SimpleNamespace(estimated_stepping_batches=steps))
    parts = adam(module, [torch.nn.Parameter(torch.zeros(2))], weight_decay=0.0, **options)
    scheduler, seen = parts["lr_scheduler"]["scheduler"], []
    for _ in range(steps):
        seen.append(scheduler.get_last_lr()[0])
        parts["optimizer"].step()
        scheduler.step()
    return seen


def test_constant_by_default() -> None:
    assert rates(5, lr=0.1, warmup=0.0, cosine=False) == pytest.approx([0.1] * 5)


def test_rises_then_falls() -> None:
    seen = rates(100, lr=1.0, warmup=0.1, cosine=True)
    assert seen[:10] == sorted(seen[:10])
    assert max(seen) == pytest.approx(1.0)
    assert seen[10:] == sorted(seen[10:], reverse=True)
    assert seen[-1] < 0.01


@pytest.mark.parametrize(("name", "value"), [("lr", 0.0), ("lr", -1.0), ("warmup", 1.0)])
def test_bad_values_are_named(name: str, value: float) -> None:
    options = {"lr": 0.1, "warmup": 0.0, "cosine": False} | {name: value}
    with pytest.raises(OptionError, match=f"optimizer.{name}"):
        rates(1, **options)
