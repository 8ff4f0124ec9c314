"""Beam search, plain and diverse, and when it stops."""

from __future__ import annotations

import math

import pytest
import torch

from tests.inference.tables import TableModel, exhaustive, features_of, plain_beam
from xray_report.errors import OptionError
from xray_report.inference import beam as beam_loop
from xray_report.inference.beam import BeamSearch, DiverseBeamSearch
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.search import LengthPenalty

PENALTIES = [
    ("normalised", 1.0),
    ("normalised", 0.0),
    ("normalised", -0.7),
    ("gnmt", 0.6),
    ("gnmt", -0.4),
]


def scorer(kind: str, alpha: float):
    def score(total: float, length: int) -> float:
        divisor = length if kind == "normalised" else (5 + length) / 6
        return total / divisor**alpha

    return score


@pytest.mark.parametrize(("kind", "alpha"), PENALTIES)
def test_beam_as_wide_as_the_search_space_equals_exhaustive_enumeration(kind, alpha):
    for seed in range(6):
        model = TableModel(studies=4, words=7, seed=seed)
        search = BeamSearch(
            beam_width=200, n_best=20, max_length=4, length_penalty=alpha, length_penalty_kind=kind
        )
        for study, found in enumerate(search(model, *features_of([0, 1, 2, 3]))):
            expected = exhaustive(model, study, 4, scorer(kind, alpha))[:20]
            assert [h.token_ids for h in found] == [body for _, body in expected]
            assert [h.score for h in found] == pytest.approx([s for s, _ in expected], abs=1e-4)


@pytest.mark.parametrize("ending", [-8.0, -2.0, 0.0, 3.0])
def test_width_one_equals_greedy(ending):
    studies = list(range(30))
    for seed in range(5):
        model = TableModel(studies=30, words=9, seed=seed, ending=ending)
        for length in (1, 7, 20):
            greedy = GreedySearch(max_length=length)(model, *features_of(studies))
            beam = BeamSearch(beam_width=1, max_length=length)(model, *features_of(studies))
            for one, other in zip(greedy, beam, strict=True):
                assert one[0].token_ids == other[0].token_ids
                assert one[0].finished == other[0].finished
                assert one[0].score == pytest.approx(other[0].score, abs=1e-5)
                assert one[0].word_log_probs == other[0].word_log_probs


@pytest.mark.parametrize(("kind", "alpha"), PENALTIES)
def test_early_stopping_is_exact_and_saves_steps(kind, alpha):
    """The plain search goes on until every place has ended or the length is reached."""
    saved = 0
    for seed in range(4):
        model = TableModel(studies=6, words=9, seed=seed, ending=1.0)
        search = BeamSearch(
            beam_width=4, n_best=2, max_length=24, length_penalty=alpha, length_penalty_kind=kind
        )
        for study in range(6):
            expected, steps = plain_beam(model, study, 4, 24, scorer(kind, alpha))
            model.steps = 0
            (found,) = search(model, *features_of([study]))
            saved += steps - model.steps
            assert [h.token_ids for h in found] == [body for _, body, _ in expected[:2]]
            assert [h.score for h in found] == pytest.approx([e[0] for e in expected[:2]], abs=1e-4)
    if alpha <= 0:
        assert saved > 0


def test_stops_late_where_a_longer_report_can_still_win():
    """With the mean log-probability a long sure report beats a short one that ended before it."""
    model = TableModel(studies=1, words=6, seed=0)
    model.tables[:] = -20.0
    end, sure = 3, 4
    model.tables[..., sure] = -0.01
    model.tables[:, 2, 2, end] = -0.5
    model.tables[:, 2, 2, sure] = -0.6
    model.tables[:, sure, sure, end] = -0.7
    for alpha, words in ((1.0, (sure, sure)), (0.0, ()), (-1.0, ())):
        search = BeamSearch(beam_width=3, max_length=30, length_penalty=alpha)
        ((best,),) = search(model, *features_of([0]))
        assert best.token_ids == words


def test_n_best_is_sorted_and_without_repeats():
    model = TableModel(studies=5, words=9, seed=3)
    for found in BeamSearch(beam_width=6, n_best=6, max_length=15)(
        model, *features_of([*range(5)])
    ):
        finished = [h.score for h in found if h.finished]
        assert finished == sorted(finished, reverse=True)
        assert len({(h.token_ids, h.finished) for h in found}) == len(found) == 6


def test_every_option_changes_the_output():
    model = TableModel(studies=40, words=12, seed=5)
    given = features_of(list(range(40)))
    plain = BeamSearch(beam_width=4, max_length=20)

    def texts(**options):
        search = BeamSearch(**{"beam_width": 4, "max_length": 20, **options})
        return [h[0].token_ids for h in search(model, *given)]

    before = [h[0].token_ids for h in plain(model, *given)]
    for options in (
        {"beam_width": 1},
        {"max_length": 3},
        {"min_length": 6},
        {"length_penalty": 0.0},
        {"length_penalty_kind": "gnmt"},
        {"no_repeat_ngram": 1},
        {"repetition_penalty": 2.0},
        {"banned_ids": (5,)},
        {"forced_ids": (6,)},
    ):
        assert texts(**options) != before, options
    assert len(BeamSearch(beam_width=4, n_best=3, max_length=80)(model, *given)[0]) == 3


def test_penalty_of_length_favours_short_or_long():
    model = TableModel(studies=40, words=9, seed=8)
    mean = {}
    for alpha in (-1.0, 0.0, 1.0, 2.0):
        found = BeamSearch(beam_width=5, max_length=25, length_penalty=alpha)(
            model, *features_of(list(range(40)))
        )
        mean[alpha] = sum(len(h[0].token_ids) for h in found) / 40
    assert mean[-1.0] <= mean[0.0] < mean[1.0] <= mean[2.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_width": 0}, "beam_width must be a positive integer, got 0"),
        ({"beam_width": True}, "beam_width must be a positive integer, got True"),
        ({"n_best": 6}, r"n_best must be at most beam_width \(5\), got 6"),
        ({"length_penalty": float("nan")}, "length_penalty must be a finite number .*, got nan"),
        ({"length_penalty": 400.0}, "length_penalty must be .* at most 10, got 400"),
        ({"length_penalty": -11}, "length_penalty must be .* at least -10 .*, got -11"),
        ({"length_penalty_kind": "x"}, "length_penalty_kind must be one of normalised, gnmt"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        BeamSearch(**options)


def test_penalty_bound_is_never_below_what_can_be_reached():
    for kind, alpha in PENALTIES:
        penalty = LengthPenalty(alpha, kind)
        for length in range(1, 12):
            bound = penalty.best_possible(torch.tensor(-3.0), length, 12)
            for later in range(length + 1, 13):
                assert penalty.score(torch.tensor(-3.0), later) <= bound + 1e-6


STUDIES = [*range(30)]


def model_of_30() -> TableModel:
    return TableModel(studies=30, words=12, seed=5)


def test_one_group_is_beam_search():
    options = {"beam_width": 4, "n_best": 4, "max_length": 20}
    diverse = DiverseBeamSearch(groups=1, diversity=3.0, **options)
    assert diverse(model_of_30(), *features_of(STUDIES)) == BeamSearch(**options)(
        model_of_30(), *features_of(STUDIES)
    )


def test_without_diversity_every_group_finds_what_a_beam_of_its_width_finds():
    diverse = DiverseBeamSearch(beam_width=6, groups=3, n_best=6, diversity=0.0, max_length=20)
    beam = BeamSearch(beam_width=2, n_best=2, max_length=20)
    for many, few in zip(
        diverse(model_of_30(), *features_of(STUDIES)),
        beam(model_of_30(), *features_of(STUDIES)),
        strict=True,
    ):
        assert {one.token_ids for one in many} >= {one.token_ids for one in few}
        assert len({one.token_ids for one in many}) <= 2
        assert many[0].score == pytest.approx(few[0].score)


def test_diversity_gives_more_distinct_first_words():
    def first_words(diversity: float) -> int:
        search = DiverseBeamSearch(
            beam_width=4, groups=4, n_best=4, diversity=diversity, max_length=8
        )
        found = search(model_of_30(), *features_of(STUDIES))
        return sum(len({one.token_ids[:1] for one in many}) for many in found)

    assert first_words(0.0) == 30
    assert first_words(0.0) < first_words(0.5) < first_words(100.0) == 120


def test_greedy_groups_follow_the_algorithm_step_by_step():
    """Groups of one, by hand: each takes the likeliest word less what earlier groups took."""
    tables = model_of_30().tables
    search = DiverseBeamSearch(beam_width=3, groups=3, n_best=3, diversity=0.8, max_length=6)
    found = search(model_of_30(), *features_of(STUDIES))
    for study in STUDIES:
        bodies: list[tuple[int, ...]] = [(), (), ()]
        for _ in range(6):
            counts: dict[int, int] = {}
            for group, body in enumerate(bodies):
                if body and body[-1] == 3:
                    continue
                path = (2, 2, *body)
                row = tables[study, path[-2], path[-1]].tolist()
                word = max(range(3, 12), key=lambda w: row[w] - 0.8 * counts.get(w, 0))
                counts[word] = counts.get(word, 0) + 1
                bodies[group] = (*body, word)
        expected = sorted(tuple(w for w in body if w != 3) for body in bodies)
        assert sorted(one.token_ids for one in found[study]) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 0}, "groups must be a positive integer, got 0"),
        ({"groups": 4}, r"beam_width must be a multiple of groups \(4\), got 6"),
        ({"diversity": -1.0}, "diversity must not be negative, got -1.0"),
        ({"beam_width": 0}, "beam_width must be a positive integer, got 0"),
    ],
)
def test_bad_options_of_diverse_search_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        DiverseBeamSearch(**options)


STOPPING_PENALTIES = [(1.0, "normalised"), (0.0, "normalised"), (-0.7, "normalised"), (0.6, "gnmt")]
RULES = [{}, {"no_repeat_ngram": 2, "min_length": 3}, {"repetition_penalty": 1.7},
         {"repetition_penalty": 0.5}, {"forced_ids": (6,)}]  # fmt: skip


def as_long_as_any_is_open(beams, length, plan):
    """The rule of a search that does not stop early."""
    return beams.sums.amax(1) > -math.inf


@pytest.mark.parametrize("rules", RULES, ids=["plain", "ngram", "repeat", "reward", "forced"])
@pytest.mark.parametrize(("alpha", "kind"), STOPPING_PENALTIES)
@pytest.mark.parametrize("groups", [1, 2])
def test_stopping_early_changes_no_hypothesis(groups, alpha, kind, rules, monkeypatch) -> None:
    """With and without: 25 studies for each of 40 combinations."""
    options = {"beam_width": 4, "n_best": 2, "max_length": 24, "length_penalty": alpha,
               "length_penalty_kind": kind, **rules}  # fmt: skip
    search = BeamSearch(**options) if groups == 1 else DiverseBeamSearch(groups=groups, **options)
    model = TableModel(studies=25, words=9, seed=groups, ending=1.0)
    early = search(model, *features_of([*range(25)]))
    stepped, model.rows = model.rows, 0
    monkeypatch.setattr(beam_loop, "_still_open", as_long_as_any_is_open)
    late = search(model, *features_of([*range(25)]))
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
