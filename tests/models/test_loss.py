from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xray_report.errors import OptionError
from xray_report.models.report_model import masked_cross_entropy, report_losses

PAD_ID = 0


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=4),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.2]),
)
def test_added_padding_changes_neither_loss_nor_gradient(
    lengths: list[int], padding: int, smoothing: float
) -> None:
    torch.manual_seed(sum(lengths))
    targets = torch.zeros(len(lengths), 6, dtype=torch.long)
    for row, length in zip(targets, lengths, strict=True):
        row[:length] = torch.randint(1, 5, (length,))
    logits = torch.randn(len(lengths), 6, 5, dtype=torch.double, requires_grad=True)
    wide = torch.cat([logits, 9 * torch.randn(len(lengths), padding, 5)], 1)
    wide_targets = torch.cat([targets, torch.full((len(lengths), padding), PAD_ID)], 1)
    bare = masked_cross_entropy(logits, targets, PAD_ID, smoothing)
    padded = masked_cross_entropy(wide, wide_targets, PAD_ID, smoothing)
    torch.testing.assert_close(bare, padded, rtol=0, atol=1e-6)
    (a,), (b,) = torch.autograd.grad(bare, logits), torch.autograd.grad(padded, logits)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_it_is_the_mean_of_minus_log_probability_of_real_words() -> None:
    probabilities = torch.tensor([[[0.1, 0.2, 0.7], [0.2, 0.5, 0.3]], [[0.3, 0.3, 0.4]] * 2])
    targets = torch.tensor([[2, 1], [1, PAD_ID]])
    found = masked_cross_entropy(probabilities.log(), targets, PAD_ID)
    expected = -(math.log(0.7) + math.log(0.5) + math.log(0.3)) / 3
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_label_smoothing_spreads_its_share_over_the_vocabulary() -> None:
    log_probs = torch.tensor([[[0.1, 0.2, 0.7]]]).log()
    found = masked_cross_entropy(log_probs, torch.tensor([[2]]), PAD_ID, 0.3)
    expected = -0.7 * math.log(0.7) - 0.1 * sum(map(math.log, (0.1, 0.2, 0.7)))
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_padding_alone_costs_nothing() -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    loss = masked_cross_entropy(logits, torch.full((2, 3), PAD_ID), PAD_ID)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, True])
def test_bad_smoothing_is_named(smoothing: float) -> None:
    with pytest.raises(OptionError, match="label_smoothing"):
        masked_cross_entropy(torch.zeros(1, 1, 4), torch.ones(1, 1).long(), PAD_ID, smoothing)


def test_losses_of_single_reports_make_up_the_mean_of_the_batch() -> None:
    torch.manual_seed(0)
    targets = torch.tensor([[2, 3, 1, PAD_ID], [4, 1, PAD_ID, PAD_ID], [PAD_ID] * 4])
    logits = torch.randn(3, 4, 5)
    found = report_losses(logits, targets, PAD_ID)
    assert found[:, 1].tolist() == [3, 2, 0]
    assert found[2, 0] == 0
    for row in (0, 1):
        alone = masked_cross_entropy(logits[row : row + 1], targets[row : row + 1], PAD_ID)
        torch.testing.assert_close(found[row, 0], alone)
    mean = (found[:, 0] * found[:, 1]).sum() / found[:, 1].sum()
    torch.testing.assert_close(mean, masked_cross_entropy(logits, targets, PAD_ID))
