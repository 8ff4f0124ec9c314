"""The original's beam search: a study at a time, each prefix run from its start at each step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.benchmarks.ending import Ending
from xray_report.tokens import WORD_TOKENS

Beam = tuple[float, list[int]]


def original_beam(
    ending: Ending, features: Tensor, mask: Tensor, width: int, length: int
) -> list[list[Beam]]:
    """Beams (log-probability, words from BOS) of each study, best first.

    Kinder than the original: no prefix is padded to the longest report, and the images are
    encoded beforehand.
    """
    reading = ending.model.vocabulary.register_forward_pre_hook(_last_word)
    try:
        return [
            _beams(ending, features[at : at + 1], mask[at : at + 1], width, length)
            for at in range(len(features))
        ]
    finally:
        reading.remove()


def _last_word(_: nn.Module, read: tuple[Tensor]) -> tuple[Tensor]:
    """Only the last word's distribution is asked for, so only it is computed."""
    return (read[0][:, -1:],)


def _beams(ending: Ending, features: Tensor, mask: Tensor, width: int, length: int) -> list[Beam]:
    beams: list[Beam] = [(0.0, [WORD_TOKENS.bos])]
    for _ in range(length):
        grown: list[Beam] = []
        for score, words in beams:
            if words[-1] == WORD_TOKENS.eos:
                grown.append((score, words))
                continue
            values, best = _next(ending, features, mask, words).topk(width)
            grown += [
                (score + value, [*words, word])
                for value, word in zip(values.tolist(), best.tolist(), strict=True)
            ]
        beams = sorted(grown, reverse=True)[:width]
        if all(words[-1] == WORD_TOKENS.eos for _, words in beams):
            break
    return beams


def _next(ending: Ending, features: Tensor, mask: Tensor, words: list[int]) -> Tensor:
    # The forward pass gives the words after each word but the last.
    prefix = torch.tensor([[*words, WORD_TOKENS.eos]])
    last = ending.model(features, mask, prefix)[0].log_softmax(-1)
    written = torch.tensor([[float(len(words) - 1)]])
    log_probs = ending.end(last, written, ending.lengths(features))[0]
    log_probs[list(WORD_TOKENS.never_generated)] = -torch.inf
    return log_probs
