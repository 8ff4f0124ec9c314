"""Greedy search: the likeliest word at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xray_report.inference.search import (
    CHECK_EVERY,
    Backpointers,
    Constraints,
    Endings,
    Hypothesis,
    LengthPenalty,
    SearchOptions,
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


@dataclass(frozen=True, kw_only=True)
class GreedySearch(SearchOptions):
    """One report a study, each word the likeliest; its score is the mean log-probability."""

    def __call__(
        self,
        model: StepModel,
        features: Tensor,
        view_mask: Tensor,
        study_ids: Sequence[str] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return one hypothesis for each of the B studies; arguments as in `Search`."""
        return roll_out(
            model, features, view_mask, self, _likeliest, places=1, penalty=LengthPenalty()
        )


def _likeliest(candidates: Tensor, step: int, studies: Tensor) -> Tensor:
    return candidates.argmax(1)


# The loop of the searches that carry every hypothesis on by one word: greedy and sampling.

Choose = Callable[[Tensor, int, Tensor], Tensor]
"""(candidates [B' * K, V], step, studies [B'] still present) -> words [B' * K]."""


@dataclass
class Rows:
    """What a rollout carries from step to step, N = B' * K rows.

    Args:
        state: of the model.
        words: int64 [N], the words to feed.
        sums: float [N] of the (penalised) log-probabilities.
        lengths: int64 [N], tokens written, the end token counted.
        finished: bool [N].
        history: int64 [N, t], or None where no constraint reads it.
    """

    state: DecoderState
    words: Tensor
    sums: Tensor
    lengths: Tensor
    finished: Tensor
    history: Tensor | None


@torch.no_grad()
def roll_out(
    model: StepModel,
    features: Tensor,
    view_mask: Tensor,
    options: SearchOptions,
    choose: Choose,
    places: int,
    penalty: LengthPenalty,
) -> list[list[Hypothesis]]:
    """Write `places` reports a study, each word chosen by `choose`; B lists, best first.

    A report that came where no word and no end was possible is dropped, as beam search drops it.
    """
    rules = Constraints(options, model.special, features.device)
    steps = Backpointers(len(features), features.device)
    rows = _start(model, features, view_mask, places, options)
    left: list[tuple[Endings, Tensor]] = []
    for step in range(options.longest):
        _advance(model, rows, step, rules, choose, steps)
        if (step + 1) % CHECK_EVERY == 0:
            done = by_study(rows.finished, len(steps.studies)).all(1)
            staying = (~done).nonzero().squeeze(1)
            if len(staying) == 0:
                break
            if worth_leaving(len(staying), len(done)):
                left.append((_endings(rows, steps, places, penalty), done))
                _drop(rows, staying, steps)
    everyone = torch.ones_like(steps.studies, dtype=torch.bool)
    left.append((_endings(rows, steps, places, penalty), everyone))
    # Picked only now: a boolean mask makes the host wait for the device.
    picked = [[part[done.repeat_interleave(places)] for part in ends] for ends, done in left]
    endings = Endings(*(torch.cat(parts) for parts in zip(*picked, strict=True)))
    possible = endings.score > -math.inf
    return steps.hypotheses(Endings(*(part[possible] for part in endings)), places)


def _start(
    model: StepModel, features: Tensor, view_mask: Tensor, places: int, options: SearchOptions
) -> Rows:
    state = model.initial_state(features, view_mask)
    device, studies = features.device, len(features)
    count = studies * places
    if places > 1:
        first = torch.arange(studies, device=device).repeat_interleave(places)
        state = select_rows(state, first)
    return Rows(
        state=state,
        words=torch.full((count,), model.special.bos, device=device),
        sums=torch.zeros(count, device=device),
        lengths=torch.zeros(count, dtype=torch.long, device=device),
        finished=torch.zeros(count, dtype=torch.bool, device=device),
        history=torch.empty(count, 0, dtype=torch.long, device=device)
        if options.needs_history
        else None,
    )


def _advance(
    model: StepModel, rows: Rows, step: int, rules: Constraints, choose: Choose, steps: Backpointers
) -> None:
    log_probs, rows.state = model.step(rows.words, rows.state)
    log_probs = precise(log_probs)
    candidates = log_probs.clone()
    base = candidates.new_zeros(len(candidates), 1)
    rules.apply(candidates, log_probs, base, rows.history, step)
    chosen = choose(candidates, step, steps.studies).unsqueeze(1)
    # A report ends where the model leaves it no word that may be written.
    impossible = candidates.gather(1, chosen) == -math.inf
    chosen = chosen.masked_fill(impossible | rows.finished.unsqueeze(1), rules.eos)
    worth = candidates.gather(1, chosen).squeeze(1)
    rows.sums = rows.sums + worth.masked_fill(rows.finished, 0.0)
    rows.lengths = rows.lengths + ~rows.finished
    rows.words = chosen.squeeze(1)
    rows.finished = rows.finished | (rows.words == rules.eos)
    if rows.history is not None:
        rows.history = torch.cat([rows.history, chosen], 1)
    attention = rows.state.attention if rules.options.return_attention else None
    steps.append(
        None,
        by_study(rows.words, len(steps.studies)),
        by_study(log_probs.gather(1, chosen).squeeze(1), len(steps.studies)),
        None if attention is None else by_study(attention, len(steps.studies)),
    )


def _endings(rows: Rows, steps: Backpointers, places: int, penalty: LengthPenalty) -> Endings:
    """Endings, here, of all rows of the studies present."""
    study = steps.studies.repeat_interleave(places)
    place = torch.arange(places, device=study.device).repeat(len(steps.studies))
    scores = penalty.score(rows.sums, rows.lengths)
    return Endings(study, place, rows.lengths, scores, rows.finished)


def _drop(rows: Rows, staying: Tensor, steps: Backpointers) -> None:
    def pick(part: Tensor) -> Tensor:
        return rows_of_studies(part, staying, len(steps.studies))

    rows.state = select_studies(rows.state, staying, len(steps.studies))
    rows.words, rows.sums = pick(rows.words), pick(rows.sums)
    rows.lengths, rows.finished = pick(rows.lengths), pick(rows.finished)
    rows.history = None if rows.history is None else pick(rows.history)
    steps.keep(staying)
