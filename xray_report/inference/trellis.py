"""The steps a search took, and the way back through them to whole hypotheses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from xray_report.inference.protocol import Hypothesis

CHECK_EVERY = 4
"""Steps between two looks at which studies have finished: each look waits for the device."""


class Endings(NamedTuple):
    """Where hypotheses end in a trellis; all tensors [M].

    Args:
        study: index of the study among the B that the search began with.
        place: place of the hypothesis among the K of its study, at its last step.
        length: tokens, the end token counted.
        score: what the search ranks by.
        finished: bool, whether the model ended it.
    """

    study: Tensor
    place: Tensor
    length: Tensor
    score: Tensor
    finished: Tensor


class Step(NamedTuple):
    """One step of a search over the studies still in the batch, in K places each.

    Args:
        parents: int64 [B', K], place in the step before that each word follows; None: its own.
        words: int64 [B', K].
        log_probs: float [B', K] of the words.
        attention: float [B', K before, L] with which the words were chosen, or None.
        position: int64 [B], row of each study in the tensors above, -1 once it has left.
    """

    parents: Tensor | None
    words: Tensor
    log_probs: Tensor
    attention: Tensor | None
    position: Tensor


class Trellis:
    """Back-pointers of `studies` (int) studies; nothing of the past is copied at a step."""

    def __init__(self, studies: int, device: torch.device) -> None:
        self.steps: list[Step] = []
        self.studies = torch.arange(studies, device=device)
        self.position = self.studies

    def record(
        self, parents: Tensor | None, words: Tensor, log_probs: Tensor, attention: Tensor | None
    ) -> None:
        """Append a step; shapes as in `Step`."""
        self.steps.append(Step(parents, words, log_probs, attention, self.position))

    def keep(self, rows: Tensor) -> None:
        """Only `rows` (int64 [B'']) of the present studies remain from here on."""
        self.studies = self.studies[rows]
        position = torch.full_like(self.position, -1)
        position[self.studies] = torch.arange(len(rows), device=rows.device)
        self.position = position

    def hypotheses(self, endings: Endings, n_best: int) -> list[list[Hypothesis]]:
        """The hypotheses of each study that end so, finished before unfinished, best first."""
        ranked: list[list[Hypothesis]] = [[] for _ in range(len(self.position))]
        for study, hypothesis in zip(endings.study.tolist(), self._trace(endings), strict=True):
            ranked[study].append(hypothesis)
        # A model that gives every continuation probability 0 still gets its empty report.
        nothing = [Hypothesis((), -math.inf, -math.inf, finished=False)]
        return [
            sorted(found, key=lambda one: (one.finished, one.score), reverse=True)[:n_best]
            or nothing
            for found in ranked
        ]

    def _trace(self, endings: Endings) -> Iterator[Hypothesis]:
        words, log_probs, attention = self._walk_back(endings)
        sums = log_probs.double().masked_fill(
            torch.arange(len(self.steps), device=words.device) >= endings.length[:, None], 0.0
        )
        maps = attention.tolist() if attention is not None else [()] * len(words)
        columns = (words, log_probs, sums.sum(1), endings.length, endings.score, endings.finished)
        for ids, logs, total, length, score, finished, weights in zip(
            *(column.tolist() for column in columns), maps, strict=True
        ):
            count = length - 1 if finished else length
            yield Hypothesis(
                token_ids=tuple(ids[:count]),
                log_prob=total,
                score=score,
                finished=finished,
                word_log_probs=tuple(logs[:length]),
                attention=tuple(tuple(row) for row in weights[:count]),
            )

    def _walk_back(self, endings: Endings) -> tuple[Tensor, Tensor, Tensor | None]:
        words, log_probs, attention = [], [], []
        place = endings.place
        for index, step in reversed(list(enumerate(self.steps))):
            row = step.position[endings.study].clamp(min=0)
            words.append(step.words[row, place])
            log_probs.append(step.log_probs[row, place])
            parent = place if step.parents is None else step.parents[row, place]
            if step.attention is not None:
                attention.append(step.attention[row, parent.clamp(max=step.attention.shape[1] - 1)])
            place = torch.where(index < endings.length, parent, place)
        maps = torch.stack(attention[::-1], 1) if attention else None
        return torch.stack(words[::-1], 1), torch.stack(log_probs[::-1], 1), maps


def best_endings(
    trellis: Trellis, ended: list[Tensor], open_scores: Tensor, n_best: int
) -> Endings:
    """The `n_best` best finished and the `n_best` best unfinished hypotheses of each study.

    Args:
        trellis: the steps.
        ended: for each step scores [B', K] of hypotheses that ended there, -inf elsewhere.
        open_scores: [B', K] of those still open after the last step, -inf elsewhere.
        n_best: at most so many of either kind are returned.
    """
    table = torch.stack(
        [_of_all(scores, step.position) for scores, step in zip(ended, trellis.steps, strict=True)],
        1,
    )
    left_open = _of_all(open_scores, trellis.position).unsqueeze(1)
    finished, unfinished = _top(table, n_best, True), _top(left_open, n_best, False)
    joined = Endings(*(torch.cat(pair) for pair in zip(finished, unfinished, strict=True)))
    steps = len(ended)
    return joined._replace(length=torch.where(joined.finished, joined.length, steps))


def _of_all(scores: Tensor, position: Tensor) -> Tensor:
    """Scores [B', K] of present studies as [B, K] of all, -inf for those that have left."""
    absent = (position < 0).unsqueeze(1)
    return scores[position.clamp(min=0)].masked_fill(absent, -math.inf)


def _top(table: Tensor, n_best: int, finished: bool) -> Endings:
    studies, _, places = table.shape
    flat = table.flatten(1)
    scores, index = flat.topk(min(n_best, flat.shape[1]), dim=1)
    study = torch.arange(studies, device=table.device).unsqueeze(1).expand_as(index)
    real = scores > -math.inf
    index, scores, study = index[real], scores[real], study[real]
    return Endings(
        study, index % places, index // places + 1, scores, torch.full_like(study, finished).bool()
    )


def worth_leaving(staying: int, present: int) -> bool:
    """Whether enough studies have finished to pay for copying what those that stay attend to."""
    return staying <= 0.9 * present


def precise(log_probs: Tensor) -> Tensor:
    """`log_probs` in at least float32: half precision is too coarse to add up."""
    return log_probs.float() if log_probs.element_size() < 4 else log_probs
