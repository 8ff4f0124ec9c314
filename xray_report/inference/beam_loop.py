"""The loop of beam search, plain and in groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from xray_report.inference.constraints import Constraints
from xray_report.inference.expand import Choice, diverse_continuations
from xray_report.inference.lengths import LengthPenalty
from xray_report.inference.options import SearchOptions
from xray_report.inference.protocol import (
    DecoderState,
    Hypothesis,
    StepModel,
    by_study,
    rows_of_studies,
    select_rows,
    select_studies,
)
from xray_report.inference.trellis import (
    CHECK_EVERY,
    Trellis,
    best_endings,
    precise,
    worth_leaving,
)
from xray_report.tokens import BOS_ID, EOS_ID


@dataclass
class Beams:
    """What a beam search carries from step to step: B' studies, K places each.

    Args:
        state: of the model, B' * K rows.
        words: int64 [B' * K], the words to feed.
        sums: float [B', K]: of the (penalised) log-probabilities, -inf at places not open.
        open_places: int64 [B', groups]: places of each group not taken by an ended hypothesis.
        bank: float [B', n_best]: best scores of ended hypotheses, descending, -inf for none.
        history: int64 [B' * K, t], or None where no constraint reads it.
    """

    state: DecoderState
    words: Tensor
    sums: Tensor
    open_places: Tensor
    bank: Tensor
    history: Tensor | None


@dataclass(frozen=True)
class Plan:
    """The options of a search, as the loop reads them; width is that of one group."""

    options: SearchOptions
    rules: Constraints
    penalty: LengthPenalty
    width: int
    n_best: int
    groups: int
    diversity: float


@torch.no_grad()
def search_beams(
    model: StepModel,
    features: Tensor,
    view_mask: Tensor,
    options: SearchOptions,
    penalty: LengthPenalty,
    width: int,
    n_best: int,
    groups: int = 1,
    diversity: float = 0.0,
) -> list[list[Hypothesis]]:
    """The n_best hypotheses of each study, best first, from `groups` beams of `width`."""
    options.check_resolved()
    rules = Constraints(options, features.device)
    plan = Plan(options, rules, penalty, width, n_best, groups, diversity)
    beams = _start(model.initial_state(features, view_mask), len(features), plan)
    trellis = Trellis(len(features), features.device)
    ended: list[Tensor] = []
    for step in range(options.max_length):
        ended.append(_advance(model, beams, step, plan, trellis))
        if (step + 1) % CHECK_EVERY == 0:
            staying = _still_open(beams, step + 1, plan).nonzero().squeeze(1)
            if len(staying) == 0:
                break
            if worth_leaving(len(staying), len(beams.sums)):
                _drop(beams, staying, trellis)
    open_scores = penalty.score(beams.sums, len(ended))
    return trellis.hypotheses(best_endings(trellis, ended, open_scores, n_best), n_best)


def _start(state: DecoderState, studies: int, plan: Plan) -> Beams:
    """One row a study: the first step is the same for all its hypotheses."""
    device = state.hidden.device
    sums = torch.zeros(studies, 1, device=device)
    empty = torch.empty(studies, 0, dtype=torch.long, device=device)
    return Beams(
        state=state,
        words=torch.full((studies,), BOS_ID, device=device),
        sums=sums,
        open_places=torch.full((studies, plan.groups), plan.width, device=device),
        bank=torch.full((studies, plan.n_best), -math.inf, device=device),
        history=empty if plan.options.needs_history else None,
    )


def _advance(model: StepModel, beams: Beams, step: int, plan: Plan, trellis: Trellis) -> Tensor:
    """Grow every beam by a word; return scores [B', K] of hypotheses that ended, -inf elsewhere."""
    log_probs, state = model.step(beams.words, beams.state)
    log_probs = precise(log_probs)
    base = beams.sums.view(-1, 1)
    candidates = base + log_probs
    plan.rules.apply(candidates, log_probs, base, beams.history, step)
    places = beams.sums.shape[1]
    choice = diverse_continuations(
        by_study(candidates, len(beams.sums)),
        plan.groups,
        plan.width,
        plan.diversity,
        beams.open_places,
    )
    offset = torch.arange(0, len(candidates), places, device=candidates.device).unsqueeze(1)
    rows = (choice.parents + offset).flatten()
    words = choice.words.flatten()
    attention = state.attention if plan.options.return_attention else None
    trellis.record(
        choice.parents,
        choice.words,
        log_probs.flatten()[rows * log_probs.shape[1] + words].view_as(choice.words),
        None if attention is None else by_study(attention, len(beams.sums)),
    )
    beams.state, beams.words = select_rows(state, rows), words
    if beams.history is not None:
        beams.history = torch.cat([beams.history[rows], words.unsqueeze(1)], 1)
    return _bank(beams, choice, step, plan)


def _bank(beams: Beams, choice: Choice, step: int, plan: Plan) -> Tensor:
    ending = choice.words == EOS_ID
    ended = plan.penalty.score(choice.worth, step + 1).masked_fill(~ending, -math.inf)
    beams.sums = choice.worth.masked_fill(ending, -math.inf)
    closed = (ended > -math.inf).view(-1, plan.groups, plan.width).sum(2)
    beams.open_places = beams.open_places - closed
    beams.bank = torch.cat([beams.bank, ended], 1).topk(plan.n_best, dim=1).values
    return ended


def _still_open(beams: Beams, length: int, plan: Plan) -> Tensor:
    """Studies (bool [B']) in which an open hypothesis can still enter the n_best."""
    best = plan.penalty.best_possible(beams.sums.amax(1), length, plan.options.max_length)
    return best > beams.bank[:, -1]


def _drop(beams: Beams, staying: Tensor, trellis: Trellis) -> None:
    batch = len(beams.sums)
    beams.state = select_studies(beams.state, staying)
    beams.words = rows_of_studies(beams.words, staying, batch)
    if beams.history is not None:
        beams.history = rows_of_studies(beams.history, staying, batch)
    beams.sums = beams.sums[staying]
    beams.open_places, beams.bank = beams.open_places[staying], beams.bank[staying]
    trellis.keep(staying)
