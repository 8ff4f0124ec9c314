"""Consensus: candidates of a search ranked by agreement, each counted as often as it was drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.inference.tables import TableModel, features_of, spelled
from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch
from xray_report.inference.consensus import KEPT, ConsensusSearch
from xray_report.inference.ensemble import Ensemble
from xray_report.inference.generator import ReportGenerator
from xray_report.inference.sampling import SampleSearch
from xray_report.inference.search import Hypothesis
from xray_report.metrics.agreement import UTILITIES, agreement, f_beta, stated
from xray_report.metrics.protocols import clean_tokens
from xray_report.text.words import SPECIAL_WORDS, WordTokenizer

FOUND = [("a a b", 5), ("a a c", 1), ("d", 3), ("a b b", 1)]


def drawn(texts: Sequence[str]) -> list[list[Hypothesis]]:
    return [
        [Hypothesis(tuple(map(ord, one)), -float(i), -float(i), True)
         for i, one in enumerate(texts)]
    ]  # fmt: skip


def letters(token_ids: Sequence[int]) -> str:
    """Words of three letters and more, which cleaning leaves."""
    return " ".join(chr(one) * 3 for one in token_ids if one != ord(" "))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing(ConsensusSearch):
    """Consensus of candidates that are given."""

    given: tuple[str, ...] = ()

    def source(self) -> Any:
        return lambda *_: drawn(self.given)


def ranked(*texts: str, **options: Any) -> list[Hypothesis]:
    (found,) = Drawing(given=texts, to_text=letters, **options)(*[None] * 3)  # type: ignore[arg-type]
    return found


def written(found: Sequence[Hypothesis]) -> list[str]:
    return ["".join(map(chr, one.token_ids)) for one in found]


def test_the_score_is_the_mean_utility_against_all_candidates() -> None:
    texts = [text for text, times in FOUND for _ in range(times)]
    found = ranked(*texts, utility="bleu")
    spelt = [clean_tokens(letters([*map(ord, one)])) for one in texts]
    expected = agreement(spelt, {"bleu": 1}).copy()
    for row, one in enumerate(spelt):  # each copy of a text counts
        for column, other in enumerate(spelt):
            if one == other:
                expected[row, column] = 1.0
    means = dict(zip(texts, expected.mean(1), strict=True))
    assert sorted(written(found)) == sorted(texts)
    for hypothesis, text in zip(found, written(found), strict=True):
        assert hypothesis.score == pytest.approx(means[text])
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_what_most_say_comes_before_what_is_likeliest() -> None:
    likeliest = "d d d d"
    assert written(ranked(likeliest, "a a b", "a a c", "a a b c"))[0] == "a a b"
    # Drawn often enough, it is the consensus.
    assert written(ranked(*[likeliest] * 4, "a a b", "a a c", "a a b c"))[0] == likeliest


def test_equals_stay_in_the_order_of_their_log_probability() -> None:
    assert written(ranked("b c d", "d c b", utility="ngrams")) == ["b c d", "d c b"]
    assert written(ranked("d c b", "b c d", utility="ngrams")) == ["d c b", "b c d"]


def test_a_length_reward_adds_the_logarithm_of_the_words_over_their_mean() -> None:
    texts = ["a b", "a b", "a b c d", "e f g"]
    plain = {one: h.score for h in ranked(*texts) for one in written([h])}
    rewarded = {one: h.score for h in ranked(*texts, length_reward=0.3) for one in written([h])}
    words = {"a b": 2, "a b c d": 4, "e f g": 3}
    for text, score in rewarded.items():
        mean = (2 + 2 + 4 + 3) / 4
        assert score == pytest.approx(plain[text] + 0.3 * math.log(words[text] / mean))
    assert written(ranked(*texts))[0] == "a b"
    assert written(ranked(*texts, length_reward=2.0))[0] == "a b c d"
    assert math.isfinite(ranked("", "a", length_reward=0.3)[1].score)


def test_one_candidate_is_itself() -> None:
    (one,) = ranked("a b")
    assert (written([one]), one.score) == (["a b"], 1.0)


def test_samples_and_beams_are_those_of_their_searches() -> None:
    model, given = TableModel(studies=12, words=9, seed=3), features_of([*range(12)])
    rules: dict[str, Any] = {"max_length": 9, "min_length": 2, "return_attention": True}
    for options, source in (
        ({"temperature": 0.7, "top_p": 0.9, "top_k": 6, "seed": 4},
         SampleSearch(n_samples=5, temperature=0.7, top_p=0.9, top_k=6, seed=4, **rules)),
        ({"candidates": "beam"}, BeamSearch(beam_width=5, n_best=5, **rules)),
    ):  # fmt: skip
        search = ConsensusSearch(n_candidates=5, to_text=spelled, **options, **rules)
        found, expected = search(model, *given), source(model, *given)
        chosen = 0
        for ours, theirs in zip(found, expected, strict=True):
            plain = [one._replace(score=0.0) for one in theirs]
            assert sorted(one._replace(score=0.0) for one in ours) == sorted(plain)
            chosen += ours[0].token_ids != theirs[0].token_ids
        assert chosen > 2  # it is another order


@pytest.mark.parametrize("candidates", ["samples", "beam"])
@pytest.mark.parametrize("utility", UTILITIES)
def test_each_utility_ranks_whatever_the_candidates(candidates: str, utility: str) -> None:
    model, given = TableModel(studies=8, words=9, seed=3), features_of([*range(8)])
    search = ConsensusSearch(
        candidates=candidates, n_candidates=6, utility=utility, max_length=9, to_text=spelled
    )
    for found in search(model, *given):
        assert 0 < found[0].score <= 1


def tokenizer() -> WordTokenizer:
    words = ["effusion", "pneumothorax", "the", "heart", "normal", "large", "no", "."]
    return WordTokenizer.from_plain(
        {"name": "words", "words": [*SPECIAL_WORDS, *words], "cleaner": {}}
    )


@pytest.mark.parametrize("models", [1, 2])
def test_the_generator_gives_it_the_tokenizers_texts(models: int) -> None:
    tables = [TableModel(studies=6, words=12, seed=seed) for seed in range(models)]
    model: Any = Ensemble(tables) if models > 1 else tables[0]
    search = ConsensusSearch(n_candidates=8, return_attention=True, forced_words=("heart",))
    generator = ReportGenerator(None, model, tokenizer(), search, batch_size=4, max_length=9)
    features, view_mask = features_of([*range(6)])
    names = [f"study {i}" for i in range(6)]
    given: dict[str, Any] = {"features": features, "view_mask": view_mask, "study_ids": names}
    reports = generator.generate(**given)
    for report in reports:
        best = report.hypotheses[0]
        assert len(report.hypotheses) == 8
        ranks = [(one.finished, one.score) for one in report.hypotheses]
        assert ranks == sorted(ranks, reverse=True)
        assert report.text == generator.tokenizer.decode(best.token_ids)
        assert "heart" in report.text or not best.finished
        assert len(best.attention) == len(best.token_ids)
    # Whatever the batch, and where it is asked again.
    alone = {name: part[4:5] for name, part in given.items()}
    assert generator.generate(**alone)[0].hypotheses == reports[4].hypotheses


NORMAL = "no effusion . the heart normal ."
ABNORMAL = "large effusion . no pneumothorax ."
REPORTS = [NORMAL, ABNORMAL, NORMAL, "the heart large .", "no unheard effusion .", "no " * 8, ""]


def among_reports(**options: Any) -> ConsensusSearch:
    search = ConsensusSearch(candidates="reports", n_candidates=8, **options)
    return search.choosing_among(REPORTS, tokenizer(), 9)


def test_reports_to_choose_from_are_different_and_such_as_the_model_could_have_written() -> None:
    def texts(**options: Any) -> set[str]:
        return {tokenizer().decode(one) for one in among_reports(**options).reports}

    # "unheard" is no word of it, "no" eight times and the end are nine tokens.
    eight = " ".join(["no"] * 8)
    every = {tokenizer().decode(tokenizer().encode(one)) for one in REPORTS[:4]} | {eight}
    assert texts() == every
    assert texts(min_length=5) == {one for one in every if len(one.split()) > 4} | {eight}
    assert not any("large" in one for one in texts(banned_words=("large",)))
    assert all("heart" in one for one in texts(forced_words=("heart",)))
    assert texts(no_repeat_ngram=1) < every
    assert eight not in texts(max_length=8)
    with pytest.raises(OptionError, match="of 7 reports to choose from the model could have writ"):
        among_reports(forced_words=("heart", "effusion", "pneumothorax", "large"))


def test_of_very_many_reports_some_are_drawn_by_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    every = set(among_reports().reports)
    monkeypatch.setattr("xray_report.inference.consensus.MOST_REPORTS", 2)
    found = among_reports().reports
    assert len(found) == 2
    assert set(found) < every
    assert among_reports().reports == found
    assert {among_reports(seed=seed).reports for seed in range(9)} > {found}


@pytest.mark.parametrize("models", [1, 2])
@pytest.mark.parametrize("length_reward", [0.0, 0.2])
def test_reports_are_ranked_by_what_samples_say_and_read_by_the_model(
    models: int, length_reward: float
) -> None:
    tables = [TableModel(studies=6, words=12, seed=seed) for seed in range(models)]
    model: Any = Ensemble(tables) if models > 1 else tables[0]
    search = among_reports(temperature=1.0, return_attention=True, length_reward=length_reward)
    search = search.resolve(tokenizer().words, 9, tokenizer().decode)
    features, view_mask = features_of([*range(6)])
    names = [str(study) for study in range(6)]
    found = search(model, features, view_mask, names)
    draws = SampleSearch(n_samples=8, max_length=9)(model, features, view_mask, names)
    for study, (ours, samples) in enumerate(zip(found, draws, strict=True)):
        drawn = [clean_tokens(tokenizer().decode(one.token_ids)) for one in samples]
        texts = [clean_tokens(tokenizer().decode(one)) for one in search.reports]
        worth = agreement(texts, search.weights, references=drawn).mean(1)
        lengths = [max(1, len(one.split())) for one in drawn]
        for row, text in enumerate(texts):
            worth[row] += length_reward * math.log(len(text.split()) / (sum(lengths) / 8))
        expected = sorted(zip(worth, search.reports, strict=True), key=lambda one: -one[0])
        assert [one.score for one in ours] == pytest.approx([one for one, _ in expected])
        assert ours[0].token_ids == expected[0][1]
        for one in ours:  # as if each word had been chosen
            rows = [model.tables[study]] if models == 1 else [each.tables[study] for each in tables]
            words = [2, *one.token_ids, 3]
            pairs = zip([2, *words], words, words[1:], strict=False)
            of_words = [
                sum(table[before, last, word].exp().item() for table in rows) / len(rows)
                for before, last, word in pairs
            ]
            assert one.finished
            assert one.word_log_probs == pytest.approx([math.log(each) for each in of_words], 1e-4)
            assert one.log_prob == pytest.approx(sum(one.word_log_probs))
            assert len(one.attention) == len(one.token_ids)
    # Whatever the batch.
    assert search(model, features[4:], view_mask[4:], names[4:])[0] == found[4]


def test_samples_that_reports_are_held_against_keep_no_attention() -> None:
    assert not among_reports(return_attention=True).source().return_attention
    assert ConsensusSearch(return_attention=True).source().return_attention


def test_of_many_reports_the_best_are_returned() -> None:
    model, given = TableModel(studies=3, words=9, seed=3), features_of([*range(3)])
    search = ConsensusSearch(candidates="reports", n_candidates=4, max_length=9, to_text=spelled)
    many = dataclasses.replace(search, reports=tuple((4, word, 5 + word % 3) for word in range(9)))
    for found in many(model, *given):
        assert len(found) == KEPT
        scores = [one.score for one in found]
        assert scores == sorted(scores, reverse=True)
    with pytest.raises(OptionError, match=r"candidates=reports needs reports to choose from"):
        search(model, *given)


class Looking(TableModel):
    """A table model that sees of study s what `seen[s]` names."""

    labels = ("Pleural Effusion", "Infiltration", "cardiomegaly", "edema|mild")
    seen = (("Pleural Effusion", "Infiltration"), ("cardiomegaly", "edema|mild"), ())

    def classify(self, features: Tensor, view_mask: Tensor) -> Tensor:
        own = [self.seen[study] for study in features[:, 0, 0, 0, 0].long().tolist()]
        return torch.tensor([[label in seen for label in self.labels] for seen in own])


def looking(models: int) -> Any:
    tables = [Looking(studies=3, words=9, seed=seed) for seed in range(models)]
    return Ensemble([*tables, TableModel(3, 9, seed=5)]) if models > 1 else tables[0]


@pytest.mark.parametrize("models", [1, 2])
def test_verdicts_are_of_the_classifier_and_not_of_the_words(models: int) -> None:
    model, (features, mask) = looking(models), features_of([0, 1, 2])
    sentences = {spelled([one]): one for one in range(4, 10)}
    effusion, heart, edema, clear = (
        next(one for text, one in sentences.items() if word in text)
        for word in ("effusion", "heart", "edema", "clear")
    )
    reports = ((effusion,), (effusion, heart), (heart, edema), (clear,))
    search = ConsensusSearch(
        candidates="reports", n_candidates=4, max_length=9, to_text=spelled,
        utility="verdicts", reports=reports,
    )  # fmt: skip
    found = search(model, features, mask)
    scores = [{one.token_ids: one.score for one in own} for own in found]
    # Infiltration is left out: no report is known to state it.
    assert scores[0] == pytest.approx(dict(zip(reports, (1, 2 / 3, 0, 0), strict=True)))
    assert scores[1] == pytest.approx(dict(zip(reports, (0, 0.5, 1, 0), strict=True)))
    assert scores[2] == pytest.approx(dict(zip(reports, (0, 0, 0, 1), strict=True)))
    # Beside another utility, by their shares.
    plain = dataclasses.replace(search, utility="bleu")
    both = dataclasses.replace(search, utility={"bleu": 1, "verdicts": 3})
    for ours, words, own in zip(
        both(model, features, mask), plain(model, features, mask), scores, strict=True
    ):
        bleu = {one.token_ids: one.score for one in words}
        for one in ours:
            expected = bleu[one.token_ids] / 4 + 3 * own[one.token_ids] / 4
            assert one.score == pytest.approx(expected)
    # Among samples, too.
    samples = dataclasses.replace(search, candidates="samples", reports=(), n_candidates=40)
    known = ("Pleural Effusion", "cardiomegaly", "edema|mild")
    for own, seen in zip(samples(model, features, mask), Looking.seen, strict=True):
        there = np.array([[label in seen for label in known]], dtype=np.float64)
        named = stated([clean_tokens(spelled(one.token_ids)) for one in own], known)
        assert [one.score for one in own] == pytest.approx(f_beta(named, there, 1.0)[:, 0])
        if seen:
            assert own[0].score > own[-1].score


@pytest.mark.parametrize("labels", [None, (), ("Infiltration",)])
def test_verdicts_of_a_model_without_any_are_refused_before_it_is_asked(labels: Any) -> None:
    model: Any = TableModel(1, 12, seed=0) if labels is None else Looking(3, 12, seed=0)
    if labels is not None:
        model.labels = labels
    search = ConsensusSearch(max_length=5, utility={"bleu": 1, "verdicts": 0.5})
    for one in (model, Ensemble([model])):
        with pytest.raises(OptionError, match=r"utility\.verdicts needs a model that sees labels"):
            ReportGenerator(None, one, tokenizer(), search)
    ReportGenerator(None, model, tokenizer(), dataclasses.replace(search, utility="bleu"))


def test_without_a_tokenizer_it_says_what_it_needs() -> None:
    with pytest.raises(OptionError, match=r"consensus compares texts: use search\.resolve\("):
        ConsensusSearch(max_length=5)(TableModel(1, 8, seed=0), *features_of([0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"candidates": "sample"},
            "candidates must be one of samples, beam, reports, got 'sample'",
        ),
        ({"n_candidates": 0}, "n_candidates must be a positive integer"),
        ({"utility": "blue"}, r"utility\.blue is no option \(did you mean 'bleu'"),
        ({"utility": {"cider": 1}}, r"utility\.cider is no option.*choose from bleu, ngrams"),
        ({"utility": {"bleu": -1}}, r"utility\.bleu must be a finite number of at least 0"),
        ({"utility": {"bleu": 0, "facts": 0}}, "utility: give one of bleu, ngrams, .* a weight"),
        ({"findings_beta": 0}, "findings_beta must be a finite number above 0"),
        ({"length_reward": -0.1}, "length_reward must be a finite number of at least 0"),
        ({"temperature": 0}, "temperature must be a finite number above 0"),
        ({"top_p": 1.5}, "top_p must be a finite number"),
        ({"candidates": "beam", "top_k": 3}, r"top_k is of samples: leave it 0"),
        ({"min_length": 5, "max_length": 5}, "min_length must be below max_length"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message) as found:
        ConsensusSearch(**options)
    assert "\n" not in str(found.value)
