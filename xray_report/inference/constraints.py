"""What a report may not, and must, contain: the same rules for every search.

The functions change `candidates` in place: float [N, V], the worth of each next word of each row,
which is `base` [N, 1] (the row's sum so far, or 0) plus the word's log-probability [N, V]. A
forbidden word is worth -inf. `history` is int64 [N, t], the words written so far.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xray_report.inference.options import SearchOptions
from xray_report.tokens import EOS_ID, NEVER_GENERATED


class Constraints:
    """The rules of `options`, ready to be applied at every step on `device`."""

    def __init__(self, options: SearchOptions, device: torch.device) -> None:
        self.options = options
        self._never = torch.tensor((*NEVER_GENERATED, *options.banned_ids), device=device)
        self._forced = torch.tensor(options.forced_ids, dtype=torch.long, device=device)

    def apply(
        self, candidates: Tensor, log_probs: Tensor, base: Tensor, history: Tensor | None, step: int
    ) -> None:
        """Apply all rules to the candidates for word `step` (from 0).

        Where the rules leave a row no word at all, its report may end.
        """
        options = self.options
        if history is not None and options.repetition_penalty != 1.0 and step > 0:
            penalise_repetition(candidates, log_probs, base, history, options.repetition_penalty)
        candidates.index_fill_(1, self._never, -math.inf)
        if history is not None and options.no_repeat_ngram:
            block_ngrams(candidates, history, options.no_repeat_ngram)
        if step < options.min_length:
            candidates[:, EOS_ID].fill_(-math.inf)
        if history is not None and options.forced_ids:
            force_words(candidates, history, options.max_length - step, self._forced)
        if options.needs_history or options.banned_ids:
            release_stuck(candidates, log_probs, base)


def penalise_repetition(
    candidates: Tensor, log_probs: Tensor, base: Tensor, history: Tensor, penalty: float
) -> None:
    """Multiply the log-probabilities of words already written by `penalty`."""
    # Assignment, so that a word written twice is penalised once.
    candidates.scatter_(1, history, base + penalty * log_probs.gather(1, history))


def block_ngrams(candidates: Tensor, history: Tensor, size: int) -> None:
    """Forbid the words that would write a run of `size` words a second time."""
    written = history.shape[1]
    if written < size:
        return
    followers = history[:, size - 1 :]
    if size == 1:
        candidates.scatter_(1, followers, -math.inf)
        return
    windows = history.unfold(1, size - 1, 1)[:, :-1]
    repeats = (windows == history[:, None, written - size + 1 :]).all(-1)
    # Adding 0 or -inf lets one follower stand at several places of the history.
    blocked = torch.zeros_like(repeats, dtype=candidates.dtype).masked_fill_(repeats, -math.inf)
    candidates.scatter_add_(1, followers, blocked)


def force_words(candidates: Tensor, history: Tensor, room: int, forced: Tensor) -> None:
    """Leave only missing words of `forced` (int64 [F]) where the report would end or run out.

    While one is missing it cannot end. `room` is the tokens left, this one and the end counted.
    """
    missing = ~(history.unsqueeze(-1) == forced).any(1)
    count = missing.sum(1)
    must = (count > 0) & ((candidates.argmax(1) == EOS_ID) | (count + 1 >= room))
    worth = candidates[:, forced].masked_fill(~missing, -math.inf)
    candidates[:, EOS_ID] = candidates[:, EOS_ID].masked_fill(count > 0, -math.inf)
    candidates.masked_fill_(must.unsqueeze(1), -math.inf)
    candidates[:, forced] = torch.where(must.unsqueeze(1), worth, candidates[:, forced])


def release_stuck(candidates: Tensor, log_probs: Tensor, base: Tensor) -> None:
    """Let a report end whose every continuation is forbidden."""
    stuck = candidates.amax(1) == -math.inf
    ending = base.squeeze(1) + log_probs[:, EOS_ID]
    candidates[:, EOS_ID] = torch.where(stuck, ending, candidates[:, EOS_ID])
