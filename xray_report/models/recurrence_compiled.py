"""Both passes of the attention recurrence with each word fused by torch.compile.

Written as a textbook would, since Inductor does the rest: between a word's two products
everything is one loop, which stores nothing of [B, L, A] and costs a division a cell. The keys'
gradient needs only [B, L] and [B, A] of each word: these are kept, and summed in one pass at the
end instead of adding to [B, L, A] word by word.

Compiling takes half a minute the first time (Inductor keeps the result on disk) and needs a C++
compiler on a CPU, Triton on a GPU.

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from xray_report.errors import OptionError
from xray_report.models.attention import HIGHEST, LOWEST, doubled_exp, inside_clamp
from xray_report.models.recurrence_backward import by_word, collect
from xray_report.models.recurrence_flow import Flow, Incoming
from xray_report.models.recurrence_forward import query_doubled
from xray_report.models.recurrence_tape import Inputs, Tape, affine

_R = TypeVar("_R")


@cache
def _compiled(function: Callable[..., _R]) -> Callable[..., _R]:
    """`function` compiled; raises OptionError when called where there is no compiler."""
    from torch._dynamo.exc import TorchDynamoException

    fused = torch.compile(function)

    def run(*args: Tensor) -> _R:
        try:
            return fused(*args)
        except TorchDynamoException as error:
            reason = str(error).splitlines()[0]
            raise OptionError(
                "model.architecture.compiled=true needs a compiler that torch.compile can use "
                f"(g++ on a CPU, Triton on a GPU): install one, or use false ({reason})"
            ) from error

    return run


def unroll(given: Inputs) -> Tape:
    """Run the recurrence over all words."""
    size, dtype = given.hidden.shape[1], given.word_gates.dtype
    word, exp_keys, hidden = _compiled(forward_word), doubled_exp(given.keys), [given.hidden]
    memory = exp_keys, given.values, given.bias
    weights = (
        query_doubled(given.state_weight, 3 * size).to(dtype).t(),
        query_doubled(given.state_bias, 3 * size).to(dtype),
        given.context_weight.to(dtype).t(),
        -2 * given.score,
    )
    kept = []
    for word_gates in given.word_gates.unbind(0):
        after, *rest = word(hidden[-1], word_gates, *memory, *weights)
        hidden.append(after)
        kept.append(rest)
    state, new, context, alpha = (torch.stack(part) for part in zip(*kept, strict=True))
    return Tape(exp_keys, state, new, torch.stack(hidden), context, alpha)


def forward_word(
    before: Tensor,
    word_gates: Tensor,
    exp_keys: Tensor,
    values: Tensor,
    bias: Tensor,
    state_weight: Tensor,
    state_bias: Tensor,
    context_weight: Tensor,
    score: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The state after a word [B, H] and, as `Tape` has them of all words, what is kept of it.

    State [B, 3H + A], new [B, H], context [B, 1, D] and alpha [B, 1, L]. `score` is -2 V, the rows
    of the query in `state_weight` [H, 3H + A] are doubled, `context_weight` is [D, 3H].
    """
    size = before.shape[1]
    state = affine(before, state_weight, state_bias)
    exp_query = state[:, 3 * size :].exp().clamp(LOWEST, HIGHEST)
    scores = (score / (1 + exp_keys * exp_query.unsqueeze(1))).sum(-1) + bias
    alpha = scores.softmax(-1).unsqueeze(1)
    context = torch.bmm(alpha, values)
    gates = affine(context.squeeze(1), context_weight, word_gates)
    reset, update = (gates[:, : 2 * size] + state[:, : 2 * size]).sigmoid().chunk(2, 1)
    new_state = state[:, 2 * size : 3 * size]
    new = (gates[:, 2 * size :] + reset * new_state).tanh()
    kept = torch.cat([reset, update, new_state, exp_query], 1)
    return torch.lerp(new, before, update), kept, new, context, alpha


def unwind(given: Inputs, tape: Tape, incoming: Incoming) -> Inputs:
    """Gradients by every input (zeros by the bias)."""
    size, dtype, word = given.hidden.shape[1], given.word_gates.dtype, _compiled(backward_word)
    # In the flow's order: candidate, reset, update.
    context_weight = given.context_weight.roll(size, 0).to(dtype)
    weights = context_weight, given.state_weight.to(dtype), given.score
    memory = tape.exp_keys, given.values.transpose(1, 2)
    words, outputs = len(tape.new), (tape.new, tape.context, tape.alpha)
    pairs = zip(incoming, (torch.zeros_like(part[0]) for part in outputs), strict=True)
    steps = zip(
        *(by_word(part, zeros, words) for part, zeros in pairs),
        *(part.unbind(0) for part in (tape.hidden[:-1], tape.new, tape.state, tape.alpha)),
        strict=True,
    )
    grad, kept = torch.zeros_like(given.hidden), []
    for step in reversed(list(steps)):
        grad, *rest = word(grad, *step, *memory, *weights)
        kept.append(rest)
    kept.reverse()
    cell, context, by_score, score = (torch.stack(part) for part in zip(*kept, strict=True))
    exp_queries = tape.state[..., 3 * size :].transpose(0, 1).contiguous()
    keys = _compiled(key_sums)(tape.exp_keys, exp_queries, by_score.squeeze(2).transpose(0, 1))
    return collect(given, tape, Flow(cell, context, keys, score.sum(0)), grad)


def backward_word(
    grad: Tensor,
    by_hidden: Tensor,
    by_context: Tensor,
    by_alpha: Tensor,
    before: Tensor,
    new: Tensor,
    state: Tensor,
    alpha: Tensor,
    exp_keys: Tensor,
    values: Tensor,
    context_weight: Tensor,
    state_weight: Tensor,
    score: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """From `grad`, by the state after a word, to that by the state before it [B, H].

    Then, as `Flow` has them of all words: cell [B, 4H + A], context [B, 1, D]; de_tj [B, 1, L],
    and its sum over locations with r, [B, 1, A]. `values` is transposed, [B, D, L].
    """
    size, grad = new.shape[1], grad + by_hidden
    reset, update, new_state = state[:, : 3 * size].chunk(3, 1)
    exp_query = state[:, 3 * size :].unsqueeze(1)
    by_new = grad * (1 - update) * (1 - new * new)
    by_new_state = by_new * reset
    by_reset = by_new_state * (1 - reset) * new_state
    by_update = grad * (before - new) * update * (1 - update)
    gates = torch.cat([by_new, by_reset, by_update], 1)
    context = affine(gates, context_weight, by_context.squeeze(1)).unsqueeze(1)
    weighted = (torch.bmm(context, values) + by_alpha) * alpha
    by_score = weighted - alpha * weighted.sum(-1, keepdim=True)
    r = 1 / (1 + exp_keys * exp_query)
    told = by_score.transpose(1, 2) * r
    slope = 4 * score * inside_clamp(exp_query)
    query = ((told * (1 - r)).sum(1, keepdim=True) * slope).squeeze(1)
    to_state = torch.cat([by_reset, by_update, by_new_state, query], 1)
    by_before = affine(to_state, state_weight) + grad * update
    cell = torch.cat([by_new, to_state], 1)
    return by_before, cell, context, by_score, told.sum(1, keepdim=True)


def key_sums(exp_keys: Tensor, exp_queries: Tensor, by_scores: Tensor) -> Tensor:
    """Sums [B, L, A] over words of de_tj r (1 - r), of [B, T, A] and [B, T, L]."""
    r = 1 / (1 + exp_keys.unsqueeze(2) * exp_queries.unsqueeze(1))
    return (r * (1 - r) * by_scores.transpose(1, 2).unsqueeze(3)).sum(2)
