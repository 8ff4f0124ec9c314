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
        new: [T, B, H], of the next state by the candidate's pre-activation.
        update: [T, B, H], of the next state by the update gate's pre-activation.
        reset: [T, B, H], of the candidate's pre-activation by the reset gate's.
        query: [T, B, 1, A], what every location has in common of its score's by the query.
    """

    new: Tensor
    update: Tensor
    reset: Tensor
    query: Tensor

    @classmethod
    def of(cls, given: Inputs, tape: Tape) -> Slopes:
        """Derivatives at the values on `tape`."""
        reset, update = tape.gates.chunk(2, -1)
        closed = 1 - update
        return cls(
            closed * (1 - tape.new.square()),
            (tape.hidden[:-1] - tape.new) * update * closed,
            tape.new_state * reset * (1 - reset),
            4 * given.score * inside_clamp(tape.exp_query),
        )

    def words(self) -> Iterator[Slopes]:
        """Views of one word after the other."""
        return map(Slopes._make, zip(*(part.unbind(0) for part in self), strict=True))


class Flow(NamedTuple):
    """Gradients gathered by the loop.

    Args:
        gates: [T, B, 3H], by the gates' pre-activations.
        state: [T, B, 3H + A], by what `state_weight` yields.
        context: [T, B, 1, D].
        keys: [B, L, A], sum over words of de_tj r (1 - r).
        score: [B, 1, A], sum over words and locations of de_tj r.
    """

    gates: Tensor
    state: Tensor
    context: Tensor
    keys: Tensor
    score: Tensor

    @classmethod
    def blank(cls, given: Inputs, tape: Tape) -> Flow:
        """Room for all words, and zeros where sums will stand."""
        words, batch, gates = given.word_gates.shape
        return cls(
            tape.new.new_empty(words, batch, gates),
            tape.new.new_empty(words, batch, given.state_weight.shape[0]),
            torch.empty_like(tape.context),
            torch.zeros_like(tape.exp_keys),
            torch.zeros_like(tape.exp_query[0]),
        )

    def words(self) -> Iterator[WordFlow]:
        """Views of one word after the other; made together, since each view has its price."""
        size = self.gates.shape[2] // 3
        columns = (
            self.gates,
            self.state,
            self.context,
            self.gates[..., :size],
            self.gates[..., size : 2 * size],
            self.gates[..., 2 * size :],
            self.gates[..., : 2 * size],
            self.state[..., : 2 * size],
            self.state[..., 2 * size : 3 * size],
            self.state[..., 3 * size :].unsqueeze(2),
        )
        return map(WordFlow._make, zip(*(column.unbind(0) for column in columns), strict=True))


class WordFlow(NamedTuple):
    """Views of a flow at one word; those after `context` are parts of `gates` and `state`."""

    gates: Tensor
    state: Tensor
    context: Tensor
    reset: Tensor
    update: Tensor
    new: Tensor
    reset_and_update: Tensor
    state_reset_and_update: Tensor
    state_new: Tensor
    query: Tensor
