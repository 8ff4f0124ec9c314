"""An attention decoder to search with: default sizes, random weights, reports of real lengths."""

from __future__ import annotations

import torch
from torch import Tensor

from xray_report.models.attention_decoder import AttentionDecoder
from xray_report.models.decoders.protocol import DecoderState
from xray_report.models.embedding import WordEmbedding
from xray_report.tokens import EOS_ID

VOCABULARY = 1400


class Ending:
    """An attention decoder with random weights whose reports end after given lengths.

    Args:
        mean: of the lengths in words, which have a standard deviation of mean / 3.
        seed: of the weights.
    """

    def __init__(self, mean: float, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.model = AttentionDecoder(VOCABULARY, WordEmbedding(VOCABULARY, 50)).eval()
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
        log_probs[:, EOS_ID] = (over.squeeze(1) - 1) * 50
        return log_probs

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        """The decoder's, with a count of words in `hidden` and the lengths in `memory`."""
        state = self.model.initial_state(features, view_mask)
        written = state.hidden.new_zeros(len(features), 1)
        hidden = torch.cat([state.hidden, written], 1)
        return DecoderState(hidden, (*state.memory, self.lengths(features)))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """The decoder's step, the end where it is due."""
        own = DecoderState(state.hidden[:, :-1], state.memory[:-1])
        written, lengths = state.hidden[:, -1:], state.memory[-1]
        log_probs, after = self.model.step(tokens, own)
        lengths = lengths.repeat_interleave(len(tokens) // len(lengths), 0)
        log_probs = self.end(log_probs, written, lengths)
        hidden = torch.cat([after.hidden, written + 1], 1)
        return log_probs, DecoderState(hidden, state.memory, after.attention)
