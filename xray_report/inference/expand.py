"""How a beam grows by one word: the best continuations of each group of hypotheses."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Choice(NamedTuple):
    """The continuations chosen for a step, K places a study, best first within a group.

    Args:
        worth: float [B, K], sum of log-probabilities with the word, -inf where there is none.
        parents: int64 [B, K], place in the step before.
        words: int64 [B, K].
    """

    worth: Tensor
    parents: Tensor
    words: Tensor


def best_continuations(candidates: Tensor, width: int) -> Choice:
    """The `width` best of candidates [B, K, V], sorted; padded with -inf where there are fewer.

    The best `width` entries stand in at most `width` columns (words), those with the greatest
    maxima over the K hypotheses: so only B * V maxima are sorted, not B * K * V entries.
    """
    _, places, words = candidates.shape
    maxima = candidates.amax(1) if places > 1 else candidates.squeeze(1)
    columns = maxima.topk(min(width, words), dim=1, sorted=False).indices
    shortlist = candidates.gather(2, columns.unsqueeze(1).expand(-1, places, -1)).flatten(1)
    worth, index = shortlist.topk(min(width, shortlist.shape[1]), dim=1)
    parents = index // columns.shape[1]
    chosen = columns.gather(1, index % columns.shape[1])
    missing = width - worth.shape[1]
    if missing:
        worth = pad(worth, (0, missing), value=-math.inf)
        parents, chosen = pad(parents, (0, missing)), pad(chosen, (0, missing))
    return Choice(worth, parents, chosen)


def keep_open(choice: Choice, open_places: Tensor) -> Choice:
    """Only the best `open_places` (int64 [B, 1]) of each study's choices remain."""
    place = torch.arange(choice.worth.shape[1], device=open_places.device)
    return choice._replace(worth=choice.worth.masked_fill(place >= open_places, -math.inf))


def diverse_continuations(
    candidates: Tensor, groups: int, width: int, diversity: float, open_places: Tensor
) -> Choice:
    """Continuations of `groups` groups of `width`, each penalised by the words of those before.

    Args:
        candidates: [B, groups * width, V], or [B, 1, V] at the first step.
        groups: number of groups.
        width: places of a group.
        diversity: taken off a word's worth for each earlier group's place that chose it.
        open_places: int64 [B, groups]: only so many of a group's choices are taken, and count.
    """
    if groups == 1:
        return keep_open(best_continuations(candidates, width), open_places)
    counts = candidates.new_zeros(len(candidates), candidates.shape[2])
    first = candidates.shape[1] == 1
    choices = []
    for group in range(groups):
        start = 0 if first else group * width
        own = candidates if first else candidates[:, start : start + width]
        steered = own - diversity * counts.unsqueeze(1) if group and diversity else own
        choice = best_continuations(steered, width)
        choice = keep_open(choice, open_places[:, group : group + 1])
        taken = choice.worth > -math.inf
        counts.scatter_add_(1, choice.words, taken.to(counts.dtype))
        index = choice.parents * own.shape[2] + choice.words
        worth = own.flatten(1).gather(1, index).masked_fill(~taken, -math.inf)
        choices.append(Choice(worth, choice.parents + start, choice.words))
    return Choice(*(torch.cat(parts, 1) for parts in zip(*choices, strict=True)))
