"""Forward pass of the attention recurrence over all words of a batch.

What is kept for the backward pass grows as [T, B, H], never as [T, B, L, A]. A word is a dozen
small operations, and each has its price: they work in place, on views made once.

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xray_report.models.attention import HIGHEST, LOWEST, block_size, halved_sigmoids, in_blocks
from xray_report.models.recurrence_tape import Inputs, Tape, affine


def unroll(given: Inputs) -> Tape:
    """Run the recurrence over all words."""
    tape = Tape.blank(given)
    size, dtype = given.hidden.shape[1], given.word_gates.dtype
    state_weight = query_doubled(given.state_weight, 3 * size).to(dtype).t()
    state_bias = query_doubled(given.state_bias, 3 * size).to(dtype)
    context_weight = given.context_weight.to(dtype).t()
    gates = given.hidden.new_empty(given.word_gates.shape[1:])
    reset_and_update, new = gates[:, : 2 * size], gates[:, 2 * size :]
    scorer = Scorer(tape.exp_keys, given.bias, given.score)
    for word_gates, word in zip(given.word_gates.unbind(0), tape.words(), strict=True):
        affine(word.before, state_weight, state_bias, out=word.state)
        word.exp_query.exp_().clamp_(LOWEST, HIGHEST)
        torch.softmax(scorer(word.exp_query), -1, out=word.alpha)
        torch.bmm(word.alpha, given.values, out=word.context)
        affine(word.context_row, context_weight, word_gates, out=gates)
        word.gates.add_(reset_and_update).sigmoid_()
        torch.addcmul(new, word.reset, word.new_state, out=word.new).tanh_()
        torch.lerp(word.new, word.before, word.update, out=word.after)
    return tape


def query_doubled(part: Tensor, start: int) -> Tensor:
    """`state_weight` or `state_bias` with its rows from `start` on twice as large: q becomes 2q."""
    return torch.cat([part[:start], 2 * part[start:]])


class Scorer:
    """Scores of all locations for one query a study, up to a constant; in blocks of studies.

    Args:
        exp_keys: [B, L, A].
        bias: [B, L].
        score: [A], V.
    """

    def __init__(self, exp_keys: Tensor, bias: Tensor, score: Tensor) -> None:
        self.size = block_size(exp_keys.shape[0], exp_keys[0].numel())
        self.weight, self.one = -2 * score, score.new_ones(())
        self.scores = torch.empty_like(bias).unsqueeze(1)
        keys = torch.split(exp_keys, self.size)
        scratch = torch.empty_like(keys[0])
        cells = [scratch[: len(part)] for part in keys]
        rows = [part.view(-1, part.shape[2]) for part in cells]
        flat = (
            [part.view(-1) for part in torch.split(whole, self.size)]
            for whole in (bias, self.scores)
        )
        self.blocks = list(zip(keys, cells, rows, *flat, strict=True))

    def __call__(self, exp_query: Tensor) -> Tensor:
        """Scores [B, 1, L] for exp_query [B, 1, A]; overwritten by the next call."""
        queries = in_blocks(exp_query, self.size)
        for query, (keys, cells, rows, bias, out) in zip(queries, self.blocks, strict=True):
            halved_sigmoids(keys, query, self.one, cells)
            torch.addmv(bias, rows, self.weight, out=out)
        return self.scores
