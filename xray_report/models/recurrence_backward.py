"""Backward pass of the attention recurrence, by hand.

Each word's r = 1 / (1 + exp(2k) exp(2q)), [B, L, A], is computed again instead of kept; the
gradient of each weight is a single product over all words after the loop.

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from xray_report.models.attention import block_size, halved_sigmoids, inside_clamp
from xray_report.models.recurrence_tape import Inputs, Tape, Word


class Incoming(NamedTuple):
    """Gradients of the loss by what the recurrence returned; None where unused.

    Args:
        hidden: [T, B, H].
        context: [T, B, 1, D].
        alpha: [T, B, 1, L].
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
        context: [T, B, 1, D].
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
        words, batch, gates = given.word_gates.shape
        return cls(
            tape.new.new_empty(words, batch, gates),
            tape.new.new_empty(words, batch, given.state_weight.shape[0]),
            torch.empty_like(tape.context),
            torch.zeros_like(tape.exp_keys),
            torch.zeros_like(tape.exp_query[0]),
        )


def unwind(given: Inputs, tape: Tape, incoming: Incoming) -> Inputs:
    """Gradients by every input (zeros by the bias)."""
    flow, slopes = Flow.blank(given, tape), Slopes.of(tape)
    size, dtype = given.hidden.shape[1], given.word_gates.dtype
    through_tanh = TanhBackward(tape.exp_keys, flow)
    query_slope = 4 * given.score * inside_clamp(tape.exp_query)
    context_weight, state_weight = given.context_weight.to(dtype), given.state_weight.to(dtype)
    values = given.values.transpose(1, 2)
    grad = torch.zeros_like(given.hidden)
    for t, word in reversed(list(enumerate(tape.words()))):
        if incoming.hidden is not None:
            grad = grad + incoming.hidden[t]
        _cell(grad, word, Slopes(*(slope[t] for slope in slopes)), flow.gates[t], flow.state[t])
        context = torch.mm(flow.gates[t].to(dtype), context_weight)
        flow.context[t] = context.unsqueeze(1)
        if incoming.context is not None:
            flow.context[t] += incoming.context[t]
        by_alpha = torch.bmm(flow.context[t], values)
        if incoming.alpha is not None:
            by_alpha += incoming.alpha[t]
        query = through_tanh(_softmax(by_alpha, word.alpha), word.exp_query)
        torch.mul(query, query_slope[t], out=flow.state[t, :, 3 * size :].unsqueeze(1))
        state = torch.mm(flow.state[t].to(dtype), state_weight)
        grad = torch.addcmul(state.to(grad.dtype), grad, word.update)
    return _collect(given, tape, flow, grad)


def _cell(grad: Tensor, word: Word, slopes: Slopes, gates: Tensor, state: Tensor) -> None:
    """Through one GRU step: from its next state to the pre-activations of its gates."""
    size = grad.shape[1]
    new = torch.mul(grad, slopes.new, out=gates[:, 2 * size :])
    torch.mul(grad, slopes.update, out=gates[:, size : 2 * size])
    torch.mul(new, slopes.reset, out=gates[:, :size])
    state[:, : 2 * size] = gates[:, : 2 * size]
    torch.mul(new, word.reset, out=state[:, 2 * size : 3 * size])


def _softmax(by_alpha: Tensor, alpha: Tensor) -> Tensor:
    """From a word's attention to its scores: de_t [B, 1, L]; `by_alpha` is used up."""
    weighted = by_alpha.mul_(alpha)
    return torch.addcmul(weighted, alpha, weighted.sum(-1, keepdim=True), value=-1)


class TanhBackward:
    """From a word's scores to its query, adding to the sums for keys and score on the way.

    Args:
        exp_keys: [B, L, A].
        flow: whose `keys` and `score` are added to.
    """

    def __init__(self, exp_keys: Tensor, flow: Flow) -> None:
        self.size = block_size(exp_keys.shape[0], exp_keys[0].numel())
        parts = (torch.split(part, self.size) for part in (exp_keys, flow.keys, flow.score))
        self.blocks = list(zip(*parts, strict=True))
        self.r, self.slope = (
            torch.empty_like(self.blocks[0][0]),
            torch.empty_like(self.blocks[0][0]),
        )

    def __call__(self, by_score: Tensor, exp_query: Tensor) -> Tensor:
        """Sums over locations of de_tj r (1 - r), [B, 1, A], of de_t [B, 1, L]."""
        rows, queries = torch.split(by_score, self.size), torch.split(exp_query, self.size)
        sums = []
        for row, query, (exp_keys, keys, score) in zip(rows, queries, self.blocks, strict=True):
            r = halved_sigmoids(exp_keys, query, out=self.r[: len(row)])
            score.baddbmm_(row, r)
            slope = torch.addcmul(r, r, r, value=-1, out=self.slope[: len(row)])
            keys.addcmul_(row.transpose(1, 2), slope)
            sums.append(torch.bmm(row, slope))
        return torch.cat(sums)


def _collect(given: Inputs, tape: Tape, flow: Flow, hidden: Tensor) -> Inputs:
    """Turn what the loop gathered into gradients by the inputs."""
    dtype = given.word_gates.dtype

    def weight(by_output: Tensor, by_input: Tensor) -> Tensor:
        left, right = by_output.flatten(0, -2), by_input.flatten(0, -2)
        return torch.mm(left.to(dtype).t(), right.to(dtype)).to(left.dtype)

    return Inputs(
        word_gates=flow.gates.to(dtype),
        keys=flow.keys.mul_(4 * given.score).mul_(inside_clamp(tape.exp_keys)),
        values=torch.bmm(
            tape.alpha.squeeze(2).permute(1, 2, 0), flow.context.squeeze(2).transpose(0, 1)
        ),
        bias=torch.zeros_like(given.bias),
        hidden=hidden,
        context_weight=weight(flow.gates, tape.context),
        state_weight=weight(flow.state, tape.hidden[:-1]),
        state_bias=flow.state.sum((0, 1)),
        score=-2 * flow.score.sum((0, 1)),
    )
