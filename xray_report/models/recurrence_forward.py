"""Forward pass of the attention recurrence over all words of a batch.

What is kept for the backward pass grows as [T, B, H], never as [T, B, L, A].

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from xray_report.models.attention import doubled_exp, halved_sigmoids


class Inputs(NamedTuple):
    """What `Recurrence` takes, in its order.

    Args:
        word_gates: [T, B, 3H], the words' share of the gates (reset, update, new).
        keys: [B, L, A], U h_j.
        values: [B, L, D].
        bias: [B, L], added to the scores.
        hidden: [B, H], state before the first word.
        context_weight: [3H, D], from contexts to gates.
        state_weight: [3H + A, H], from states to gates and then to the query.
        state_bias: [3H + A].
        score: [A], V.
    """

    word_gates: Tensor
    keys: Tensor
    values: Tensor
    bias: Tensor
    hidden: Tensor
    context_weight: Tensor
    state_weight: Tensor
    state_bias: Tensor
    score: Tensor


class Tape(NamedTuple):
    """What the backward pass needs of the forward pass, besides its inputs.

    Args:
        exp_keys: [B, L, A].
        exp_query: [T, B, A].
        gates: [T, B, 2H], reset and update after the sigmoid.
        new: [T, B, H], candidate states after the tanh.
        new_state: [T, B, H], what the reset gate multiplies.
        hidden: [T + 1, B, H].
        context: [T, B, D].
        alpha: [T, B, L].
    """

    exp_keys: Tensor
    exp_query: Tensor
    gates: Tensor
    new: Tensor
    new_state: Tensor
    hidden: Tensor
    context: Tensor
    alpha: Tensor

    @classmethod
    def blank(cls, given: Inputs) -> Tape:
        """Room for all words of `given`, with the keys' exponentials and first state in place."""
        words, batch, _ = given.word_gates.shape
        size, units = given.hidden.shape[1], given.score.shape[0]

        def room(rows: int, columns: int) -> Tensor:
            return given.hidden.new_empty(rows, batch, columns)

        tape = cls(
            doubled_exp(given.keys),
            room(words, units),
            room(words, 2 * size),
            room(words, size),
            room(words, size),
            room(words + 1, size),
            room(words, given.values.shape[2]),
            room(words, given.bias.shape[1]),
        )
        tape.hidden[0] = given.hidden
        return tape


def unroll(given: Inputs, product_dtype: torch.dtype) -> Tape:
    """Run the recurrence over all words; weight products in `product_dtype`."""
    tape = Tape.blank(given)
    size = given.hidden.shape[1]
    state_weight = given.state_weight.to(product_dtype).t()
    state_bias = given.state_bias.to(product_dtype)
    context_weight = given.context_weight.to(product_dtype).t()
    score = -2 * given.score
    cells = torch.empty_like(tape.exp_keys)
    for t, word in enumerate(given.word_gates.unbind(0)):
        state = torch.addmm(state_bias, tape.hidden[t].to(product_dtype), state_weight)
        tape.exp_query[t] = doubled_exp(state[:, 3 * size :].to(word.dtype))
        halved_sigmoids(tape.exp_keys, tape.exp_query[t].unsqueeze(1), out=cells)
        torch.softmax((cells @ score).add_(given.bias), -1, out=tape.alpha[t])
        context = torch.bmm(tape.alpha[t].unsqueeze(1), given.values).squeeze(1)
        tape.context[t] = context
        gates = torch.mm(context.to(product_dtype), context_weight).add(word)
        _cell(gates, state, t, tape)
    return tape


def _cell(gates: Tensor, state: Tensor, t: int, tape: Tape) -> None:
    """One GRU step: gates [B, 3H] of word and context, `state` [B, 3H + A] of the last state."""
    size = tape.new.shape[2]
    torch.add(gates[:, : 2 * size], state[:, : 2 * size], out=tape.gates[t]).sigmoid_()
    reset, update = tape.gates[t].chunk(2, -1)
    tape.new_state[t] = state[:, 2 * size : 3 * size]
    torch.addcmul(gates[:, 2 * size :], reset, tape.new_state[t], out=tape.new[t]).tanh_()
    torch.lerp(tape.new[t], tape.hidden[t], update, out=tape.hidden[t + 1])
