"""Gradients that flow back through the attention recurrence, and the slopes they meet.

Shapes: T words, B studies, L locations, A attention units, D value size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from xray_report.models.attention import inside_clamp
from xray_report.models.recurrence_tape import Inputs, Tape


class Incoming(NamedTuple):
    """Gradients of the loss by what the recurrence returned; None where unused.

    Args:
        hidden: [T, B, H].
        context: [T, B, 1, D].
        alpha: [T, B, 1, L].
    """

    hidden: Tensor | None
    context: Tensor | None
    alpha: Tensor | None


class Slopes(NamedTuple):
    """Derivatives that need no gradient, of all words at once, or views of them at one word.

    Args:
        cell: [T, B, 4, H], of the next state by the pre-activations of candidate, reset gate
            and update gate, and by what the reset gate multiplies.
        query: [T, B, 1, A], what every location has in common of its score's by the query.
    """

    cell: Tensor
    query: Tensor

    @classmethod
    def of(cls, given: Inputs, tape: Tape) -> Slopes:
        """Derivatives at the values on `tape`."""
        word = tape.all_words()
        closed = 1 - word.update
        by_new = closed * (1 - word.new.square())
        by_new_state = by_new * word.reset
        by_reset = by_new_state * (1 - word.reset) * word.new_state
        by_update = (word.before - word.new) * word.update * closed
        return cls(
            torch.stack([by_new, by_reset, by_update, by_new_state], 2),
            4 * given.score * inside_clamp(word.exp_query),
        )

    def words(self) -> Iterator[Slopes]:
        """Views of one word after the other."""
        return map(Slopes._make, zip(*(part.unbind(0) for part in self), strict=True))


class Flow(NamedTuple):
    """Gradients gathered by the loop.

    Args:
        cell: [T, B, 4H + A], by the pre-activations of candidate, reset and update gate, by
            what the reset gate multiplies, and by the query. The first three are what words and
            contexts yield, all but the first what states yield: neither needs a copy.
        context: [T, B, 1, D].
        keys: [B, L, A], sum over words of de_tj r (1 - r).
        score: [B, 1, A], sum over words and locations of de_tj r.
    """

    cell: Tensor
    context: Tensor
    keys: Tensor
    score: Tensor

    @classmethod
    def blank(cls, given: Inputs, tape: Tape) -> Flow:
        """Room for all words, and zeros where sums will stand."""
        words, batch, size = tape.new.shape
        return cls(
            tape.new.new_empty(words, batch, size + given.state_weight.shape[0]),
            torch.empty_like(tape.context),
            torch.zeros_like(tape.exp_keys),
            tape.new.new_zeros(batch, 1, given.score.shape[0]),
        )

    def all_words(self, size: int) -> WordFlow:
        """Parts of the flow by name, of all words at once; `size` is H."""
        cell = self.cell[..., : 4 * size].view(*self.cell.shape[:-1], 4, size)
        query = self.cell[..., 4 * size :].unsqueeze(2)
        gates, state = self.cell[..., : 3 * size], self.cell[..., size:]
        return WordFlow(cell, query, gates, state, self.context, self.context.squeeze(2))

    def words(self, size: int) -> Iterator[WordFlow]:
        """Views of one word after the other; made together, since each view has its price."""
        parts = (part.unbind(0) for part in self.all_words(size))
        return map(WordFlow._make, zip(*parts, strict=True))


class WordFlow(NamedTuple):
    """Views of a flow at one word, or at all of them (then each with T in front).

    Args:
        cell: [B, 4, H].
        query: [B, 1, A].
        gates: [B, 3H], in the order candidate, reset, update.
        state: [B, 3H + A], in the order of `state_weight`.
        context: [B, 1, D].
        context_row: [B, D], the same.
    """

    cell: Tensor
    query: Tensor
    gates: Tensor
    state: Tensor
    context: Tensor
    context_row: Tensor
