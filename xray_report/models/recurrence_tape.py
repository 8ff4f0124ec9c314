"""What flows through the attention recurrence and what it keeps for its backward pass.

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

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
        exp_query: [T, B, 1, A].
        gates: [T, B, 2H], reset and update after the sigmoid.
        new: [T, B, H], candidate states after the tanh.
        new_state: [T, B, H], what the reset gate multiplies.
        hidden: [T + 1, B, H].
        context: [T, B, 1, D].
        alpha: [T, B, 1, L].
    """

    exp_keys: Tensor
    exp_query: Tensor
    gates: Tensor
    new: Tensor
    new_state: Tensor
    hidden: Tensor
    context: Tensor
    alpha: Tensor

    @classmethod
    def blank(cls, given: Inputs) -> Tape:
        """Room for all words of `given`, with the keys' exponentials and first state in place."""
        words, batch, _ = given.word_gates.shape
        size, units = given.hidden.shape[1], given.score.shape[0]

        def room(*shape: int) -> Tensor:
            return given.hidden.new_empty(shape)

        tape = cls(
            doubled_exp(given.keys),
            room(words, batch, 1, units),
            room(words, batch, 2 * size),
            room(words, batch, size),
            room(words, batch, size),
            room(words + 1, batch, size),
            room(words, batch, 1, given.values.shape[2]),
            room(words, batch, 1, given.bias.shape[1]),
        )
        tape.hidden[0] = given.hidden
        return tape

    def words(self) -> Iterator[Word]:
        """Views of one word after the other; made together, since each view has its price."""
        size = self.new.shape[2]
        columns = (
            self.exp_query,
            self.gates,
            self.gates[..., :size],
            self.gates[..., size:],
            self.new,
            self.new_state,
            self.hidden[:-1],
            self.hidden[1:],
            self.context,
            self.alpha,
        )
        return map(Word._make, zip(*(column.unbind(0) for column in columns), strict=True))


class Word(NamedTuple):
    """Views of a tape at one word; `before` and `after` are its hidden states."""

    exp_query: Tensor
    gates: Tensor
    reset: Tensor
    update: Tensor
    new: Tensor
    new_state: Tensor
    before: Tensor
    after: Tensor
    context: Tensor
    alpha: Tensor
