"""The attention recurrence as a textbook writes it: one tanh a word, everything on the tape."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xray_report.models.recurrence import AttentiveGRU


def plain_recurrence(
    rnn: AttentiveGRU, words: Tensor, values: Tensor, present: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden [B, T, H], context [B, T, D] and attention [B, T, L]; see `AttentiveGRU.forward`."""
    size = rnn.hidden_size
    weight, bias = rnn.state_weight, rnn.state_bias
    keys = rnn.keys(values)
    steps = []
    for t in range(words.shape[1]):
        query = F.linear(hidden, weight[3 * size :], bias[3 * size :])
        scores = torch.tanh(keys + query.unsqueeze(1)) @ rnn.score
        lowest = torch.finfo(scores.dtype).min
        alpha = scores.masked_fill(~present, lowest).softmax(-1)
        context = torch.bmm(alpha.unsqueeze(1), values).squeeze(1)
        joined = torch.cat([words[:, t], context], dim=-1)
        input_weight = torch.cat([rnn.words.weight, rnn.context_weight], dim=1)
        hidden = torch.gru_cell(
            joined, hidden, input_weight, weight[: 3 * size], rnn.words.bias, bias[: 3 * size]
        )
        steps.append((hidden, context, alpha))
    states, contexts, alphas = zip(*steps, strict=True)
    return torch.stack(states, 1), torch.stack(contexts, 1), torch.stack(alphas, 1)
