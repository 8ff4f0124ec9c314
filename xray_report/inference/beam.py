"""Beam search: its options, its loop, how a beam grows by a word, and the diverse variant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from xray_report.errors import OptionError
from xray_report.inference.search import (
    CHECK_EVERY,
    Backpointers,
    Constraints,
    Hypothesis,
    LengthPenalty,
    SearchOptions,
    best_endings,
    precise,
    worth_leaving,
)
from xray_report.models.decoders.protocol import (
    DecoderState,
    StepModel,
    by_study,
    rows_of_studies,
    select_rows,
    select_studies,
)
from xray_report.options import check_count, check_number


@dataclass(frozen=True, kw_only=True)
class BeamSearch(SearchOptions):
    """The `beam_width` best prefixes of each study are carried on at every step.

    A hypothesis that ends keeps its place in the beam (Sutskever et al. 2014, section 3.2), so a
    width of 1 is greedy search. A study stops once `n_best` reports have ended and no open one
    can reach a better score than theirs, whatever words followed.

    Args:
        beam_width: hypotheses a study.
        n_best: how many of them to return, at most beam_width.
        length_penalty: exponent of the length by which scores are divided, see `LengthPenalty`.
        length_penalty_kind: "normalised" or "gnmt".
    """

    beam_width: int = 5
    n_best: int = 1
    length_penalty: float = 1.0
    length_penalty_kind: str = "normalised"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("beam_width", self.beam_width)
        check_count("n_best", self.n_best)
        if self.n_best > self.beam_width:
            raise OptionError(
                f"n_best must be at most beam_width ({self.beam_width}), got {self.n_best}"
            )
        LengthPenalty(self.length_penalty, self.length_penalty_kind)

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return the n_best hypotheses of each of the B studies; arguments as in `Search`."""
        return search_beams(model, features, view_mask, self)


# The loop of beam search, plain and in groups.


@dataclass
class Beams:
    """What a beam search carries from step to step: B' studies, K places each.

    Args:
        state: of the model, B' * K rows.
        words: int64 [B' * K], the words to feed.
        sums: float [B', K]: of the (penalised) log-probabilities, -inf at places not open.
        open_places: int64 [B', groups]: places of each group not taken by an ended hypothesis.
        best_ended: float [B', n_best]: best scores of ended hypotheses, descending, -inf for none.
        history: int64 [B' * K, t], or None where no constraint reads it.
    """

    state: DecoderState
    words: Tensor
    sums: Tensor
    open_places: Tensor
    best_ended: Tensor
    history: Tensor | None


@dataclass(frozen=True)
class Plan:
    """What stays the same at every step.

    Args:
        search: the options.
        rules: its constraints on words.
        penalty: of the length.
        groups: beams a study, each of `width` places.
        diversity: strength with which groups avoid each other's words.
    """

    search: BeamSearch
    rules: Constraints
    penalty: LengthPenalty
    groups: int
    diversity: float

    @property
    def width(self) -> int:
        """Places of one group."""
        return self.search.beam_width // self.groups


@torch.no_grad()
def search_beams(
    model: StepModel,
    features: Tensor,
    view_mask: Tensor,
    search: BeamSearch,
    groups: int = 1,
    diversity: float = 0.0,
) -> list[list[Hypothesis]]:
    """The n_best hypotheses of each study, best first, its beam divided into `groups`."""
    rules = Constraints(search, model.special, features.device)
    penalty = LengthPenalty(search.length_penalty, search.length_penalty_kind)
    plan = Plan(search, rules, penalty, groups, diversity)
    beams = _start(model, features, view_mask, plan)
    steps = Backpointers(len(features), features.device)
    ended: list[Tensor] = []
    for step in range(search.longest):
        ended.append(_advance(model, beams, step, plan, steps))
        if (step + 1) % CHECK_EVERY == 0:
            staying = _still_open(beams, step + 1, plan).nonzero().squeeze(1)
            if len(staying) == 0:
                break
            if worth_leaving(len(staying), len(beams.sums)):
                _drop(beams, staying, steps)
    open_scores = penalty.score(beams.sums, len(ended))
    endings = best_endings(steps, ended, open_scores, search.n_best)
    return steps.hypotheses(endings, search.n_best)


def _start(model: StepModel, features: Tensor, view_mask: Tensor, plan: Plan) -> Beams:
    """One row a study: the first step is the same for all its hypotheses."""
    device, studies = features.device, len(features)
    empty = torch.empty(studies, 0, dtype=torch.long, device=device)
    return Beams(
        state=model.initial_state(features, view_mask),
        words=torch.full((studies,), model.special.bos, device=device),
        sums=torch.zeros(studies, 1, device=device),
        open_places=torch.full((studies, plan.groups), plan.width, device=device),
        best_ended=torch.full((studies, plan.search.n_best), -math.inf, device=device),
        history=empty if plan.search.needs_history else None,
    )


def _advance(model: StepModel, beams: Beams, step: int, plan: Plan, steps: Backpointers) -> Tensor:
    """Grow every beam by a word; return scores [B', K] of hypotheses that ended, -inf elsewhere."""
    log_probs, state = model.step(beams.words, beams.state)
    log_probs = precise(log_probs)
    base = beams.sums.view(-1, 1)
    candidates = base + log_probs
    plan.rules.apply(candidates, log_probs, base, beams.history, step)
    studies, places = beams.sums.shape
    choice = diverse_continuations(
        by_study(candidates, studies), plan.groups, plan.width, plan.diversity, beams.open_places
    )
    offset = torch.arange(0, len(candidates), places, device=candidates.device).unsqueeze(1)
    rows = (choice.parents + offset).flatten()
    words = choice.words.flatten()
    attention = state.attention if plan.search.return_attention else None
    steps.append(
        choice.parents,
        choice.words,
        log_probs.flatten()[rows * log_probs.shape[1] + words].view_as(choice.words),
        None if attention is None else by_study(attention, studies),
    )
    beams.state, beams.words = select_rows(state, rows), words
    if beams.history is not None:
        beams.history = torch.cat([beams.history[rows], words.unsqueeze(1)], 1)
    return _close(beams, choice, step, plan)


def _close(beams: Beams, choice: Choice, step: int, plan: Plan) -> Tensor:
    """Close the places whose hypothesis ended with `choice`; return their scores [B', K]."""
    ending = choice.words == plan.rules.eos
    ended = plan.penalty.score(choice.worth, step + 1).masked_fill(~ending, -math.inf)
    beams.sums = choice.worth.masked_fill(ending, -math.inf)
    closed = (ended > -math.inf).view(-1, plan.groups, plan.width).sum(2)
    beams.open_places = beams.open_places - closed
    best = torch.cat([beams.best_ended, ended], 1).topk(plan.search.n_best, dim=1)
    beams.best_ended = best.values
    return ended


def _still_open(beams: Beams, length: int, plan: Plan) -> Tensor:
    """Studies (bool [B']) in which an open hypothesis can still enter the n_best."""
    best = plan.penalty.best_possible(beams.sums.amax(1), length, plan.search.longest)
    return best > beams.best_ended[:, -1]


def _drop(beams: Beams, staying: Tensor, steps: Backpointers) -> None:
    """Keep only the studies `staying` (int64 [B'']) of those present."""
    batch = len(beams.sums)
    beams.state = select_studies(beams.state, staying, batch)
    beams.words = rows_of_studies(beams.words, staying, batch)
    if beams.history is not None:
        beams.history = rows_of_studies(beams.history, staying, batch)
    beams.sums = beams.sums[staying]
    beams.open_places = beams.open_places[staying]
    beams.best_ended = beams.best_ended[staying]
    steps.keep(staying)


# How a beam grows by one word: the best continuations of each group of hypotheses.


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


# Diverse beam search (Vijayakumar et al. 2018, "Diverse beam search for improved description").


@dataclass(frozen=True, kw_only=True)
class DiverseBeamSearch(BeamSearch):
    """Beam search in groups, each kept away from the words the groups before it just chose.

    Hamming diversity: a group chooses by the log-probability less `diversity` for each time an
    earlier group wrote the word at the same step (algorithm 1 there). What it carries on, scores
    and returns is the log-probability itself.

    Args:
        groups: number of groups; beam_width is a multiple of it.
        diversity: strength of the penalty; 0 makes all groups the same.
    """

    beam_width: int = 6
    groups: int = 3
    diversity: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("groups", self.groups)
        check_number("diversity", self.diversity)
        if self.diversity < 0:
            raise OptionError(f"diversity must not be negative, got {self.diversity}")
        if self.beam_width % self.groups:
            raise OptionError(
                f"beam_width must be a multiple of groups ({self.groups}), got {self.beam_width}"
            )

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return the n_best hypotheses over all groups; arguments as in `Search`."""
        return search_beams(model, features, view_mask, self, self.groups, self.diversity)
