"""Forward pass of the attention recurrence over all words of a batch.

What is kept for the backward pass grows as [T, B, H], never as [T, B, L, A].

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xray_report.models.attention import CLAMP, block_size, halved_sigmoids
from xray_report.models.recurrence_tape import Inputs, Tape


def unroll(given: Inputs) -> Tape:
    """Run the recurrence over all words."""
    tape = Tape.blank(given)
    size, dtype = given.hidden.shape[1], given.word_gates.dtype
    state_weight, state_bias = given.state_weight.to(dtype).t(), given.state_bias.to(dtype)
    context_weight = given.context_weight.to(dtype).t()
    state = state_bias.new_empty(given.hidden.shape[0], state_bias.shape[0])
    gates_of_state, new_of_state = state[:, : 2 * size], state[:, 2 * size : 3 * size]
    query = state[:, 3 * size :].unsqueeze(1)
    scorer = Scorer(tape.exp_keys, given.bias, given.score)
    for word_gates, word in zip(given.word_gates.unbind(0), tape.words(), strict=True):
        torch.addmm(state_bias, word.before.to(dtype), state_weight, out=state)
        word.exp_query.copy_(query).clamp_(-CLAMP, CLAMP).mul_(2).exp_()
        torch.softmax(scorer(word.exp_query), -1, out=word.alpha)
        torch.bmm(word.alpha, given.values, out=word.context)
        gates = torch.addmm(word_gates, word.context.squeeze(1).to(dtype), context_weight)
        torch.add(gates[:, : 2 * size], gates_of_state, out=word.gates).sigmoid_()
        word.new_state.copy_(new_of_state)
        torch.addcmul(gates[:, 2 * size :], word.reset, word.new_state, out=word.new).tanh_()
        torch.lerp(word.new, word.before, word.update, out=word.after)
    return tape


class Scorer:
    """Scores of all locations for one query a study, up to a constant; in blocks of studies.

    Args:
        exp_keys: [B, L, A].
        bias: [B, L].
        score: [A], V.
    """

    def __init__(self, exp_keys: Tensor, bias: Tensor, score: Tensor) -> None:
        size = block_size(exp_keys.shape[0], exp_keys[0].numel())
        self.bias, self.weight = bias.unsqueeze(1), -2 * score
        self.scores = torch.empty_like(self.bias)
        self.exp_keys = torch.split(exp_keys, size)
        self.blocks = torch.split(self.scores.view_as(bias), size)
        scratch = torch.empty_like(self.exp_keys[0])
        self.cells = [scratch[: len(part)] for part in self.exp_keys]
        self.size = size

    def __call__(self, exp_query: Tensor) -> Tensor:
        """Scores [B, 1, L] for exp_query [B, 1, A]; overwritten by the next call."""
        queries = torch.split(exp_query, self.size)
        for keys, query, cells, out in zip(
            self.exp_keys, queries, self.cells, self.blocks, strict=True
        ):
            halved_sigmoids(keys, query, out=cells)
            torch.mv(cells.view(-1, cells.shape[2]), self.weight, out=out.view(-1))
        return self.scores.add_(self.bias)
