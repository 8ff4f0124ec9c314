from __future__ import annotations

import math

import torch

from xray_report.inference.search import Constraints, SearchOptions


def allowed(options: SearchOptions, history: list[int], log_probs: list[float]) -> list[float]:
    row = torch.tensor([log_probs])
    base = torch.tensor([[-1.0]])
    candidates = base + row
    rules = Constraints(options, row.device)
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
