from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from tests.inference.tables import TableModel, features_of
from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch
from xray_report.inference.generator import (
    Report,
    ReportGenerator,
    plain_report,
    readable,
    sentences_of,
    text_warnings,
    worded_sentences,
)
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.search import Hypothesis
from xray_report.text.words import SPECIAL_WORDS, Vocabulary, WordTokenizer

TOKENIZER = WordTokenizer(Vocabulary([*SPECIAL_WORDS, ".", "no", "effusion", "heart", "normal"]))


class Brightness(nn.Module):
    """Feature map: the mean brightness of an image; counts what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    @staticmethod
    def preprocessing(pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float().unsqueeze(1).expand(-1, 3, -1, -1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training
        assert torch.is_inference_mode_enabled()
        self.seen += len(images)
        return images.mean((1, 2, 3))[:, None, None, None]


class Maps(TableModel):
    """A table model that looks at the lateral view alone, of two views of one location each."""

    def step(self, tokens, state):
        log_probs, after = super().step(tokens, state)
        looked = torch.tensor([[0.0, 1.0]]).repeat(len(tokens), 1)
        return log_probs, after._replace(attention=looked)


def generator(search=None, **options) -> ReportGenerator:
    model = Maps(studies=6, words=9, seed=3)
    options = {"max_length": 80, **options}
    return ReportGenerator(Brightness(), model, TOKENIZER, search or GreedySearch(), **options)


def images() -> torch.Tensor:
    return torch.arange(6, dtype=torch.uint8)[:, None, None, None].expand(-1, 2, 8, 8)


IDS = [f"CXR{i}" for i in range(6)]


def test_images_grey_or_preprocessed_and_features_give_the_same_reports():
    features, mask = features_of([*range(6)])
    expected = generator().generate(features=features, view_mask=mask, study_ids=IDS)
    grey = generator().generate(images=images(), view_mask=mask, study_ids=IDS)
    ready = images().float().unsqueeze(2).expand(-1, -1, 3, -1, -1)
    assert grey == expected
    assert generator().generate(images=ready, view_mask=mask, study_ids=IDS) == expected
    assert [report.study_id for report in expected] == IDS
    assert len({report.text for report in expected}) > 1


def test_each_present_view_is_encoded_once_whatever_the_search():
    made = generator(BeamSearch(beam_width=4), batch_size=4)
    mask = torch.ones(6, 2).bool()
    mask[2, 1] = False
    pictures = images().clone()
    pictures[2, 1] = 255
    reports = made.generate(images=pictures, view_mask=mask, study_ids=IDS)
    assert made.encoder.seen == 11
    assert reports == generator(BeamSearch(beam_width=4)).generate(
        images=images(), view_mask=mask, study_ids=IDS
    )


def test_batch_size_changes_nothing():
    features, mask = features_of([*range(6)])
    whole = generator().generate(features=features, view_mask=mask, study_ids=IDS)
    for size in (1, 2, 5):
        parts = generator(batch_size=size)
        assert parts.generate(features=features, view_mask=mask, study_ids=IDS) == whole


def test_attention_of_each_word_falls_into_its_view():
    features, mask = features_of([*range(6)])
    search = BeamSearch(beam_width=3, n_best=2, return_attention=True)
    for report in generator(search).generate(features=features, view_mask=mask, study_ids=IDS):
        words = report.hypotheses[0].token_ids
        if not words:
            assert report.attention is None
            continue
        expected = torch.tensor([[[0.0]], [[1.0]]]).expand(len(words), 2, 1, 1)
        assert torch.equal(report.attention, expected)
        best, *others = report.hypotheses
        assert best.attention
        assert others
        assert not any(one.attention for one in others)  # hundreds of samples' would fill memory


def test_attention_has_the_grid_of_the_maps():
    """A model that looks for each word at the lateral view's location of the word before."""

    class Wide(TableModel):
        def step(self, tokens, state):
            log_probs, after = super().step(tokens, state)
            weights = torch.zeros(len(tokens), 2 * 15)
            weights[torch.arange(len(tokens)), tokens + 15] = 1.0
            return log_probs, after._replace(attention=weights)

    features, mask = features_of([*range(6)])
    search = GreedySearch(return_attention=True)
    made = ReportGenerator(None, Wide(6, 9, seed=3), TOKENIZER, search, max_length=80)
    wide = features.expand(-1, -1, -1, 3, 5)
    for report in made.generate(features=wide, view_mask=mask, study_ids=IDS):
        words = report.hypotheses[0].token_ids
        if words:
            assert report.attention.shape == (len(words), 2, 3, 5)
            seen = report.attention[:, 1].flatten(1).argmax(1).tolist()
            assert seen == [2, *words[:-1]][: len(words)]


def test_words_of_the_search_are_looked_up():
    features, mask = features_of([*range(6)])
    banned = generator(GreedySearch(banned_words=["no"])).generate(
        features=features, view_mask=mask, study_ids=IDS
    )
    assert not any("no" in report.text.split() for report in banned)
    with pytest.raises(OptionError, match="'lung' is not among"):
        generator(GreedySearch(banned_words=["lung"]))
    with pytest.raises(OptionError, match="need a vocabulary"):
        GreedySearch(max_length=9, banned_words=["no"])(Maps(6, 9, seed=3), features, mask)


def test_wrong_input_is_refused():
    features, mask = features_of([*range(6)])
    made = generator()
    with pytest.raises(OptionError, match="either images or features"):
        made.generate(view_mask=mask, study_ids=IDS)
    with pytest.raises(OptionError, match="do not match"):
        made.generate(features=features, view_mask=mask, study_ids=IDS[:5])
    blind = mask.clone()
    blind[4] = False
    with pytest.raises(OptionError, match="study CXR4 has no image"):
        made.generate(features=features, view_mask=blind, study_ids=IDS)
    no_encoder = ReportGenerator(None, Maps(6, 9, seed=3), TOKENIZER, GreedySearch())
    with pytest.raises(OptionError, match="has no encoder"):
        no_encoder.generate(images=images(), view_mask=mask, study_ids=IDS)
    with pytest.raises(OptionError, match="batch_size must be a positive integer, got 0"):
        generator(batch_size=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no effusion. heart normal", "No effusion. Heart normal."),
        ("No effusion. Heart normal.", "No effusion. Heart normal."),
        ("no effusion . heart normal .", "No effusion. Heart normal."),
        ("no effusion . heart", "No effusion. Heart."),
        (". . lungs clear . .", "Lungs clear."),
        ("1. a 2.5 cm nodule, stable. 2. clear", "1. A 2.5 cm nodule, stable. 2. Clear."),
        ("With Dr. Roe, e.g. here. (2.5 cm)", "With Dr. Roe, e.g. here. (2.5 cm)"),
        ("", ""),
        (".", ""),
    ],
)
def test_readable(text, expected):
    assert readable(text) == expected


def test_report_reads_well_and_keeps_its_raw_text():
    features, mask = features_of([0])
    (report,) = generator(GreedySearch(forced_words=["effusion", "."])).generate(
        features=features, view_mask=mask, study_ids=["a"]
    )
    assert report.readable == readable(report.text)
    assert report.text == TOKENIZER.decode(report.hypotheses[0].token_ids)


def test_json_never_holds_an_infinity() -> None:
    tokenizer = WordTokenizer.fit(["clear lungs"])
    word = tokenizer.encode("clear")[1]
    impossible = Hypothesis((word,), -math.inf, -math.inf, True, (-math.inf, -math.inf))
    plain = plain_report(Report("s", "clear", (impossible,)), tokenizer)
    (one,) = json.loads(json.dumps(plain, allow_nan=False))["hypotheses"]
    assert one["words"] == [{"word": "clear", "log_prob": None}]
    assert one["end_log_prob"] is one["score"] is one["log_prob"] is None


def written(text: str, finished: bool = True, **rules: bool) -> tuple[Hypothesis, WordTokenizer]:
    """A hypothesis of that text whose words have the probabilities 1, 1/2, 1/4, 1/8 ..."""
    tokenizer = WordTokenizer.fit([text], cleaner=rules)
    ids = tuple(tokenizer.encode(text)[1:-1])
    halves = tuple(-n * math.log(2) for n in range(len(ids) + finished))
    return Hypothesis(ids, sum(halves), sum(halves), finished, halves), tokenizer


NATURAL = {
    "lower_case": False, "letters_only": False, "drop_short_words": False,
    "split_punctuation": True,
}  # fmt: skip


def test_a_sentences_confidence_is_its_words_mean_probability() -> None:
    first, second = sentences_of(*written("no effusion . heart normal ."))
    assert first == ("No effusion.", pytest.approx((1 + 1 / 2) / 2))
    # The full stop, 1/4, is no word.
    assert second == ("Heart normal.", pytest.approx((1 / 8 + 1 / 16) / 2))
    assert sentences_of(*written("clear lungs")) == [("Clear lungs.", pytest.approx(0.75))]


@pytest.mark.parametrize(
    "text", ["no effusion . heart normal .", "heart normal", ". . lungs clear . ."]
)
def test_sentences_together_are_the_report(text: str) -> None:
    one, tokenizer = written(text)
    joined = " ".join(sentence.text for sentence in sentences_of(one, tokenizer))
    assert joined == readable(tokenizer.decode(one.token_ids))


def test_sentences_of_a_text_with_capitals_and_numbers_are_as_written() -> None:
    text = "A 2.5 cm nodule, stable. Is it new? No effusion."
    found = sentences_of(*written(text, **NATURAL))
    assert " ".join(sentence.text for sentence in found) == text
    assert len(found) == 3
    # A, 2.5, cm, nodule; the comma is no word; stable.
    assert found[0].confidence == pytest.approx((1 + 1 / 2 + 1 / 4 + 1 / 8 + 1 / 32) / 5)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("no effusion . heart normal .", {}),
        (". . lungs clear . . heart normal", {}),
        ("A 2.5 cm nodule, stable. Is it new? No effusion.", NATURAL),
    ],
)
def test_each_word_of_a_sentence_knows_its_tokens(text: str, options: dict[str, bool]) -> None:
    one, tokenizer = written(text, **options)
    pieces = tokenizer.pieces(one.token_ids)
    for sentence, words in worded_sentences(one, tokenizer):
        assert " ".join(word.text for word in words) == sentence.text
        for word in words:
            told = [pieces[at].strip().lower() for at in word.tokens]
            assert told == [word.text.strip(".,?").lower()]


def test_reports_that_are_cut_or_go_in_circles_are_warned_of() -> None:
    def warnings(text: str, finished: bool = True) -> dict[str, str]:
        one, tokenizer = written(text, finished)
        return text_warnings(Report("s", tokenizer.decode(one.token_ids), (one,)), tokenizer)

    assert warnings("lungs clear . heart normal . lungs clear .") == {}
    assert "3 times: Lungs clear." in warnings("lungs clear . " * 3)["repeated"]
    assert "in a row: the left" in warnings("opacity " + "the left " * 3)["repeated"]
    assert warnings("opacity " + "the left " * 2) == {}
    assert "cut after 2 tokens" in warnings("lungs clear", finished=False)["cut"]
