"""Several models that write one report together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from xray_report.errors import OptionError
from xray_report.models.decoders.protocol import DecoderState, StepModel


class Ensemble:
    """A `StepModel` whose next word has the mean of its models' probabilities.

    The models read the same features, so they need the same encoder, and the same vocabulary.
    Rows of its state are the models' side by side; attention is the mean over those that have
    any.

    Args:
        models: one or more.
        vocabularies: the words of each model by id, to be compared; may be left out where they
            are known to be the same.

    Raises:
        OptionError: no models, or vocabularies that differ.
    """

    def __init__(
        self, models: Sequence[StepModel], vocabularies: Sequence[Sequence[str]] | None = None
    ) -> None:
        if not models:
            raise OptionError("an ensemble needs at least one model")
        if vocabularies is not None:
            check_vocabularies(vocabularies)
        self.models = tuple(models)
        # How a joint state splits into the models' own; the same for all states of these models.
        self._widths: list[int] = []
        self._parts: list[int] = []

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word, one row a study."""
        states = [model.initial_state(features, view_mask) for model in self.models]
        self._widths = [state.hidden.shape[1] for state in states]
        self._parts = [len(state.memory) for state in states]
        return _join(states)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed `tokens` [N] to every model; return log of the mean probabilities [N, V]."""
        results = [
            model.step(tokens, own)
            for model, own in zip(self.models, self._split(state), strict=True)
        ]
        sizes = {log_probs.shape[1] for log_probs, _ in results}
        if len(sizes) > 1:
            raise OptionError(f"the ensemble's vocabularies differ in size: {sorted(sizes)}")
        together = torch.stack([log_probs for log_probs, _ in results]).logsumexp(0)
        return together - math.log(len(results)), _join([after for _, after in results])

    def _split(self, state: DecoderState) -> list[DecoderState]:
        states, column, part = [], 0, 0
        for width, parts in zip(self._widths, self._parts, strict=True):
            own = state.hidden[:, column : column + width]
            states.append(DecoderState(own, state.memory[part : part + parts]))
            column, part = column + width, part + parts
        return states


def check_vocabularies(vocabularies: Sequence[Sequence[str]]) -> None:
    """Raise OptionError, naming the first difference, unless all vocabularies are the same."""
    first = vocabularies[0]
    for number, words in enumerate(vocabularies[1:], start=2):
        if len(words) != len(first):
            raise OptionError(
                f"model {number} of the ensemble has {len(words)} words, model 1 has {len(first)}; "
                "train them with the same vocabulary"
            )
        for index, (one, other) in enumerate(zip(first, words, strict=True)):
            if one != other:
                raise OptionError(
                    f"word {index} of the ensemble's model {number} is {other!r}, of model 1 "
                    f"{one!r}; train them with the same vocabulary"
                )


def _join(states: Sequence[DecoderState]) -> DecoderState:
    seen = [state.attention for state in states if state.attention is not None]
    return DecoderState(
        torch.cat([state.hidden for state in states], 1),
        tuple(part for state in states for part in state.memory),
        torch.stack(seen).mean(0) if seen else None,
    )
