from __future__ import annotations

import math

import pytest
import torch

from xray_report.training.chexnet import balance, label_loss, region_loss

NAN = float("nan")


def test_label_loss_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)]])
    labels = torch.tensor([[1.0, 0.0]])
    loss = label_loss(logits, labels, torch.tensor([2.0, 5.0]))
    assert loss.item() == pytest.approx((2 * math.log(2) + math.log(4)) / 2)


def test_unknown_labels_cost_nothing() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    labels = torch.tensor([[1.0, NAN, 0.0]] * 4)
    loss = label_loss(logits, labels, torch.ones(3))
    loss.backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[:, 1], torch.zeros(4))
    assert label_loss(logits, torch.full((4, 3), NAN), torch.ones(3)).item() == 0


def test_region_loss_rewards_the_right_place() -> None:
    regions = torch.zeros(1, 1, 14, 14)
    regions[0, 0, 2:4, 2:4] = 1.0  # cell (1, 1) of a 7 x 7 map
    right, wrong = torch.full((2, 1, 1, 7, 7), -4.0)
    right[0, 0, 1, 1] = 4.0
    wrong[0, 0, 5, 5] = 4.0
    assert region_loss(right, regions) < region_loss(wrong, regions) / 10


def test_region_loss_fits_any_map_and_skips_unknown_labels() -> None:
    regions = torch.zeros(2, 3, 14, 14)
    regions[:, 1] = NAN
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    region_loss(logits, regions).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[:, 1], torch.zeros(2, 4, 4))
    assert (logits.grad[:, 0] != 0).all()


def test_balance_counts_known_labels_only() -> None:
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, NAN], [NAN, 1.0]])
    assert balance(labels, 10.0).tolist() == [2.0, 2.0]
    assert balance(torch.zeros(50, 1), 10.0).tolist() == [10.0]
    assert balance(torch.ones(5, 1), 10.0).tolist() == [1.0]
