from __future__ import annotations

import pickle
import random
from collections import Counter
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tests.test_config import composed
from xray_report.errors import OptionError
from xray_report.text.cleaning import Cleaner
from xray_report.text.tokenizer import tokenizer_from_plain
from xray_report.text.words import SPECIAL_WORDS, Vocabulary, WordTokenizer
from xray_report.tokens import WORD_TOKENS

PAD_ID, UNK_ID, BOS_ID, EOS_ID = WORD_TOKENS

TEXTS = ["no effusion .", "no edema .", "heart normal . no edema ."]
WORDS = st.sampled_from(["no", ".", "edema", "heart", "lungs", "clear", *SPECIAL_WORDS])
CORPORA = st.lists(st.lists(WORDS, max_size=6).map(" ".join), min_size=1, max_size=8)


def test_order_is_by_count_then_alphabet() -> None:
    built = Vocabulary.build(TEXTS, min_count=1)
    assert built.words == (*SPECIAL_WORDS, ".", "no", "edema", "effusion", "heart", "normal")
    assert [built.words[i] for i in (PAD_ID, UNK_ID, BOS_ID, EOS_ID)] == list(SPECIAL_WORDS)


def test_rare_words_become_unknown() -> None:
    built = Vocabulary.build(TEXTS, min_count=2)
    assert built.words[4:] == (".", "no", "edema")
    assert built.encode("no heart .") == [BOS_ID, 5, UNK_ID, 4, EOS_ID]
    assert built.decode(built.encode("no heart .")) == ["no", "."]
    assert "heart" not in built
    assert "no" in built


def test_decode_stops_at_the_first_end_and_drops_specials() -> None:
    built = Vocabulary.build(TEXTS, min_count=1)
    no, stop = built.encode("no .")[1:3]
    assert built.decode([BOS_ID, no, UNK_ID, stop, EOS_ID, no, PAD_ID]) == ["no", "."]
    assert built.decode([]) == []
    assert built.encode("") == [BOS_ID, EOS_ID]


def test_the_list_of_words_is_the_whole_vocabulary() -> None:
    built = Vocabulary.build(TEXTS, min_count=1)
    assert Vocabulary(list(built.words)) == built
    assert pickle.loads(pickle.dumps(built)) == built
    assert built != Vocabulary.build(TEXTS, min_count=2)
    assert len(built) == 10


@given(CORPORA, st.integers(1, 3), st.randoms(use_true_random=False))
def test_building_and_round_trip(texts: list[str], least: int, order: random.Random) -> None:
    counts = Counter(w for text in texts for w in text.split() if w not in SPECIAL_WORDS)
    expected = {word for word, count in counts.items() if count >= least}
    if not expected:
        with pytest.raises(OptionError, match="min_count"):
            Vocabulary.build(texts, least)
        return
    built = Vocabulary.build(texts, least)
    assert set(built.words[4:]) == expected
    assert Vocabulary.build(order.sample(texts, len(texts)), least) == built
    for text in texts:
        known = [word for word in text.split() if word in expected]
        ids = built.encode(text)
        assert built.decode(ids) == known
        # A special word that stands in a report is no special token.
        assert not {BOS_ID, EOS_ID, PAD_ID} & set(ids[1:-1])


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True, None])
def test_bad_min_count(bad: object) -> None:
    with pytest.raises(OptionError, match="min_count must be a positive integer"):
        Vocabulary.build(TEXTS, bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "b"], "begins with <pad>, <unk>, startseq, endseq"),
        ([], "begins with"),
        ([*SPECIAL_WORDS, "no", "no"], "'no' 2 times"),
        ([*SPECIAL_WORDS, "<unk>"], "'<unk>' 2 times"),
        ([*SPECIAL_WORDS, ""], "empty or holds white space"),
        ([*SPECIAL_WORDS, "two words"], "'two words' is empty or holds white space"),
    ],
)
def test_bad_word_lists(words: list[str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Vocabulary(words)


@pytest.mark.parametrize("token", [10, -1])
def test_an_id_outside_the_vocabulary(token: int) -> None:
    with pytest.raises(OptionError, match=f"{token} is outside the vocabulary of 10"):
        Vocabulary.build(TEXTS, 1).decode([token])


# The tokenizers of conf/text/.

REPORTS = ["No pneumothorax or pleural effusion. A 2.5 cm nodule (old), stable since 2010."] * 3


def tokenizer(text: str, texts: list[str] = REPORTS) -> WordTokenizer:
    options: Any = OmegaConf.to_container(composed("train", f"text={text}").text.tokenizer)
    return WordTokenizer.fit(texts, **options)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("original", "no pneumothorax pleural effusion . nodule old stable since ."),
        ("readable",
         "no pneumothorax or pleural effusion. a 2.5 cm nodule old, stable since 2010."),
        ("natural", REPORTS[0]),
    ],
)  # fmt: skip
def test_a_report_is_decoded_as_it_reads(text: str, written: str) -> None:
    made = tokenizer(text)
    ids = made.encode(REPORTS[0])
    assert made.decode(ids) == made.normalise(REPORTS[0]) == written
    assert made.pieces(ids[1:-1]) == made.cleaner(REPORTS[0]).split()
    assert made.encode(written) == ids
    assert tokenizer_from_plain(made.to_plain()) == made


def test_the_default_is_text_that_people_can_read() -> None:
    assert composed("train").text == composed("train", "text=readable").text


def test_the_original_text_is_the_six_rules() -> None:
    assert tokenizer("original").cleaner == Cleaner()
    assert len(tokenizer("original", ["Clear lungs."])) == 4 + 3  # words seen once count
    for experiment in ("original", "original_encoder_decoder"):
        text = composed("train", f"experiment={experiment}").text
        assert text == composed("train", "text=original").text


def test_words_seen_less_than_three_times_are_unknown_in_readable_text() -> None:
    texts = ["Clear lungs."] * 3 + ["Hazy lungs."]
    made = tokenizer("readable", texts)
    assert made.decode(made.encode("Hazy, clear lungs.")) == "clear lungs."


def test_tokenizers_saved_before_there_were_marks_mean_what_they_meant() -> None:
    rules = {
        name: True
        for name in asdict(Cleaner())
        if name not in ("simple_punctuation", "split_punctuation")
    }
    words = [*SPECIAL_WORDS, ".", "clear", "lungs"]
    old = tokenizer_from_plain({"name": "words", "words": words, "cleaner": rules})
    assert old == WordTokenizer(Vocabulary(words))
    assert old.decode(old.encode("Lungs clear, 2.5 cm.")) == "lungs clear ."


@pytest.mark.parametrize("rule", asdict(Cleaner()))
@pytest.mark.parametrize("value", ["no", 0, None, "true"])
def test_every_switch_is_checked_to_be_one(rule: str, value: object) -> None:
    with pytest.raises(
        OptionError, match=rf"text\.tokenizer\.cleaner\.{rule} must be true or false"
    ):
        WordTokenizer.check_options(cleaner={rule: value})  # type: ignore[dict-item]


def test_other_mistakes_are_named() -> None:
    with pytest.raises(
        OptionError, match=r"cleaner\.stem is no rule: use lower_case, .*split_punct"
    ):
        WordTokenizer.check_options(cleaner={"stem": True})
    with pytest.raises(OptionError, match=r"text\.tokenizer\.cleaner must be rules by name, got 5"):
        WordTokenizer.check_options(cleaner=5)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"text\.tokenizer\.stem is no option"):
        WordTokenizer.check_options(stem=True)
