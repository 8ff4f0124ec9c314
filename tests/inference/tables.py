"""Small models with random transition tables, and searches written the slow and obvious way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from xray_report.models.decoders.protocol import DecoderState
from xray_report.tokens import WORD_TOKENS

PAD_ID, _, BOS_ID, EOS_ID = WORD_TOKENS
NEVER_GENERATED = WORD_TOKENS.never_generated


SENTENCES = (
    "there is a small left pleural effusion.", "no pneumothorax.", "the heart is enlarged.",
    "right lower lobe pneumonia.", "the lungs are clear.", "mild pulmonary edema.",
)  # fmt: skip


def spelled(token_ids: Sequence[int]) -> str:
    """A text of token ids in which the labeller finds something: a sentence for each."""
    return " ".join(SENTENCES[token % len(SENTENCES)] for token in token_ids)


class TableModel:
    """Words follow from the study and the last two words, by a table of its own for each study.

    `features` [B, 2, 1, 1, 1] carry the study's index into `tables` [S, V, V, V]: study, word
    before last, last word, next word; log-probabilities.
    """

    special = WORD_TOKENS

    def __init__(self, studies: int, words: int, seed: int, ending: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        logits = 2 * torch.randn(studies, words, words, words, generator=generator)
        logits[..., EOS_ID] += ending
        self.tables = logits.log_softmax(-1)
        self.steps = 0
        self.rows = 0

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        study = features[:, 0, 0, 0, 0].long()
        return DecoderState(torch.full((len(study),), BOS_ID), study)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        self.steps += 1
        self.rows += len(tokens)
        before, of_study = state.rows, state.studies
        study = of_study.repeat_interleave(len(tokens) // len(of_study))
        attention = torch.stack([study, before, tokens], 1).float()
        log_probs = self.tables[study, before, tokens]
        return log_probs, DecoderState(tokens, of_study, attention)


def features_of(studies: list[int]) -> tuple[Tensor, Tensor]:
    """Features and view mask that name the tables `studies`."""
    features = torch.tensor(studies, dtype=torch.float32)[:, None, None, None, None]
    return features.expand(-1, 2, -1, -1, -1), torch.ones(len(studies), 2, dtype=torch.bool)


def word_log_probs(model: TableModel, study: int, tokens: tuple[int, ...]) -> list[float]:
    """Teacher-forced log-probability of each of `tokens`."""
    path = (BOS_ID, BOS_ID, *tokens)
    return [
        float(model.tables[study, path[i], path[i + 1], path[i + 2]]) for i in range(len(tokens))
    ]


def exhaustive(
    model: TableModel, study: int, max_length: int, score: Callable[[float, int], float]
) -> list[tuple[float, tuple[int, ...]]]:
    """Every ended report of at most max_length tokens (EOS counted), best first."""
    vocabulary = model.tables.shape[-1]
    words = [w for w in range(vocabulary) if w != EOS_ID and w not in NEVER_GENERATED]
    found = []
    for length in range(1, max_length + 1):
        for body in itertools.product(words, repeat=length - 1):
            total = math.fsum(word_log_probs(model, study, (*body, EOS_ID)))
            found.append((score(total, length), body))
    return sorted(found, reverse=True)


def plain_beam(
    model: TableModel, study: int, width: int, max_length: int, score: Callable[[float, int], float]
) -> tuple[list[tuple[float, tuple[int, ...], bool]], int]:
    """Beam search with lists, one study, no early stopping: ranked hypotheses and steps taken."""
    beams: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    ended: list[tuple[float, tuple[int, ...], bool]] = []
    steps = 0
    while beams and steps < max_length:
        grown = []
        for total, body in beams:
            path = (BOS_ID, BOS_ID, *body)
            row = model.tables[study, path[-2], path[-1]].tolist()
            grown += [
                (total + value, (*body, word))
                for word, value in enumerate(row)
                if word not in NEVER_GENERATED and value > -math.inf
            ]
        steps += 1
        best = sorted(grown, reverse=True)[: width - len(ended)]
        ended += [(score(t, steps), b[:-1], True) for t, b in best if b[-1] == EOS_ID]
        beams = [(t, b) for t, b in best if b[-1] != EOS_ID]
    ranked = sorted(ended, reverse=True)
    return ranked + sorted(((score(t, steps), b, False) for t, b in beams), reverse=True), steps
