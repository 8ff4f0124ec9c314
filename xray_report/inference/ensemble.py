"""Several models that write one report together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from xray_report.errors import OptionError
from xray_report.models.decoders.protocol import Classifier, DecoderState, StepModel
from xray_report.tokens import SpecialTokens


class Ensemble:
    """A `StepModel` whose next word has the mean of its models' probabilities.

    The models may be of any kinds. They read the same features, so they need the same encoder,
    and they write the same words. Their joint state is the tuple of their states; its attention
    is the mean over the models that have any, of as many locations as the first that has. Its
    labels are those of its models one after the other: what two of them see counts twice.

    Args:
        models: one or more.
        vocabularies: the words of each model by id, to be compared; may be left out where they
            are known to be the same.

    Raises:
        OptionError: no models, or vocabularies or special tokens that differ.
    """

    def __init__(
        self, models: Sequence[StepModel], vocabularies: Sequence[Sequence[str]] | None = None
    ) -> None:
        if not models:
            raise OptionError("an ensemble needs at least one model")
        if vocabularies is not None:
            check_vocabularies(vocabularies)
        self.models = tuple(models)
        self.special: SpecialTokens = models[0].special
        for number, model in enumerate(models[1:], start=2):
            if model.special != self.special:
                raise OptionError(
                    f"the ensemble's model {number} has the special tokens {model.special}, "
                    f"model 1 {self.special}; train them with the same tokenizer"
                )

    @property
    def _classifiers(self) -> list[Classifier]:
        return [one for one in self.models if isinstance(one, Classifier)]

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of all models that look for any."""
        return tuple(label for one in self._classifiers for label in one.labels)

    def classify(self, features: Tensor, view_mask: Tensor) -> Tensor:
        """What each model sees of its own labels, bool [B, K]."""
        own = [one.classify(features, view_mask) for one in self._classifiers]
        nothing = torch.empty(len(features), 0, dtype=torch.bool, device=features.device)
        return torch.cat([nothing, *own], 1)

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """State before the first word, one row a study."""
        return _join([model.initial_state(features, view_mask) for model in self.models])

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Feed `tokens` [N] to every model; return log of the mean probabilities [N, V]."""
        rows: Any = state.rows
        studies: Any = state.studies
        results = [
            model.step(tokens, DecoderState(*own))
            for model, *own in zip(self.models, rows, studies, strict=True)
        ]
        sizes = {log_probs.shape[1] for log_probs, _ in results}
        if len(sizes) > 1:
            raise OptionError(f"the ensemble's vocabularies differ in size: {sorted(sizes)}")
        together = torch.stack([log_probs for log_probs, _ in results]).logsumexp(0)
        return together - math.log(len(results)), _join([after for _, after in results])


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
    weights = [state.attention for state in states if state.attention is not None]
    alike = [one for one in weights if one.shape == weights[0].shape]
    return DecoderState(
        tuple(state.rows for state in states),
        tuple(state.studies for state in states),
        torch.stack(alike).mean(0) if alike else None,
    )
