"""What holds for every search, on hundreds of random tables."""

from __future__ import annotations

import math

import pytest
import torch

from tests.inference.tables import (
    EOS_ID,
    NEVER_GENERATED,
    TableModel,
    features_of,
    spelled,
    word_log_probs,
)
from xray_report.inference.beam import BeamSearch, DiverseBeamSearch
from xray_report.inference.consensus import ConsensusSearch
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.sampling import SampleSearch

COMMON = [
    {},
    {"no_repeat_ngram": 2, "min_length": 3},
    {"repetition_penalty": 1.7, "banned_ids": (5,)},
    {"forced_ids": (6, 7)},
]
SEARCHES = [
    GreedySearch,
    lambda **o: BeamSearch(beam_width=1, **o),
    lambda **o: BeamSearch(beam_width=4, n_best=3, **o),
    lambda **o: BeamSearch(beam_width=3, length_penalty=-0.5, **o),
    lambda **o: BeamSearch(beam_width=3, length_penalty_kind="gnmt", length_penalty=0.6, **o),
    lambda **o: DiverseBeamSearch(beam_width=6, groups=3, n_best=6, **o),
    lambda **o: SampleSearch(**o),
    lambda **o: SampleSearch(n_samples=4, top_k=5, top_p=0.9, temperature=0.8, **o),
    lambda **o: ConsensusSearch(n_candidates=6, to_text=spelled, **o),
    lambda **o: ConsensusSearch(candidates="beam", n_candidates=4, to_text=spelled, **o),
]
NAMES = [
    "greedy", "beam1", "beam4", "beam3short", "gnmt", "diverse", "sample", "nucleus", "consensus",
    "consensus of beam",
]  # fmt: skip
every_search = pytest.mark.parametrize("build", SEARCHES, ids=NAMES)
every_rule = pytest.mark.parametrize("rules", COMMON, ids=["plain", "ngram", "repeat", "forced"])


@every_search
@every_rule
def test_batched_equals_one_by_one_in_any_company(build, rules):
    """Ending rates differ from study to study, so that studies leave the batch at many steps."""
    search = build(max_length=18, return_attention=True, **rules)
    model = TableModel(studies=8, words=9, seed=1)
    model.tables[::2, ..., EOS_ID] += 3.0
    together = search(model, *features_of([*range(8)]))
    order = [5, 3, 7, 0, 1, 6, 2, 4]
    shuffled = search(model, *features_of(order))
    assert [shuffled[order.index(study)] for study in range(8)] == together
    assert search(model, *features_of([0, 1, 2])) == together[:3]
    for study in (0, 7):
        assert search(model, *features_of([study])) == together[study : study + 1]


@every_search
@every_rule
def test_log_probs_and_attention_are_those_of_the_words_returned(build, rules):
    for seed in range(3):
        model = TableModel(studies=12, words=9, seed=seed, ending=-1.0)
        search = build(max_length=14, return_attention=True, **rules)
        for study, found in enumerate(search(model, *features_of(list(range(12))))):
            for one in found:
                tokens = (*one.token_ids, *([EOS_ID] if one.finished else []))
                expected = word_log_probs(model, study, tokens)
                assert one.word_log_probs == pytest.approx(expected, abs=1e-5)
                assert one.log_prob == pytest.approx(math.fsum(expected), abs=1e-4)
                path = (2, 2, *one.token_ids)
                looked = tuple((study, path[i], path[i + 1]) for i in range(len(one.token_ids)))
                assert one.attention == looked


@every_search
def test_attention_is_returned_only_on_request_and_changes_nothing_else(build):
    model = TableModel(studies=6, words=9, seed=2)
    for found in build(max_length=12)(model, *features_of([*range(6)])):
        assert all(one.attention == () for one in found)


@every_search
@every_rule
def test_reports_obey_the_rules(build, rules):
    for seed in range(3):
        model = TableModel(studies=12, words=9, seed=seed)
        for found in build(max_length=14, **rules)(model, *features_of([*range(12)])):
            assert found
            for one in found:
                words = one.token_ids
                assert not set(words) & {*NEVER_GENERATED, EOS_ID, *rules.get("banned_ids", ())}
                assert len(words) + one.finished <= 14
                if one.finished:
                    assert set(rules.get("forced_ids", ())) <= set(words)
                    assert len(words) >= rules.get("min_length", 0)
                if size := rules.get("no_repeat_ngram"):
                    grams = [words[i : i + size] for i in range(len(words) - size + 1)]
                    assert len(set(grams)) == len(grams)


@every_search
def test_a_model_that_never_ends_returns_its_best_unfinished_hypothesis(build):
    model = TableModel(studies=5, words=9, seed=4)
    model.tables[..., EOS_ID] = -math.inf
    for found in build(max_length=11)(model, *features_of([*range(5)])):
        assert [one.score for one in found] == sorted((o.score for o in found), reverse=True)
        for one in found:
            assert not one.finished
            assert len(one.token_ids) == 11


@every_search
def test_the_best_by_score_comes_first_and_finished_before_unfinished(build):
    for seed in range(6):
        model = TableModel(studies=20, words=7, seed=seed, ending=-1.0)
        for found in build(max_length=9)(model, *features_of([*range(20)])):
            keys = [(one.finished, one.score) for one in found]
            assert keys == sorted(keys, reverse=True)


@every_search
def test_finished_studies_leave_the_batch(build):
    """One study never ends and nine end at once: the rows stepped must be far fewer."""
    model = TableModel(studies=10, words=9, seed=0)
    model.tables[..., EOS_ID] = 0.0
    model.tables[0, ..., EOS_ID] = -50.0
    search = build(max_length=40)
    search(model, *features_of([*range(10)]))
    rows, model.rows = model.rows, 0
    search(model, *features_of([0]))
    assert rows <= model.rows + 9 * 8 * (model.rows // 39)


@every_search
def test_one_step_is_the_shortest_search(build):
    model = TableModel(studies=3, words=9, seed=0)
    for found in build(max_length=1)(model, *features_of([0, 1, 2])):
        assert all(len(one.word_log_probs) == 1 for one in found)


@every_search
def test_the_models_own_tables_are_left_alone(build):
    model = TableModel(studies=3, words=9, seed=0)
    before = model.tables.clone()
    build(max_length=9, banned_ids=(4,), no_repeat_ngram=1)(model, *features_of([0, 1, 2]))
    assert torch.equal(model.tables, before)


@every_search
def test_impossible_words_only_still_give_an_empty_report(build):
    model = TableModel(studies=2, words=9, seed=0)
    model.tables[1] = -math.inf
    model.tables[1, ..., 1] = 0.0
    found = build(max_length=9)(model, *features_of([0, 1]))
    assert found[0][0].score > -math.inf
    assert not set(found[1][0].token_ids) & set(NEVER_GENERATED)


@pytest.mark.parametrize(
    "rules", [{"forced_ids": (5,)}, {"min_length": 3}, {"banned_ids": (4,)}, {}], ids=str
)
def test_nothing_is_finished_where_no_end_was_possible(rules):
    """A model of one word: with a rule against it, neither it nor the end can be written."""
    model = TableModel(studies=2, words=9, seed=0)
    model.tables[1] = -math.inf
    model.tables[1, ..., 4] = 0.0
    if "min_length" in rules:  # it can only end, and may not
        model.tables[1, ..., 4], model.tables[1, ..., EOS_ID] = -math.inf, 0.0
    features = features_of([0, 1])
    greedy = GreedySearch(max_length=5, **rules)(model, *features)
    assert BeamSearch(beam_width=1, max_length=5, **rules)(model, *features)[1] == greedy[1]
    sampled = SampleSearch(max_length=5, n_samples=3, **rules)(model, *features)
    for one in (*greedy[1], *sampled[1]):
        assert not one.finished
        assert (one.token_ids == (4,) * 5) == (rules == {})
        assert (one.score == -math.inf) == (rules != {})
    assert len(sampled[0]) == 3
