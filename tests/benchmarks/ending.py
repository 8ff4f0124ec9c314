"""A decoder to search with: default sizes, random weights, reports of real lengths."""

from __future__ import annotations

import torch
from torch import Tensor

from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.protocol import DecoderState
from xray_report.models.embedding import WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.tokens import WORD_TOKENS

VOCABULARY = 1400


class Ending:
    """A decoder with random weights whose reports end after given lengths.

    Args:
        mean: of the lengths in words, which have a standard deviation of mean / 3.
        seed: of the weights.
        name: of the decoder.
    """

    special = WORD_TOKENS

    def __init__(self, mean: float, seed: int = 0, name: str = "attention") -> None:
        torch.manual_seed(seed)
        self.model = build_decoder(
            {"name": name}, WORD_TOKENS, WordEmbedding(VOCABULARY, 50), MapShape(1024, 7, 7)
        ).eval()
        self.mean = mean
        with torch.no_grad():
            # Word probabilities about as sharp as a trained model's.
            self.model.vocabulary.weight *= 8

    def lengths(self, features: Tensor) -> Tensor:
        """Words of each study's report, float [B, 1]: features are random, so one value is."""
        drawn = self.mean * (1 + features[:, 0, 0, 0, :1] / 3)
        return drawn.round().clamp(4, 2 * self.mean)

    def end(self, log_probs: Tensor, written: Tensor, lengths: Tensor) -> Tensor:
        """Change log-probabilities [N, V] so that the end comes once `written` >= `lengths`."""
        over = (written >= lengths).to(log_probs.dtype)
        log_probs[:, WORD_TOKENS.eos] = (over.squeeze(1) - 1) * 50
        return log_probs

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """The decoder's, with a count of words a row and the lengths a study."""
        state = self.model.initial_state(features, view_mask)
        lengths = self.lengths(features)
        return DecoderState((state.rows, torch.zeros_like(lengths)), (state.studies, lengths))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """The decoder's step, the end where it is due."""
        (rows, written), (studies, lengths) = state.rows, state.studies
        log_probs, after = self.model.step(tokens, DecoderState(rows, studies))
        lengths = lengths.repeat_interleave(len(tokens) // len(lengths), 0)
        log_probs = self.end(log_probs, written, lengths)
        return log_probs, DecoderState((after.rows, written + 1), state.studies, after.attention)
