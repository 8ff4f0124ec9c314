from __future__ import annotations

import pytest

from tests.inference.tables import TableModel, features_of
from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch, DiverseBeamSearch

STUDIES = [*range(30)]


def model() -> TableModel:
    return TableModel(studies=30, words=12, seed=5)


def test_one_group_is_beam_search():
    options = {"beam_width": 4, "n_best": 4, "max_length": 20}
    diverse = DiverseBeamSearch(groups=1, diversity=3.0, **options)
    assert diverse(model(), *features_of(STUDIES)) == BeamSearch(**options)(
        model(), *features_of(STUDIES)
    )


def test_without_diversity_every_group_finds_what_a_beam_of_its_width_finds():
    diverse = DiverseBeamSearch(beam_width=6, groups=3, n_best=6, diversity=0.0, max_length=20)
    beam = BeamSearch(beam_width=2, n_best=2, max_length=20)
    for many, few in zip(
        diverse(model(), *features_of(STUDIES)), beam(model(), *features_of(STUDIES)), strict=True
    ):
        assert {one.token_ids for one in many} >= {one.token_ids for one in few}
        assert len({one.token_ids for one in many}) <= 2
        assert many[0].score == pytest.approx(few[0].score)


def test_diversity_gives_more_distinct_first_words():
    def first_words(diversity: float) -> int:
        search = DiverseBeamSearch(
            beam_width=4, groups=4, n_best=4, diversity=diversity, max_length=8
        )
        found = search(model(), *features_of(STUDIES))
        return sum(len({one.token_ids[:1] for one in many}) for many in found)

    assert first_words(0.0) == 30
    assert first_words(0.0) < first_words(0.5) < first_words(100.0) == 120


def test_greedy_groups_follow_the_algorithm_step_by_step():
    """Groups of one, by hand: each takes the likeliest word less what earlier groups took."""
    tables = model().tables
    search = DiverseBeamSearch(beam_width=3, groups=3, n_best=3, diversity=0.8, max_length=6)
    found = search(model(), *features_of(STUDIES))
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
def test_bad_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        DiverseBeamSearch(**options)
