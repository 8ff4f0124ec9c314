"""What flows through the attention recurrence and what it keeps for its backward pass.

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from xray_report.models.attention import doubled_exp


class Inputs(NamedTuple):
    """What `Recurrence` takes, in its order.

    Args:
        word_gates: [T, B, 3H], the words' share of the gates (reset, update, new), in the dtype
            that weight products run in.
        keys: [B, L, A], U h_j.
        values: [B, L, D].
        bias: [B, L], added to the scores.
        hidden: [B, H], state before the first word.
        context_weight: [3H, D], from contexts to gates.
        state_weight: [3H + A, H], from states to gates and then to the query.
        state_bias: [3H + A].
        score: [A], V.
    """

    word_gates: Tensor
    keys: Tensor
    values: Tensor
    bias: Tensor
    hidden: Tensor
    context_weight: Tensor
    state_weight: Tensor
    state_bias: Tensor
    score: Tensor


class Tape(NamedTuple):
    """What the backward pass needs of the forward pass, besides its inputs.

    Args:
        exp_keys: [B, L, A].
        state: [T, B, 3H + A], what `state_weight` yields, changed in place to reset and update
            after the sigmoid, what the reset gate multiplies, and exp(2q).
        new: [T, B, H], candidate states after the tanh.
        hidden: [T + 1, B, H].
        context: [T, B, 1, D].
        alpha: [T, B, 1, L].
    """

    exp_keys: Tensor
    state: Tensor
    new: Tensor
    hidden: Tensor
    context: Tensor
    alpha: Tensor

    @classmethod
    def blank(cls, given: Inputs) -> Tape:
        """Room for all words of `given`, with the keys' exponentials and first state in place."""
        words, batch, _ = given.word_gates.shape
        size = given.hidden.shape[1]

        def room(*shape: int) -> Tensor:
            return given.hidden.new_empty(shape)

        tape = cls(
            doubled_exp(given.keys),
            room(words, batch, given.state_weight.shape[0]),
            room(words, batch, size),
            room(words + 1, batch, size),
            room(words, batch, 1, given.values.shape[2]),
            room(words, batch, 1, given.bias.shape[1]),
        )
        tape.hidden[0] = given.hidden
        return tape

    def all_words(self) -> Word:
        """Parts of the tape by name, of all words at once."""
        size = self.new.shape[2]
        return Word(
            self.state,
            self.state[..., : 2 * size],
            self.state[..., :size],
            self.state[..., size : 2 * size],
            self.state[..., 2 * size : 3 * size],
            self.state[..., 3 * size :].unsqueeze(2),
            self.new,
            self.hidden[:-1],
            self.hidden[1:],
            self.context,
            self.context.squeeze(2),
            self.alpha,
        )

    def words(self) -> Iterator[Word]:
        """Views of one word after the other; made together, since each view has its price."""
        return map(Word._make, zip(*(part.unbind(0) for part in self.all_words()), strict=True))


class Word(NamedTuple):
    """Views of a tape at one word, or at all of them (then each with T in front).

    Args:
        state: [B, 3H + A], of which the next five are parts.
        gates: [B, 2H], reset and update.
        reset, update, new_state: [B, H].
        exp_query: [B, 1, A].
        new: [B, H].
        before, after: [B, H], the hidden states around the word.
        context: [B, 1, D].
        context_row: [B, D], the same.
        alpha: [B, 1, L].
    """

    state: Tensor
    gates: Tensor
    reset: Tensor
    update: Tensor
    new_state: Tensor
    exp_query: Tensor
    new: Tensor
    before: Tensor
    after: Tensor
    context: Tensor
    context_row: Tensor
    alpha: Tensor


def affine(
    rows: Tensor, weight: Tensor, plus: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """`rows` [N, I] times `weight` [I, O], multiplied in the weight's dtype, and `plus`.

    The result [N, O] has the dtype of `rows`; it is written to `out` if given.
    """
    if rows.dtype == weight.dtype:
        if plus is None:
            return torch.mm(rows, weight, out=out)
        return torch.addmm(plus, rows, weight, out=out)
    out = rows.new_empty(rows.shape[0], weight.shape[1]) if out is None else out
    out.copy_(torch.mm(rows.to(weight.dtype), weight))
    return out if plus is None else out.add_(plus)
