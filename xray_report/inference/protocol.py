"""What a search asks of a model, and what it returns.

Rows are hypotheses, grouped by study: with B studies and K hypotheses each, row `b * K + k`
is hypothesis k of study b. A search never looks inside a state; it only selects rows or studies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor


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

    def pick(rows: Tensor) -> Tensor:
        per_study = rows.unflatten(0, (batch, -1))
        return per_study.index_select(0, studies).flatten(0, 1)

    batch = state.memory[0].shape[0]
    memory = tuple(part.index_select(0, studies) for part in state.memory)
    attention = None if state.attention is None else pick(state.attention)
    return DecoderState(pick(state.hidden), memory, attention)


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


@dataclass(frozen=True)
class Hypothesis:
    """One decoded report.

    Args:
        token_ids: the words, without BOS and without EOS.
        log_prob: sum of the log-probabilities of the words (and of EOS where finished).
        score: what the search ranks by (length-normalised log_prob).
        finished: whether the model ended the report itself.
        word_log_probs: log-probability of each word, and of EOS last where finished.
        attention: weights [words][L] of each word, or () for models without attention.
    """

    token_ids: tuple[int, ...]
    log_prob: float
    score: float
    finished: bool
    word_log_probs: tuple[float, ...] = ()
    attention: tuple[tuple[float, ...], ...] = ()


class Search(Protocol):
    """Greedy, beam and every other search: features in, ranked hypotheses out."""

    def __call__(
        self, model: StepModel, features: Tensor, view_mask: Tensor
    ) -> list[list[Hypothesis]]:
        """Return, for each study, its hypotheses, best first."""
        ...
