"""Bahdanau attention with the tanh rewritten so that each word costs a division a cell.

Bahdanau, Cho and Bengio 2015 (arXiv:1409.0473), equations 5, 6 and section A.1.2:
e_jt = V . tanh(U h_j + W s_{t-1}), alpha_t = softmax_j(e_jt), context_t = sum_j alpha_jt h_j.

With k = U h_j and q = W s_{t-1}, tanh(k + q) = 1 - 2 / (1 + exp(2k) exp(2q)). The constant 1
adds V . 1 to every location and vanishes in the softmax, so e_jt = -2 V . r with
r = 1 / (1 + exp(2k) exp(2q)). exp(2k) is taken once a study and exp(2q) once a word; only
the reciprocal is left for each word, location and attention unit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

CLAMP = 20.0
"""Keys and queries are held in [-CLAMP, CLAMP], where tanh is 1 to the last bit of a double.

It keeps exp(2k) exp(2q) finite and above zero in single precision.
"""

LOWEST, HIGHEST = math.exp(-2 * CLAMP), math.exp(2 * CLAMP)
"""Where exp(2k) and exp(2q) are held by it."""

_ROUNDING = 1e-5
"""Relative error allowed to an exponential at the clamp's edge."""

BLOCK_CELLS = 1 << 18
"""Cells (study, location, unit) worked on at a time: 1 MB, so that they stay in cache."""


class AttentionMemory(NamedTuple):
    """What the words of a study attend to; written once a study.

    Args:
        exp_keys: [B, L, A], exp(2 U h_j).
        values: [B, L, D], zero where the view is missing.
        bias: [B, L], 0 where the view is present and very low where it is missing.
    """

    exp_keys: Tensor
    values: Tensor
    bias: Tensor


def doubled_exp(pre_activation: Tensor) -> Tensor:
    """exp(2x) of keys or queries x, x held within `CLAMP`."""
    return torch.exp(2 * pre_activation.clamp(-CLAMP, CLAMP))


def inside_clamp(exponential: Tensor) -> Tensor:
    """True where a `doubled_exp` comes from an input that `CLAMP` left alone, so has a slope."""
    low, high = LOWEST * (1 + _ROUNDING), HIGHEST * (1 - _ROUNDING)
    return (exponential > low) & (exponential < high)


def missing_bias(present: Tensor, like: Tensor) -> Tensor:
    """[B, L] to add to scores: 0 where bool `present`, else too low to survive the softmax.

    It is finite, so that a study with no view at all attends evenly to zero values: no NaN.
    """
    lowest = torch.finfo(like.dtype).min / 2
    return torch.zeros_like(present, dtype=like.dtype).masked_fill_(~present, lowest)


def halved_sigmoids(
    exp_keys: Tensor, exp_query: Tensor, one: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """r = 1 / (1 + exp(2k) exp(2q)), broadcast; tanh(k + q) is 1 - 2r.

    Many calls may share `one`, a scalar 1, and `out`.
    """
    one = exp_keys.new_ones(()) if one is None else one
    return torch.addcmul(one, exp_keys, exp_query, out=out).reciprocal_()


def block_size(studies: int, cells: int) -> int:
    """How many of `studies`, of `cells` cells each, to work on at a time: even shares."""
    blocks = -(-studies * cells // BLOCK_CELLS)
    return -(-studies // max(1, blocks))


def in_blocks(part: Tensor, size: int) -> tuple[Tensor, ...]:
    """`part` split into blocks of `size` rows."""
    return (part,) if len(part) <= size else torch.split(part, size)


def attend(query: Tensor, memory: AttentionMemory, score: Tensor) -> tuple[Tensor, Tensor]:
    """Look at the locations of B studies from K rows each, copying nothing of the memory.

    Args:
        query: [B, K, A], W s_{t-1}.
        memory: of the B studies.
        score: [A], V.

    Returns:
        Weights alpha [B, K, L] and contexts [B, K, D].
    """
    batch, rows, units = query.shape
    locations = memory.bias.shape[1]
    size = block_size(batch, rows * locations * units)
    exp_query = doubled_exp(query).unsqueeze(2)
    exp_keys = memory.exp_keys.unsqueeze(1)
    blocks = zip(torch.split(exp_keys, size), torch.split(exp_query, size), strict=True)
    scores = torch.cat([halved_sigmoids(*block) @ (-2 * score) for block in blocks])
    alpha = (scores + memory.bias.unsqueeze(1)).softmax(-1)
    return alpha, torch.bmm(alpha, memory.values)
