"""What a search asks of a model, and what it returns.

Rows are hypotheses, grouped by study: with B studies and K hypotheses each, row `b * K + k`
is hypothesis k of study b. A search never looks inside a state; it only selects rows or studies.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return, for each study, its hypotheses, best first and at least one.

        Args:
            model: anything that speaks the protocol.
            features: float [B, 2, 1024, 7, 7].
            view_mask: bool [B, 2].
            study_ids: B names; only a random search reads them, to draw for a study the same
                numbers in whatever batch it stands.
        """
        ...

    def resolve(self, words: Sequence[str]) -> Search:
        """This search with the words of its options looked up; `words[id]` is a word."""
        ...
