"""What every report decoder offers: teacher forcing to train it, single steps to search it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from xray_report.inference.protocol import DecoderState

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
