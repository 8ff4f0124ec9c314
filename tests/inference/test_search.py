"""Options and constraints that all searches share."""

from __future__ import annotations

import math

import pytest
import torch

from tests.inference.tables import TableModel, features_of
from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.search import Constraints, SearchOptions
from xray_report.tokens import WORD_TOKENS


def allowed(options: SearchOptions, history: list[int], log_probs: list[float]) -> list[float]:
    row = torch.tensor([log_probs])
    base = torch.tensor([[-1.0]])
    candidates = base + row
    rules = Constraints(options, WORD_TOKENS, row.device)
    rules.apply(candidates, row, base, torch.tensor([history]).long(), len(history))
    return candidates[0].tolist()


def words(options: SearchOptions, history: list[int], size: int = 9) -> list[int]:
    found = allowed(options, history, [-0.1 * (1 + i) for i in range(size)])
    return [word for word, worth in enumerate(found) if worth > -math.inf]


def test_special_tokens_but_the_end_are_never_allowed():
    assert words(SearchOptions(), [], size=6) == [3, 4, 5]


def test_minimum_length_counts_words():
    options = SearchOptions(min_length=2)
    assert 3 not in words(options, [4])
    assert 3 in words(options, [4, 5])


def test_a_bigram_is_blocked_only_after_its_first_word():
    options = SearchOptions(no_repeat_ngram=2)
    assert words(options, [4, 5, 6, 4], 8) == [3, 4, 6, 7]
    assert words(options, [4, 5, 6], 8) == [3, 4, 5, 6, 7]
    assert words(options, [4, 4], 8) == [3, 5, 6, 7]


def test_a_trigram_and_a_single_word_are_blocked():
    assert words(SearchOptions(no_repeat_ngram=3), [4, 5, 6, 7, 4, 5], 8) == [3, 4, 5, 7]
    assert words(SearchOptions(no_repeat_ngram=1), [4, 6], 8) == [3, 5, 7]


def test_repeated_words_are_penalised_once():
    found = allowed(SearchOptions(repetition_penalty=2.0), [4, 4], [-1.0] * 6)
    assert found[4] == -1.0 + 2.0 * -1.0
    assert found[5] == found[3] == -2.0


def test_banned_words_are_blocked():
    assert words(SearchOptions(banned_ids=(4, 6)), [], 8) == [3, 5, 7]


def test_forced_words_come_when_the_report_would_end():
    options = SearchOptions(forced_ids=(5, 6), max_length=20)
    # The end is the likeliest word of those allowed: a missing word must come now.
    assert words(options, []) == [5, 6]
    assert words(options, [5]) == [6]
    assert words(options, [6, 5]) == [3, 4, 5, 6, 7, 8]


def test_forced_words_wait_while_the_report_goes_on_but_forbid_its_end():
    found = allowed(SearchOptions(forced_ids=(5,), max_length=20), [4], [-1, -1, -1, -5, -1, -9])
    assert [w for w, worth in enumerate(found) if worth > -math.inf] == [4, 5]


def test_forced_words_come_in_time_for_the_maximum_length():
    options = SearchOptions(forced_ids=(5, 6), max_length=6)
    rows = [-1, -1, -1, -9, -1, -9, -9]
    assert math.isfinite(allowed(options, [4, 4], rows)[4])
    assert not math.isfinite(allowed(options, [4, 4, 4], rows)[4])


def test_a_report_without_any_word_left_may_end():
    options = SearchOptions(banned_ids=(4, 5), min_length=3)
    assert words(options, [], 6) == [3]


WORDS = ("<pad>", "<unk>", "startseq", "endseq", ".", "no", "heart", "effusion")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "max_length must be a positive integer, got 0"),
        ({"max_length": 2.5}, "max_length must be a positive integer, got 2.5"),
        ({"min_length": -1}, "min_length must be an integer of at least 0, got -1"),
        (
            {"min_length": 80, "max_length": 80},
            r"min_length must be below max_length \(80\), got 80",
        ),
        ({"no_repeat_ngram": "2"}, "no_repeat_ngram must be an integer of at least 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be a finite number above 0"),
        ({"banned_words": "heart"}, "banned_words must be a list, got 'heart'"),
        ({"banned_words": ["a"], "forced_words": ["a"]}, "'a' is both in banned_words and in"),
        ({"forced_words": ["a", "b"], "max_length": 2}, "forced_words must be fewer than"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        GreedySearch(**options)


def test_words_are_resolved_with_the_vocabulary():
    search = BeamSearch(beam_width=3, banned_words=["heart"], forced_words=["no", "no"])
    resolved = search.resolve(WORDS)
    assert (resolved.banned_ids, resolved.forced_ids) == ((6,), (5,))
    assert resolved.beam_width == 3
    assert resolved.resolve(WORDS) == resolved
    ids = GreedySearch(banned_ids=(4,))
    assert ids.resolve(WORDS).banned_ids == (4,)


def test_the_longest_report_is_the_models_unless_the_search_says_another():
    assert GreedySearch().resolve(WORDS, 7).longest == 7
    assert GreedySearch(max_length=3).resolve(WORDS, 7).longest == 3
    with pytest.raises(OptionError, match=r"max_length is not set: give it, or take the model's"):
        GreedySearch()(TableModel(1, 8, seed=0), *features_of([0]))
    with pytest.raises(OptionError, match=r"min_length must be below max_length \(7\), got 9"):
        GreedySearch(min_length=9).resolve(WORDS, 7)


def test_unknown_words_are_refused():
    with pytest.raises(OptionError, match="forced_words: 'lung' is not among the 8 words"):
        GreedySearch(forced_words=["lung"]).resolve(WORDS)


@pytest.mark.parametrize("options", [{"forced_words": ["endseq"]}, {"forced_words": ["<unk>"]},
                                     {"banned_words": ["endseq"]}])  # fmt: skip
def test_special_words_are_refused(options):
    search = GreedySearch(**options).resolve(WORDS, 80)
    with pytest.raises(OptionError, match="must not be special tokens"):
        search(TableModel(1, 8, seed=0), *features_of([0]))


def test_words_that_were_not_looked_up_are_refused():
    with pytest.raises(OptionError, match=r"use search.resolve\(words\)"):
        BeamSearch(banned_words=["heart"])(TableModel(1, 8, seed=0), *features_of([0]))
