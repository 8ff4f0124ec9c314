"""Backward pass of the attention recurrence, by hand.

Each word's r = 1 / (1 + exp(2k) exp(2q)), [B, L, A], is computed again instead of kept; the
gradient of each weight is a single product over all words after the loop.

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xray_report.models.attention import block_size, halved_sigmoids, inside_clamp
from xray_report.models.recurrence_flow import Flow, Incoming, Slopes, WordFlow
from xray_report.models.recurrence_tape import Inputs, Tape, Word


def unwind(given: Inputs, tape: Tape, incoming: Incoming) -> Inputs:
    """Gradients by every input (zeros by the bias)."""
    flow, slopes = Flow.blank(given, tape), Slopes.of(given, tape)
    dtype, values = given.word_gates.dtype, given.values.transpose(1, 2)
    through_tanh = TanhBackward(tape.exp_keys, flow)
    context_weight, state_weight = given.context_weight.to(dtype), given.state_weight.to(dtype)
    grad = torch.zeros_like(given.hidden)
    steps = list(zip(tape.words(), slopes.words(), flow.words(), strict=True))
    for t in range(len(steps) - 1, -1, -1):
        word, slope, out = steps[t]
        if incoming.hidden is not None:
            grad = grad + incoming.hidden[t]
        _cell(grad, word, slope, out)
        out.context.copy_(torch.mm(out.gates.to(dtype), context_weight).unsqueeze(1))
        if incoming.context is not None:
            out.context.add_(incoming.context[t])
        by_alpha = torch.bmm(out.context, values)
        if incoming.alpha is not None:
            by_alpha.add_(incoming.alpha[t])
        query = through_tanh(_softmax(by_alpha, word.alpha), word.exp_query)
        torch.mul(query, slope.query, out=out.query)
        state = torch.mm(out.state.to(dtype), state_weight)
        grad = torch.addcmul(state.to(grad.dtype), grad, word.update)
    return _collect(given, tape, flow, grad)


def _cell(grad: Tensor, word: Word, slope: Slopes, out: WordFlow) -> None:
    """Through one GRU step: from its next state to the pre-activations of its gates."""
    torch.mul(grad, slope.new, out=out.new)
    torch.mul(grad, slope.update, out=out.update)
    torch.mul(out.new, slope.reset, out=out.reset)
    out.state_reset_and_update.copy_(out.reset_and_update)
    torch.mul(out.new, word.reset, out=out.state_new)


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
