"""The attention recurrence as a textbook writes it: one tanh a word, gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from xray_report.models.decoders.attention import AttentiveGRU


class Weights(NamedTuple):
    """An `AttentiveGRU`'s weights as `torch.gru_cell` takes them, and those of its attention."""

    score: Tensor
    query: Tensor
    query_bias: Tensor
    inputs: Tensor
    states: Tensor
    input_bias: Tensor
    state_bias: Tensor

    @classmethod
    def of(cls, rnn: AttentiveGRU) -> Weights:
        size, weight, bias = 3 * rnn.hidden_size, rnn.state_weight, rnn.state_bias
        inputs = torch.cat([rnn.words.weight, rnn.context_weight], dim=1)
        parts = (inputs, weight[:size], rnn.words.bias, bias[:size])
        return cls(rnn.score, weight[size:], bias[size:], *parts)


def plain_step(
    weights: Weights, keys: Tensor, values: Tensor, present: Tensor, word: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """State, context and attention after one word [B, E]."""
    query = F.linear(hidden, weights.query, weights.query_bias)
    scores = torch.tanh(keys + query.unsqueeze(1)) @ weights.score
    lowest = torch.finfo(scores.dtype).min
    alpha = scores.masked_fill(~present, lowest).softmax(-1)
    context = torch.bmm(alpha.unsqueeze(1), values).squeeze(1)
    joined = torch.cat([word, context], dim=-1)
    return torch.gru_cell(joined, hidden, *weights[3:]), context, alpha


def plain_recurrence(
    rnn: AttentiveGRU,
    words: Tensor,
    values: Tensor,
    present: Tensor,
    hidden: Tensor,
    step: Callable[..., tuple[Tensor, Tensor, Tensor]] = plain_step,
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden [B, T, H], context [B, T, D] and attention [B, T, L]; see `AttentiveGRU.forward`.

    `step` is `plain_step` or a compiled one.
    """
    weights, keys = Weights.of(rnn), rnn.keys(values)
    steps = []
    for word in words.unbind(1):
        hidden, context, alpha = step(weights, keys, values, present, word, hidden)
        steps.append((hidden, context, alpha))
    states, contexts, alphas = zip(*steps, strict=True)
    return torch.stack(states, 1), torch.stack(contexts, 1), torch.stack(alphas, 1)
