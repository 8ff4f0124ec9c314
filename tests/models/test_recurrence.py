"""The hand-written recurrence against the textbook loop, and what it may keep in memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.models.plain import plain_recurrence
from xray_report.models.attention import doubled_exp, missing_bias
from xray_report.models.recurrence import EAGER, AttentiveGRU, Recurrence
from xray_report.models.recurrence_tape import Inputs

sizes = st.integers(1, 5)


def module(word: int, value: int, hidden: int, units: int, scale: float = 1.0) -> AttentiveGRU:
    rnn = AttentiveGRU(word, value, hidden, units).double()
    for parameter in rnn.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return rnn


def inputs(rnn: AttentiveGRU, batch: int, words: int, places: int) -> dict[str, Tensor]:
    word, value = rnn.words.in_features, rnn.keys.in_features
    present = torch.rand(batch, places) < 0.7
    present[:, 0] = True
    values = torch.randn(batch, places, value).double().masked_fill(~present[..., None], 0.0)
    return {
        "words": torch.randn(batch, words, word).double().requires_grad_(),
        "values": values.requires_grad_(),
        "present": present,
        "hidden": torch.randn(batch, rnn.hidden_size).double().requires_grad_(),
    }


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, sizes, sizes, sizes, sizes, st.integers(1, 9), st.integers(0, 99))
def test_values_and_gradients_are_the_plain_loops(
    word: int, value: int, hidden: int, units: int, batch: int, words: int, places: int, seed: int
) -> None:
    torch.manual_seed(seed)
    rnn = module(word, value, hidden, units)
    given_ = inputs(rnn, batch, words, places)
    plain, fused = plain_recurrence(rnn, **given_), rnn(**given_)
    upstream = [torch.randn_like(part) for part in plain]
    leaves = [given_["words"], given_["values"], given_["hidden"], *rnn.parameters()]
    expected = torch.autograd.grad(plain, leaves, upstream)
    found = torch.autograd.grad(tuple(fused), leaves, upstream)
    for a, b in zip((*fused, *found), (*plain, *expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_gradcheck(used: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    rnn, (batch, words, places) = module(2, 3, 3, 2), (2, 3, 4)
    free = [
        torch.randn(words, batch, 9),
        torch.randn(batch, places, 2),
        torch.randn(batch, places, 3),
        torch.randn(batch, 3),
        torch.randn(9, 3),
        torch.randn(11, 3),
        torch.randn(11),
        torch.randn(2),
    ]
    leaves = [part.double().requires_grad_() for part in free]
    bias = missing_bias(torch.tensor([[True] * 4, [True, False, True, True]]), rnn.score)

    def run(*parts: Tensor) -> tuple[Tensor, ...]:
        found = Recurrence.apply(EAGER, *parts[:3], bias, *parts[3:])
        return tuple(found[i] for i in used)

    assert torch.autograd.gradcheck(run, leaves)


def test_saturated_scores_stay_finite_in_single_precision() -> None:
    torch.manual_seed(0)
    rnn = module(2, 3, 3, 2, scale=100.0).float()
    given_ = inputs(rnn.double(), 2, 3, 4)
    rnn.float()
    single = {name: part.detach().to(torch.float32) for name, part in given_.items()}
    single["present"] = given_["present"]
    found = rnn(**{k: v if k == "present" else v.requires_grad_() for k, v in single.items()})
    sum(part.sum() for part in found).backward()
    assert all(part.isfinite().all() for part in found)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in rnn.parameters())


@settings(deadline=None)
@given(st.floats(-15, 15), st.floats(-15, 15))
def test_a_division_replaces_the_tanh(key: float, query: float) -> None:
    k, q = torch.tensor(key), torch.tensor(query)
    replaced = 1 - 2 / (1 + doubled_exp(k) * doubled_exp(q))
    torch.testing.assert_close(replaced, torch.tanh(k + q), rtol=0, atol=2e-6)


def test_nothing_is_kept_word_by_word_location_by_location() -> None:
    rnn = module(4, 5, 6, 16)
    batch, words, places = 2, 30, 50
    kept: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        rnn(**inputs(rnn, batch, words, places))
    assert kept
    assert max(part.numel() for part in kept) < batch * words * places * 16 / 4


def test_inputs_and_function_agree_on_their_order() -> None:
    torch.manual_seed(0)
    rnn = module(2, 3, 3, 2)
    named = Inputs(
        word_gates=torch.zeros(1, 1, 9).double(),
        keys=torch.randn(1, 4, 2).double(),
        values=torch.randn(1, 4, 3).double(),
        bias=torch.zeros(1, 4).double(),
        hidden=torch.zeros(1, 3).double(),
        context_weight=rnn.context_weight,
        state_weight=rnn.state_weight,
        state_bias=rnn.state_bias,
        score=rnn.score,
    )
    _, context, alpha = Recurrence.apply(EAGER, *named)
    query = rnn.state_bias[9:]
    expected = (torch.tanh(named.keys + query) @ rnn.score).softmax(-1)
    torch.testing.assert_close(alpha[0, :, 0], expected)
    torch.testing.assert_close(context[0, 0], expected @ named.values[0])
