"""One process alone; several are in test_two_processes.py."""

from __future__ import annotations

import torch
from torch import nn

from xray_report.training.report_module import gathered, nothing_to_learn


def test_one_process_keeps_its_items_in_the_order_of_their_keys() -> None:
    assert list(gathered({"b": 2, "a": 1}).items()) == [("a", 1), ("b", 2)]


def test_a_step_without_data_gives_every_trainable_weight_a_gradient_of_zero() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    net[0].requires_grad_(False)
    loss = nothing_to_learn(net)
    loss.backward()
    assert loss == 0
    assert [weight.grad is None for weight in net.parameters()] == [True, True, False, False]
    assert all(torch.equal(weight.grad, torch.zeros_like(weight)) for weight in net[1].parameters())
