"""Studies stop as soon as no open hypothesis can win, and not one step before."""

from __future__ import annotations

import math

import pytest

from tests.inference.tables import TableModel, features_of
from xray_report.inference import beam as beam_loop
from xray_report.inference.beam import BeamSearch, DiverseBeamSearch

PENALTIES = [(1.0, "normalised"), (0.0, "normalised"), (-0.7, "normalised"), (0.6, "gnmt")]
RULES = [{}, {"no_repeat_ngram": 2, "min_length": 3}, {"repetition_penalty": 1.7},
         {"repetition_penalty": 0.5}, {"forced_ids": (6,)}]  # fmt: skip
STUDIES = [*range(25)]


def as_long_as_any_is_open(beams, length, plan):
    """The rule of a search that does not stop early."""
    return beams.sums.amax(1) > -math.inf


@pytest.mark.parametrize("rules", RULES, ids=["plain", "ngram", "repeat", "reward", "forced"])
@pytest.mark.parametrize(("alpha", "kind"), PENALTIES)
@pytest.mark.parametrize("groups", [1, 2])
def test_stopping_early_changes_no_hypothesis(groups, alpha, kind, rules, monkeypatch) -> None:
    """With and without: 25 studies for each of 40 combinations."""
    options = {"beam_width": 4, "n_best": 2, "max_length": 24, "length_penalty": alpha,
               "length_penalty_kind": kind, **rules}  # fmt: skip
    search = BeamSearch(**options) if groups == 1 else DiverseBeamSearch(groups=groups, **options)
    model = TableModel(studies=25, words=9, seed=groups, ending=1.0)
    early = search(model, *features_of(STUDIES))
    stepped, model.rows = model.rows, 0
    monkeypatch.setattr(beam_loop, "_still_open", as_long_as_any_is_open)
    late = search(model, *features_of(STUDIES))
    assert early == late
    assert stepped <= model.rows
    if alpha <= 0 and not rules:
        assert stepped < model.rows


def test_a_study_stops_at_the_first_look_after_its_winner_is_certain() -> None:
    """By log-probability alone nothing can pass a report that has ended with the best sum."""
    model = TableModel(studies=1, words=6, seed=0)
    model.tables[:] = math.log(0.1)
    model.tables[..., 3] = math.log(0.9)  # the end
    search = BeamSearch(beam_width=3, max_length=60, length_penalty=0.0)
    ((best,),) = search(model, *features_of([0]))
    assert best.token_ids == ()
    assert model.steps == beam_loop.CHECK_EVERY


def test_a_study_goes_on_while_a_longer_report_can_still_win() -> None:
    """By the mean, a sure report of 11 words beats the empty one that ended ten steps before."""
    model = TableModel(studies=1, words=15, seed=0)
    model.tables[:] = -20.0
    end, chain = 3, range(4, 15)
    model.tables[:, 2, 2, end], model.tables[:, 2, 2, chain[0]] = -0.2, -1.7
    for word in chain[:-1]:
        model.tables[..., word, word + 1] = 0.0
    model.tables[..., chain[-1], end] = 0.0
    search = BeamSearch(beam_width=2, max_length=20)
    ((best,),) = search(model, *features_of([0]))
    assert best.token_ids == tuple(chain)
    assert best.score > -0.2
    assert model.steps >= len(chain)
