"""The recurrence of the attention decoder as one differentiable unit.

A GRU (Cho et al. 2014, in the form of `torch.nn.GRU`) whose input is a word and the context
that the state before it attended to. Plain autograd would keep tanh(U h + W s), [B, L, A], of
every word; here the passes are written by hand (`recurrence_forward`, `recurrence_backward`;
`recurrence_compiled` fuses each word by torch.compile).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from xray_report.models import recurrence_backward, recurrence_compiled, recurrence_forward
from xray_report.models.attention import AttentionMemory, attend, doubled_exp, missing_bias
from xray_report.models.recurrence_flow import Incoming
from xray_report.models.recurrence_tape import Inputs, Tape


class Unrolled(NamedTuple):
    """States, contexts and attention of all words.

    Args:
        hidden: [B, T, H].
        context: [B, T, D].
        attention: [B, T, L].
    """

    hidden: Tensor
    context: Tensor
    attention: Tensor


class Passes(NamedTuple):
    """A way to run the recurrence forwards and backwards."""

    unroll: Callable[[Inputs], Tape]
    unwind: Callable[[Inputs, Tape, Incoming], Inputs]


EAGER = Passes(recurrence_forward.unroll, recurrence_backward.unwind)
COMPILED = Passes(recurrence_compiled.unroll, recurrence_compiled.unwind)


class Recurrence(torch.autograd.Function):
    """`apply(Passes, *Inputs)` -> hidden [T, B, H], context [T, B, 1, D], alpha [T, B, 1, L]."""

    @staticmethod
    def forward(ctx: Any, passes: Passes, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run all words and keep the tape."""
        given = Inputs(*inputs)
        with torch.autocast(given.score.device.type, enabled=False):
            tape = passes.unroll(given)
        ctx.passes = passes
        ctx.save_for_backward(*given, *tape)
        ctx.set_materialize_grads(False)
        return tape.hidden[1:].clone(), tape.context.clone(), tape.alpha.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
        """Gradients by the inputs; none by the passes and the bias."""
        saved = ctx.saved_tensors
        given, tape = Inputs(*saved[: len(Inputs._fields)]), Tape(*saved[len(Inputs._fields) :])
        with torch.autocast(given.score.device.type, enabled=False):
            found = ctx.passes.unwind(given, tape, Incoming(*incoming))
        gradients: list[Tensor | None] = list(found)
        gradients[Inputs._fields.index("bias")] = None
        return None, *gradients


class AttentiveGRU(nn.Module):
    """GRU over words that attends to a study's locations before each of them.

    Args:
        word_size: E, length of a word's input vector.
        value_size: D, length of a location's vector.
        hidden_size: H.
        attention_size: A, units of the tanh layer that scores a location.
        passes: how `forward` runs.
    """

    def __init__(
        self,
        word_size: int,
        value_size: int,
        hidden_size: int,
        attention_size: int,
        passes: Passes = EAGER,
    ) -> None:
        super().__init__()
        self.hidden_size, self.passes = hidden_size, passes
        self.keys = nn.Linear(value_size, attention_size, bias=False)
        self.words = nn.Linear(word_size, 3 * hidden_size)
        self.context_weight = nn.Parameter(torch.empty(3 * hidden_size, value_size))
        self.state_weight = nn.Parameter(torch.empty(3 * hidden_size + attention_size, hidden_size))
        self.state_bias = nn.Parameter(torch.zeros(3 * hidden_size + attention_size))
        self.score = nn.Parameter(torch.empty(attention_size))
        self._reset(hidden_size, attention_size)

    def _reset(self, hidden_size: int, attention_size: int) -> None:
        """Gates as `torch.nn.GRU` starts them, the score as a linear layer's."""
        bound = 1 / math.sqrt(hidden_size)
        for weight in (self.words.weight, self.context_weight, self.state_weight):
            nn.init.uniform_(weight, -bound, bound)
        nn.init.zeros_(self.words.bias)
        bound = 1 / math.sqrt(attention_size)
        nn.init.uniform_(self.score, -bound, bound)

    def memory(self, values: Tensor, present: Tensor) -> AttentionMemory:
        """What `step` attends to: values [B, L, D], of which bool `present` [B, L] exist."""
        values = values.to(self.score.dtype)
        keys = self.keys(values).to(self.score.dtype)
        return AttentionMemory(doubled_exp(keys), values, missing_bias(present, values))

    def forward(
        self,
        words: Tensor,
        values: Tensor,
        present: Tensor,
        hidden: Tensor,
        image_gates: Tensor | None = None,
    ) -> Unrolled:
        """Run all words.

        Args:
            words: [B, T, E].
            values: [B, L, D], zero where not present.
            present: bool [B, L].
            hidden: [B, H], state before the first word.
            image_gates: [B, 3H] to add to the gates of every word.
        """
        dtype = self.score.dtype
        values = values.to(dtype)
        word_gates = self.words(words.transpose(0, 1))
        if image_gates is not None:
            word_gates = word_gates + image_gates.to(word_gates.dtype)
        found = Recurrence.apply(
            self.passes,
            *Inputs(
                word_gates=word_gates,
                keys=self.keys(values).to(dtype),
                values=values,
                bias=missing_bias(present, values),
                hidden=hidden.to(dtype),
                context_weight=self.context_weight,
                state_weight=self.state_weight,
                state_bias=self.state_bias,
                score=self.score,
            ),
        )
        hidden, context, alpha = found
        return Unrolled(
            hidden.transpose(0, 1),
            context.squeeze(2).transpose(0, 1),
            alpha.squeeze(2).transpose(0, 1),
        )

    def step(
        self,
        words: Tensor,
        hidden: Tensor,
        memory: AttentionMemory,
        image_gates: Tensor | None = None,
    ) -> Unrolled:
        """Run one word of N rows: words [N, E], hidden [N, H]; results [N, ...].

        N is a multiple of the memory's B, rows study-major; nothing of the memory is copied.
        """
        size, dtype = self.hidden_size, self.score.dtype
        state = F.linear(hidden, self.state_weight, self.state_bias).to(dtype)
        query = state[:, 3 * size :].reshape(memory.bias.shape[0], -1, self.score.shape[0])
        alpha, context = attend(query, memory, self.score)
        context = context.flatten(0, 1)
        gates = (self.words(words) + F.linear(context, self.context_weight)).to(dtype)
        if image_gates is not None:
            per_study = gates.view(*query.shape[:2], -1) + image_gates.unsqueeze(1)
            gates = per_study.flatten(0, 1)
        reset, update = (gates[:, : 2 * size] + state[:, : 2 * size]).sigmoid().chunk(2, -1)
        new = (gates[:, 2 * size :] + reset * state[:, 2 * size : 3 * size]).tanh()
        return Unrolled(torch.lerp(new, hidden, update), context, alpha.flatten(0, 1))
