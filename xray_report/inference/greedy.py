"""Greedy search: the likeliest word at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xray_report.inference.search import (
    CHECK_EVERY,
    Constraints,
    Endings,
    Hypothesis,
    LengthPenalty,
    SearchOptions,
    Trellis,
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
from xray_report.tokens import BOS_ID, EOS_ID


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


# ------------------------------------------------------------------------------
# The loop of the searches that follow each hypothesis straight on: greedy and sampling.

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
    options.check_resolved()
    trellis = Trellis(len(features), features.device)
    rows = _start(model.initial_state(features, view_mask), len(features), places, options)
    rules = Constraints(options, features.device)
    left: list[tuple[Endings, Tensor]] = []
    for step in range(options.max_length):
        _advance(model, rows, step, rules, choose, trellis)
        if (step + 1) % CHECK_EVERY == 0:
            done = by_study(rows.finished, len(trellis.studies)).all(1)
            staying = (~done).nonzero().squeeze(1)
            if len(staying) == 0:
                break
            if worth_leaving(len(staying), len(done)):
                left.append((_endings(rows, trellis, places, penalty), done))
                _drop(rows, staying, trellis)
    everyone = torch.ones_like(trellis.studies, dtype=torch.bool)
    left.append((_endings(rows, trellis, places, penalty), everyone))
    # Picked only now: a boolean mask makes the host wait for the device.
    picked = [[part[done.repeat_interleave(places)] for part in ends] for ends, done in left]
    endings = Endings(*(torch.cat(parts) for parts in zip(*picked, strict=True)))
    possible = endings.score > -math.inf
    return trellis.hypotheses(Endings(*(part[possible] for part in endings)), places)


def _start(state: DecoderState, studies: int, places: int, options: SearchOptions) -> Rows:
    device = state.hidden.device
    count = studies * places
    if places > 1:
        first = torch.arange(studies, device=device).repeat_interleave(places)
        state = select_rows(state, first)
    return Rows(
        state=state,
        words=torch.full((count,), BOS_ID, device=device),
        sums=torch.zeros(count, device=device),
        lengths=torch.zeros(count, dtype=torch.long, device=device),
        finished=torch.zeros(count, dtype=torch.bool, device=device),
        history=torch.empty(count, 0, dtype=torch.long, device=device)
        if options.needs_history
        else None,
    )


def _advance(
    model: StepModel,
    rows: Rows,
    step: int,
    rules: Constraints,
    choose: Choose,
    trellis: Trellis,
) -> None:
    log_probs, rows.state = model.step(rows.words, rows.state)
    log_probs = precise(log_probs)
    candidates = log_probs.clone()
    base = candidates.new_zeros(len(candidates), 1)
    rules.apply(candidates, log_probs, base, rows.history, step)
    chosen = choose(candidates, step, trellis.studies).unsqueeze(1)
    # A report ends where the model leaves it no word that may be written.
    impossible = candidates.gather(1, chosen) == -math.inf
    chosen = chosen.masked_fill(impossible | rows.finished.unsqueeze(1), EOS_ID)
    worth = candidates.gather(1, chosen).squeeze(1)
    rows.sums = rows.sums + worth.masked_fill(rows.finished, 0.0)
    rows.lengths = rows.lengths + ~rows.finished
    rows.words = chosen.squeeze(1)
    rows.finished = rows.finished | (rows.words == EOS_ID)
    if rows.history is not None:
        rows.history = torch.cat([rows.history, chosen], 1)
    attention = rows.state.attention if rules.options.return_attention else None
    trellis.record(
        None,
        by_study(rows.words, len(trellis.studies)),
        by_study(log_probs.gather(1, chosen).squeeze(1), len(trellis.studies)),
        None if attention is None else by_study(attention, len(trellis.studies)),
    )


def _endings(rows: Rows, trellis: Trellis, places: int, penalty: LengthPenalty) -> Endings:
    """Endings, here, of all rows of the studies present."""
    study = trellis.studies.repeat_interleave(places)
    place = torch.arange(places, device=study.device).repeat(len(trellis.studies))
    scores = penalty.score(rows.sums, rows.lengths)
    return Endings(study, place, rows.lengths, scores, rows.finished)


def _drop(rows: Rows, staying: Tensor, trellis: Trellis) -> None:
    def pick(part: Tensor) -> Tensor:
        return rows_of_studies(part, staying, len(trellis.studies))

    rows.state = select_studies(rows.state, staying)
    rows.words, rows.sums = pick(rows.words), pick(rows.sums)
    rows.lengths, rows.finished = pick(rows.lengths), pick(rows.finished)
    rows.history = None if rows.history is None else pick(rows.history)
    trellis.keep(staying)
