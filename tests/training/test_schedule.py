from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from xray_report.errors import OptionError
from xray_report.training.schedule import adam


def made(steps: int = 1, precision: str = "32-true", **options: Any) -> dict[str, Any]:
    trainer = SimpleNamespace(estimated_stepping_batches=steps, precision=precision)
    module: Any = SimpleNamespace(trainer=trainer)
    weights = [torch.nn.Parameter(torch.zeros(2))]
    return adam(module, weights, **{"weight_decay": 0.0, **options})


def rates(steps: int, **options: Any) -> list[float]:
    parts = made(steps, **options)
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


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 0.0), ("lr", -1.0), ("lr", "abc"), ("warmup", 1.0), ("weight_decay", -1.0),
     ("slow_factor", 1.5), ("encoder_factor", 0.0)],
)  # fmt: skip
def test_bad_values_are_named(name: str, value: Any) -> None:
    options = {"lr": 0.1, "warmup": 0.0, "cosine": False} | {name: value}
    with pytest.raises(OptionError, match=rf"model\.optimizer\.{name}"):
        made(**options)


@pytest.mark.parametrize(
    ("precision", "fused"),
    [("32-true", True), ("bf16-true", True), ("bf16-mixed", False), ("16-mixed", False)],
)
def test_a_mixed_optimiser_is_not_fused_so_that_its_gradients_can_be_clipped(
    precision: str, fused: bool
) -> None:
    parts = made(precision=precision, lr=0.1, warmup=0.0, cosine=False)
    assert parts["optimizer"].defaults["fused"] is fused
