"""Backward pass of the attention recurrence, by hand.

Each word's r = 1 / (1 + exp(2k) exp(2q)), [B, L, A], is computed again instead of kept; the
gradient of each weight is a single product over all words after the loop.

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from xray_report.models.attention import block_size, halved_sigmoids, in_blocks, inside_clamp
from xray_report.models.recurrence_flow import Flow, Incoming, Slopes
from xray_report.models.recurrence_tape import Inputs, Tape, affine

_A = TypeVar("_A")


def unwind(given: Inputs, tape: Tape, incoming: Incoming) -> Inputs:
    """Gradients by every input (zeros by the bias)."""
    flow, slopes, size = Flow.blank(given, tape), Slopes.of(given, tape), given.hidden.shape[1]
    dtype, values = given.word_gates.dtype, given.values.transpose(1, 2)
    through_tanh = TanhBackward(tape.exp_keys, flow)
    # In the flow's order: candidate, reset, update.
    context_weight = given.context_weight.roll(size, 0).to(dtype)
    state_weight = given.state_weight.to(dtype)
    rows = None if incoming.context is None else incoming.context.squeeze(2)
    by_hidden, by_context, by_alpha = (
        by_word(part, None, len(tape.new)) for part in (incoming.hidden, rows, incoming.alpha)
    )
    grad = torch.zeros_like(given.hidden) if by_hidden[-1] is None else by_hidden[-1]
    steps = list(zip(tape.words(), slopes.words(), flow.words(size), strict=True))
    for t in range(len(steps) - 1, -1, -1):
        word, slope, out = steps[t]
        torch.mul(grad.unsqueeze(1), slope.cell, out=out.cell)
        affine(out.gates, context_weight, by_context[t], out=out.context_row)
        weighted = torch.bmm(out.context, values)
        if (direct := by_alpha[t]) is not None:
            weighted.add_(direct)
        query = through_tanh(weighted.mul_(word.alpha), word.alpha, word.exp_query)
        torch.mul(query, slope.query, out=out.query)
        before = affine(out.state, state_weight, by_hidden[t - 1] if t else None)
        grad = before.addcmul_(grad, word.update)
    return collect(given, tape, flow, grad)


def by_word(part: Tensor | None, absent: _A, words: int) -> list[Tensor | _A]:
    """Incoming gradients [T, ...] word by word; `absent` for each word where there are none."""
    return [absent] * words if part is None else list(part.unbind(0))


class TanhBackward:
    """From a word's attention to its query, adding to the sums for keys and score on the way.

    Args:
        exp_keys: [B, L, A].
        flow: whose `keys` and `score` are added to.
    """

    def __init__(self, exp_keys: Tensor, flow: Flow) -> None:
        batch, locations, _ = exp_keys.shape
        self.size = block_size(batch, exp_keys[0].numel())
        self.by_score = exp_keys.new_empty(batch, 1, locations)
        self.sums, self.one = torch.empty_like(flow.score), exp_keys.new_ones(())
        whole = (exp_keys, flow.keys, flow.score, self.sums, self.by_score)
        parts = (torch.split(part, self.size) for part in whole)
        self.blocks = [(*block, block[-1].transpose(1, 2)) for block in zip(*parts, strict=True)]
        self.r, self.slope = (torch.empty_like(self.blocks[0][0]) for _ in range(2))

    def __call__(self, weighted: Tensor, alpha: Tensor, exp_query: Tensor) -> Tensor:
        """Sums over locations of de_tj r (1 - r), [B, 1, A]; overwritten by the next call.

        `weighted` [B, 1, L] is alpha_t times the gradient by alpha_t.
        """
        total = weighted.sum(-1, keepdim=True)
        torch.addcmul(weighted, alpha, total, value=-1, out=self.by_score)
        queries = in_blocks(exp_query, self.size)
        for query, block in zip(queries, self.blocks, strict=True):
            exp_keys, keys, score, sums, row, column = block
            r, slope = self.r[: len(row)], self.slope[: len(row)]
            halved_sigmoids(exp_keys, query, self.one, r)
            score.baddbmm_(row, r)
            torch.addcmul(r, r, r, value=-1, out=slope)
            keys.addcmul_(column, slope)
            torch.bmm(row, slope, out=sums)
        return self.sums


def collect(given: Inputs, tape: Tape, flow: Flow, hidden: Tensor) -> Inputs:
    """Turn what the loop gathered into gradients by the inputs."""
    dtype, size = given.word_gates.dtype, hidden.shape[1]
    out = flow.all_words(size)

    def weight(by_output: Tensor, by_input: Tensor) -> Tensor:
        left, right = by_output.flatten(0, 1), by_input.flatten(0, 1)
        return torch.mm(left.to(dtype).t(), right.to(dtype)).to(left.dtype)

    return Inputs(
        word_gates=out.gates.roll(-size, -1).to(dtype),
        keys=flow.keys.mul_(4 * given.score).mul_(inside_clamp(tape.exp_keys)),
        values=torch.bmm(tape.alpha.squeeze(2).permute(1, 2, 0), out.context_row.transpose(0, 1)),
        bias=torch.zeros_like(given.bias),
        hidden=hidden,
        context_weight=weight(out.gates, tape.context.squeeze(2)).roll(-size, 0),
        state_weight=weight(out.state, tape.hidden[:-1]),
        state_bias=out.state.sum((0, 1)),
        score=-2 * flow.score.sum((0, 1)),
    )
