"""What a decoder is: the decoding protocol that searches speak, and teacher forcing to train it.

Rows are hypotheses, grouped by study: with B studies and K hypotheses each, row `b * K + k`
is hypothesis k of study b. A search never looks inside a state; it only selects rows or studies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor, nn


class DecoderState(NamedTuple):
    """What a decoder carries from word to word.

    Args:
        hidden: [N, H], one row a hypothesis.
        memory: tensors [B, ...], one row a study, written once by `initial_state` and never
            copied per hypothesis; N is a multiple of B and rows are study-major.
        attention: [N, L] weights of the step that made this state, or None before the first
            step and for models without attention.
    """

    hidden: Tensor
    memory: tuple[Tensor, ...]
    attention: Tensor | None = None


def select_rows(state: DecoderState, rows: Tensor) -> DecoderState:
    """Hypotheses `rows` (int64 [M]) of `state`: widens (repeated rows) and reorders.

    The studies stay, so M must be a multiple of B and rows must stay within their study.
    """
    attention = None if state.attention is None else state.attention.index_select(0, rows)
    return DecoderState(state.hidden.index_select(0, rows), state.memory, attention)


def select_studies(state: DecoderState, studies: Tensor) -> DecoderState:
    """Studies `studies` (int64 [M]) of `state` with all their rows: drops finished studies."""
    batch = len(state.memory[0])
    memory = tuple(part.index_select(0, studies) for part in state.memory)
    attention = (
        None if state.attention is None else rows_of_studies(state.attention, studies, batch)
    )
    return DecoderState(rows_of_studies(state.hidden, studies, batch), memory, attention)


def by_study(rows: Tensor, batch: int) -> Tensor:
    """`rows` [batch * K, ...] as [batch, K, ...]."""
    return rows.reshape(batch, -1, *rows.shape[1:])


def rows_of_studies(rows: Tensor, studies: Tensor, batch: int) -> Tensor:
    """All rows of `studies` (int64 [M]) among `rows` [batch * K, ...]: [M * K, ...]."""
    return by_study(rows, batch).index_select(0, studies).flatten(0, 1)


class StepModel(Protocol):
    """The decoding protocol: all that a search knows of a model."""

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word, one row a study.

        Args:
            features: float [B, 2, 1024, 7, 7], one map a view.
            view_mask: bool [B, 2], True where the view is present.
        """
        ...

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed int64 `tokens` [N]; return log-probabilities [N, V] of the next word and the state.

        N may be any multiple of the studies in `state.memory`.
        """
        ...


# ------------------------------------------------------------------------------
# What every report decoder offers: teacher forcing to train it, single steps to search it.

VIEWS = 2
GRID = 7
LOCATIONS = VIEWS * GRID * GRID
"""Locations of both views' maps; location = view * 49 + row * 7 + column."""


class TeacherForced(NamedTuple):
    """The words of given reports as a decoder sees them.

    Args:
        logits: [B, T-1, V]; row t is about word t+1 given words 0..t.
        attention: [B, T-1, 98] where the decoder looked for each of those words, or None.
    """

    logits: Tensor
    attention: Tensor | None


class Decoder(nn.Module, ABC):
    """A model that writes a report from the maps of a study's views.

    It is a `StepModel` for the searches. In every method `features` are float
    [B, 2, C, 7, 7] (any floating type) and `view_mask` is bool [B, 2], False where the view is
    missing; the features of a missing view are never read.
    """

    @abstractmethod
    def teacher_forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> TeacherForced:
        """Read int64 `tokens` [B, T] (BOS ... EOS PAD) in one pass."""

    def forward(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> Tensor:
        """Logits [B, T-1, V] of the words after the first, given the words before them."""
        return self.teacher_forced(features, view_mask, tokens).logits

    @abstractmethod
    def feature_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the layers that read the encoder's many channels."""

    @abstractmethod
    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word, one row a study."""

    @abstractmethod
    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed int64 `tokens` [N]; return log-probabilities [N, V] and the next state."""
