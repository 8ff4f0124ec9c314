"""Backward pass of the attention recurrence, by hand.

Each word's r = 1 / (1 + exp(2k) exp(2q)), [B, L, A], is computed again instead of kept; the
gradient of each weight is a single product over all words after the loop.

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from xray_report.models.attention import halved_sigmoids, inside_clamp
from xray_report.models.recurrence_forward import Inputs, Tape


class Incoming(NamedTuple):
    """Gradients of the loss by what the recurrence returned; None where unused.

    Args:
        hidden: [T, B, H].
        context: [T, B, D].
        alpha: [T, B, L].
    """

    hidden: Tensor | None
    context: Tensor | None
    alpha: Tensor | None


class Slopes(NamedTuple):
    """Derivatives of the GRU that need no gradient, of all words at once; each [T, B, H].

    Args:
        new: of the next state by the candidate's pre-activation.
        update: of the next state by the update gate's pre-activation.
        reset: of the candidate's pre-activation by the reset gate's.
    """

    new: Tensor
    update: Tensor
    reset: Tensor

    @classmethod
    def of(cls, tape: Tape) -> Slopes:
        """Derivatives at the values on `tape`."""
        reset, update = tape.gates.chunk(2, -1)
        closed = 1 - update
        return cls(
            closed * (1 - tape.new.square()),
            (tape.hidden[:-1] - tape.new) * update * closed,
            tape.new_state * reset * (1 - reset),
        )


class Flow(NamedTuple):
    """Gradients gathered by the loop.

    Args:
        gates: [T, B, 3H], by the gates' pre-activations.
        state: [T, B, 3H + A], by what `state_weight` yields.
        context: [T, B, D].
        keys: [B, L, A], sum over words of de_tj r (1 - r).
        score: [B, 1, A], sum over words and locations of de_tj r.
    """

    gates: Tensor
    state: Tensor
    context: Tensor
    keys: Tensor
    score: Tensor

    @classmethod
    def blank(cls, given: Inputs, tape: Tape) -> Flow:
        """Room for all words, and zeros where sums will stand."""
        words, batch, _ = given.word_gates.shape
        return cls(
            torch.empty_like(given.word_gates),
            given.word_gates.new_empty(words, batch, given.state_weight.shape[0]),
            torch.empty_like(tape.context),
            torch.zeros_like(tape.exp_keys),
            torch.zeros_like(tape.exp_query[0]).unsqueeze(1),
        )


def unwind(given: Inputs, tape: Tape, incoming: Incoming, product_dtype: torch.dtype) -> Inputs:
    """Gradients by every input (zeros by the bias), weight products in `product_dtype`."""
    flow = Flow.blank(given, tape)
    slopes = Slopes.of(tape)
    size = given.hidden.shape[1]
    query_slope = 4 * given.score * inside_clamp(tape.exp_query)
    context_weight = given.context_weight.to(product_dtype)
    state_weight = given.state_weight.to(product_dtype)
    scratch = torch.empty_like(tape.exp_keys), torch.empty_like(tape.exp_keys)
    grad = torch.zeros_like(given.hidden)
    for t in range(given.word_gates.shape[0] - 1, -1, -1):
        if incoming.hidden is not None:
            grad = grad + incoming.hidden[t]
        _cell(grad, t, tape, slopes, flow)
        context = torch.mm(flow.gates[t].to(product_dtype), context_weight)
        flow.context[t] = context
        if incoming.context is not None:
            flow.context[t] += incoming.context[t]
        by_score = _softmax(t, given, tape, flow, incoming.alpha)
        query = _tanh(by_score, t, tape, flow, scratch)
        torch.mul(query, query_slope[t], out=flow.state[t, :, 3 * size :])
        state = torch.mm(flow.state[t].to(product_dtype), state_weight)
        grad = torch.addcmul(state.to(grad.dtype), grad, tape.gates[t, :, size:])
    return _collect(given, tape, flow, grad, product_dtype)


def _cell(grad: Tensor, t: int, tape: Tape, slopes: Slopes, flow: Flow) -> None:
    """Through one GRU step: from its next state to the pre-activations of its gates."""
    size = grad.shape[1]
    gates, state = flow.gates[t], flow.state[t]
    new = torch.mul(grad, slopes.new[t], out=gates[:, 2 * size :])
    torch.mul(grad, slopes.update[t], out=gates[:, size : 2 * size])
    torch.mul(new, slopes.reset[t], out=gates[:, :size])
    state[:, : 2 * size] = gates[:, : 2 * size]
    torch.mul(new, tape.gates[t, :, :size], out=state[:, 2 * size : 3 * size])


def _softmax(t: int, given: Inputs, tape: Tape, flow: Flow, alpha: Tensor | None) -> Tensor:
    """From a word's context (and its attention, if used) to its scores: de_t [B, L]."""
    by_alpha = torch.bmm(flow.context[t].unsqueeze(1), given.values.transpose(1, 2)).squeeze(1)
    if alpha is not None:
        by_alpha += alpha[t]
    weighted = by_alpha.mul_(tape.alpha[t])
    total = weighted.sum(-1, keepdim=True)
    return torch.addcmul(weighted, tape.alpha[t], total, value=-1)


def _tanh(
    by_score: Tensor, t: int, tape: Tape, flow: Flow, scratch: tuple[Tensor, Tensor]
) -> Tensor:
    """From a word's scores [B, L] to sums over locations [B, A] that its query asks for."""
    row = by_score.unsqueeze(1)
    r = halved_sigmoids(tape.exp_keys, tape.exp_query[t].unsqueeze(1), out=scratch[0])
    flow.score.baddbmm_(row, r)
    slope = torch.addcmul(r, r, r, value=-1, out=scratch[1])
    flow.keys.addcmul_(by_score.unsqueeze(2), slope)
    return torch.bmm(row, slope).squeeze(1)


def _collect(
    given: Inputs, tape: Tape, flow: Flow, hidden: Tensor, product_dtype: torch.dtype
) -> Inputs:
    """Turn what the loop gathered into gradients by the inputs."""

    def weight(by_output: Tensor, by_input: Tensor) -> Tensor:
        left, right = by_output.flatten(0, 1), by_input.flatten(0, 1)
        return torch.mm(left.to(product_dtype).t(), right.to(product_dtype)).to(left.dtype)

    return Inputs(
        word_gates=flow.gates,
        keys=flow.keys.mul_(4 * given.score).mul_(inside_clamp(tape.exp_keys)),
        values=torch.bmm(tape.alpha.permute(1, 2, 0), flow.context.transpose(0, 1)),
        bias=torch.zeros_like(given.bias),
        hidden=hidden,
        context_weight=weight(flow.gates, tape.context),
        state_weight=weight(flow.state, tape.hidden[:-1]),
        state_bias=flow.state.sum((0, 1)),
        score=-2 * flow.score.sum((0, 1)),
    )
