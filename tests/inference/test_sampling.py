from __future__ import annotations

import pytest
import torch

from tests.inference.tables import TableModel, features_of
from xray_report.errors import OptionError
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.sampling import SampleSearch, feature_keys, study_keys, uniform
from xray_report.models.decoders.protocol import DecoderState
from xray_report.tokens import WORD_TOKENS


class OneWord:
    """Every study, every step: the same distribution over words 3..8."""

    special = WORD_TOKENS
    probabilities = torch.tensor([0.0, 0.0, 0.0, 0.3, 0.25, 0.2, 0.15, 0.06, 0.04])

    def initial_state(self, features, view_mask):
        return DecoderState((), features)

    def step(self, tokens, state):
        return self.probabilities.log().expand(len(tokens), -1), state


def frequencies(studies: int = 4000, **options) -> torch.Tensor:
    ids = [f"study {i}" for i in range(studies)]
    features = torch.zeros(studies, 2, 1, 1, 1)
    search = SampleSearch(max_length=1, **options)
    found = search(OneWord(), features, torch.ones(studies, 2).bool(), ids)
    drawn = [one.token_ids[0] if one.token_ids else 3 for many in found for one in many]
    return torch.bincount(torch.tensor(drawn), minlength=9) / len(drawn)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, OneWord.probabilities),
        ({"n_samples": 3, "seed": 7}, OneWord.probabilities),
        ({"temperature": 0.5}, OneWord.probabilities**2),
        ({"top_k": 2}, torch.tensor([0, 0, 0, 0.3, 0.25, 0, 0, 0, 0])),
        # 0.3 + 0.25 falls short of 0.6, the third word passes it.
        ({"top_p": 0.6}, torch.tensor([0, 0, 0, 0.3, 0.25, 0.2, 0, 0, 0])),
        ({"top_p": 0.01}, torch.tensor([0, 0, 0, 1.0, 0, 0, 0, 0, 0])),
    ],
)
def test_words_are_drawn_as_often_as_they_are_likely(options, expected):
    expected = expected / expected.sum()
    found = frequencies(**options)
    # Four standard deviations of the share of a word in 4,000 draws.
    assert torch.all((found - expected).abs() <= 4 * (expected * (1 - expected) / 4000).sqrt())


def test_numbers_are_uniform_and_uncorrelated():
    keys = study_keys([str(i) for i in range(500)], torch.device("cpu"))
    drawn = torch.stack([uniform(keys, 3, step, 8) for step in range(20)], -1)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    shares = torch.histc(drawn.float(), bins=20, min=0, max=1) / drawn.numel()
    assert torch.all((shares - 0.05).abs() < 0.004)
    for axis in range(3):
        here = drawn.narrow(axis, 0, drawn.shape[axis] - 1) - 0.5
        following = drawn.narrow(axis, 1, drawn.shape[axis] - 1) - 0.5
        assert abs(float((here * following).mean())) < 4 / 12 / here.numel() ** 0.5


def test_seed_changes_the_reports_and_global_state_does_not():
    model = TableModel(studies=20, words=9, seed=0)
    given = features_of([*range(20)])
    torch.manual_seed(1)
    first = SampleSearch(seed=1, max_length=80)(model, *given)
    after = torch.rand(1)
    torch.manual_seed(2)
    assert SampleSearch(seed=1, max_length=80)(model, *given) == first
    assert SampleSearch(seed=2, max_length=80)(model, *given) != first
    torch.manual_seed(1)
    assert torch.rand(1) == after


def test_equal_features_draw_apart_by_their_ids():
    model = TableModel(studies=1, words=9, seed=0)
    found = SampleSearch(max_length=80)(model, *features_of([0, 0, 0]), ["a", "b", "a"])
    assert found[0] == found[2] != found[1]


def test_each_option_changes_the_output():
    model = TableModel(studies=30, words=12, seed=5)
    given = features_of([*range(30)])
    plain = SampleSearch(max_length=80)(model, *given)
    for options in (
        {"temperature": 0.5},
        {"top_k": 2},
        {"top_p": 0.5},
        {"n_samples": 2},
        {"seed": 3},
        {"max_length": 4},
        {"min_length": 5},
        {"no_repeat_ngram": 1},
        {"repetition_penalty": 3.0},
        {"banned_ids": (5,)},
        {"forced_ids": (6,)},
    ):
        assert SampleSearch(**{"max_length": 80, **options})(model, *given) != plain, options


def test_the_likeliest_word_alone_is_greedy_search():
    model = TableModel(studies=30, words=12, seed=5)
    given = features_of([*range(30)])
    assert SampleSearch(top_k=1, max_length=80)(model, *given) == GreedySearch(max_length=80)(
        model, *given
    )


def test_keys_of_features_ignore_absent_views_and_see_every_channel():
    features = torch.randn(2, 2, 3, 7, 7)
    mask = torch.tensor([[True, False], [True, True]])
    keys = feature_keys(features, mask)
    other = features.clone()
    other[0, 1] = 5.0
    assert torch.equal(feature_keys(other, mask), keys)
    assert torch.equal(feature_keys(features.flip(0), mask.flip(0)), keys.flip(0))
    other[1, 1, 2, 3, 3] += 1e-3
    assert feature_keys(other, mask)[1] != keys[1]
    assert torch.equal(
        feature_keys(features.half(), mask), feature_keys(features.half().float(), mask)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be a finite number above 0, got 0"),
        ({"top_k": -1}, "top_k must be an integer of at least 0, got -1"),
        ({"top_p": 1.5}, "top_p must be a finite number above 0 and at most 1, got 1.5"),
        ({"n_samples": 0}, "n_samples must be a positive integer, got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0"),
    ],
)
def test_bad_sampling_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        SampleSearch(**options)
