from __future__ import annotations

import pytest

from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.sampling import SampleSearch

WORDS = ("<pad>", "<unk>", "startseq", "endseq", ".", "no", "heart", "effusion")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, "max_length must be a positive integer, got 0"),
        ({"max_length": 2.5}, "max_length must be a positive integer, got 2.5"),
        ({"min_length": -1}, "min_length must be an integer of at least 0, got -1"),
        ({"min_length": 80}, r"min_length must be below max_length \(80\), got 80"),
        ({"no_repeat_ngram": "2"}, "no_repeat_ngram must be an integer of at least 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be a finite number above 0"),
        ({"banned_words": "heart"}, "banned_words must be a list, got 'heart'"),
        ({"banned_words": ["a"], "forced_words": ["a"]}, "'a' is both in banned_words and in"),
        ({"forced_words": ["a", "b"], "max_length": 2}, "forced_words must be fewer than"),
        ({"forced_ids": (3,)}, "must not be special tokens"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        GreedySearch(**options)


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


def test_words_are_resolved_with_the_vocabulary():
    search = BeamSearch(beam_width=3, banned_words=["heart"], forced_words=["no", "no"])
    resolved = search.resolve(WORDS)
    assert (resolved.banned_ids, resolved.forced_ids) == ((6,), (5,))
    assert resolved.beam_width == 3
    assert resolved.resolve(WORDS) == resolved


def test_unknown_words_are_refused():
    with pytest.raises(OptionError, match="forced_words: 'lung' is not among the 8 words"):
        GreedySearch(forced_words=["lung"]).resolve(WORDS)


def test_special_words_are_refused():
    with pytest.raises(OptionError, match="must not be special tokens"):
        GreedySearch(forced_words=["endseq"]).resolve(WORDS)
