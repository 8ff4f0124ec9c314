"""The laws of the decoding protocol, on every registered decoder and their ensemble.

In double precision, where rounding decides no order, and with unusual special ids.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.benchmarks.transformers_generate import generate
from tests.inference.tables import spelled
from tests.models.decoders.small import LOCATIONS, SMALL, SPECIAL, WORDS, build, maps_of
from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch, DiverseBeamSearch
from xray_report.inference.consensus import ConsensusSearch
from xray_report.inference.ensemble import Ensemble
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.sampling import SampleSearch
from xray_report.models.decoders.protocol import Decoder, DecoderState

LENGTH = 12
SEARCHES = {
    "greedy": GreedySearch(max_length=LENGTH, return_attention=True),
    "beam": BeamSearch(beam_width=4, n_best=3, max_length=LENGTH, return_attention=True),
    "diverse": DiverseBeamSearch(beam_width=4, groups=2, n_best=4, max_length=LENGTH),
    "sample": SampleSearch(n_samples=2, top_p=0.9, max_length=LENGTH),
    "consensus": ConsensusSearch(n_candidates=4, max_length=LENGTH, to_text=spelled),
    "among reports": ConsensusSearch(
        candidates="reports",
        n_candidates=4,
        max_length=LENGTH,
        to_text=spelled,
        return_attention=True,
        reports=((4,), (5, 6), (6, 5), (9, 4, 9, 5), (8, 8, 6), (5, 4, 6, 9, 8)),
    ),
}
every_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=list(SEARCHES))


class Sharp:
    """A decoder with its logits stretched, as training does, and an end that grows likelier.

    The logit of the end has `ending` added, and one more for each word written.
    """

    def __init__(self, decoder: Decoder, ending: float = 0.0, sharpness: float = 8.0) -> None:
        self.decoder, self.special, self.sharpness = decoder.eval(), decoder.special, sharpness
        self.ending = ending

    def sharpened(self, logits: Tensor, written: Tensor) -> Tensor:
        """Log-probabilities [..., V] of logits [..., V] after so many words [...]."""
        sharp = self.sharpness * logits
        sharp[..., self.special.eos] += self.ending + written
        return sharp.log_softmax(-1)

    def forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities [B, T-1, V] by teacher forcing."""
        with torch.no_grad():
            logits = self.decoder(features, view_mask, tokens)
            return self.sharpened(logits, torch.arange(logits.shape[1], device=logits.device))

    def initial_state(self, features: Tensor, view_mask: Tensor) -> DecoderState:
        state = self.decoder.initial_state(features, view_mask)
        return state._replace(rows=(state.rows, torch.zeros(len(features), device=features.device)))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        rows, written = state.rows
        log_probs, after = self.decoder.step(tokens, state._replace(rows=rows))
        after = after._replace(rows=(after.rows, written + 1))
        return self.sharpened(log_probs, written), after


class Together(Ensemble):
    """An ensemble with the teacher-forced log-probabilities that it should have."""

    def forced(self, features: Tensor, view_mask: Tensor, tokens: Tensor) -> Tensor:
        each = [model.forced(features, view_mask, tokens) for model in self.models]
        return torch.stack(each).exp().mean(0).log()


Model = Any
"""`Sharp` or `Together`."""
NAMES = [*SMALL, "ensemble of all"]
every_model = pytest.mark.parametrize("name", NAMES)


def model_of(name: str, ending: float = -4.0, words: int = WORDS, seed: int = 0) -> Model:
    if name in SMALL:
        return Sharp(build(SMALL[name], seed, words), ending)
    return Together([Sharp(build(one, seed, words), ending) for one in SMALL.values()])


def word_log_probs(
    model: Model, features: Tensor, mask: Tensor, words: tuple[int, ...]
) -> list[float]:
    """Teacher-forced log-probability of each of `words` in the report of one study."""
    tokens = torch.tensor([[SPECIAL.bos, *words]])
    row = model.forced(features, mask, tokens)[0]
    return row[torch.arange(len(words)), tokens[0, 1:]].tolist()


@every_model
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_beam_as_wide_as_the_space_equals_exhaustive_enumeration(name, alpha) -> None:
    model = model_of(name, ending=0.0, words=8)
    features, mask = maps_of(3)
    body = [one for one in range(8) if one not in (*SPECIAL.never_generated, SPECIAL.eos)]
    search = BeamSearch(beam_width=800, n_best=20, max_length=4, length_penalty=alpha)
    for study, found in enumerate(search(model, features, mask)):
        ranked = []
        for length in range(4):
            every = [(*one, SPECIAL.eos) for one in itertools.product(body, repeat=length)]
            tokens = torch.tensor([(SPECIAL.bos, *one) for one in every])
            given = [part[[study] * len(every)] for part in (features, mask)]
            log_probs = model.forced(*given, tokens).gather(2, tokens[:, 1:, None]).sum((1, 2))
            scores = (log_probs / (length + 1) ** alpha).tolist()
            ranked += [(score, one[:-1]) for score, one in zip(scores, every, strict=True)]
        expected = sorted(ranked, reverse=True)[:20]
        assert [one.token_ids for one in found] == [words for _, words in expected]
        assert [one.score for one in found] == pytest.approx([s for s, _ in expected], abs=1e-4)


@every_model
@pytest.mark.parametrize("ending", [-6.0, -1.0])
def test_width_one_equals_greedy(name, ending) -> None:
    model, given = model_of(name, ending), maps_of(12)
    greedy = GreedySearch(max_length=LENGTH)(model, *given)
    beam = BeamSearch(beam_width=1, max_length=LENGTH)(model, *given)
    assert [one[0].token_ids for one in greedy] == [one[0].token_ids for one in beam]
    assert [one[0].finished for one in greedy] == [one[0].finished for one in beam]
    for one, other in zip(greedy, beam, strict=True):
        assert one[0].score == pytest.approx(other[0].score, abs=1e-5)


@every_model
@every_search
def test_batched_equals_one_by_one_in_any_order(name, search) -> None:
    model, (features, mask) = model_of(name), maps_of(9)
    together = search(model, features, mask)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    shuffled = search(model, features[order], mask[order])
    lengths = set()
    for study, found in enumerate(together):
        own = slice(study, study + 1)
        (alone,) = search(model, features[own], mask[own])
        other = shuffled[order.tolist().index(study)]
        for one, two, three in zip(found, alone, other, strict=True):
            assert one.token_ids == two.token_ids == three.token_ids
            assert one.score == pytest.approx(two.score, abs=1e-6)
            assert one.score == pytest.approx(three.score, abs=1e-6)
            lengths.add(len(one.token_ids))
    assert len(lengths) > 1


@every_model
@every_search
def test_log_probs_are_the_teacher_forced_ones_and_no_special_token_is_written(
    name, search
) -> None:
    model, (features, mask) = model_of(name), maps_of(6)
    for study, found in enumerate(search(model, features, mask)):
        own = slice(study, study + 1)
        for one in found:
            assert not set(one.token_ids) & {*SPECIAL.never_generated, SPECIAL.eos}
            words = (*one.token_ids, *([SPECIAL.eos] if one.finished else []))
            expected = word_log_probs(model, features[own], mask[own], words)
            assert one.word_log_probs == pytest.approx(expected, abs=1e-5)
            assert one.log_prob == pytest.approx(sum(expected), abs=1e-4)


@every_model
@every_search
def test_a_model_that_never_ends_returns_its_best_unfinished_hypothesis(name, search) -> None:
    model = model_of(name, ending=-1e9)
    if search is SEARCHES["among reports"]:
        return  # those were ended by their writers
    for found in search(model, *maps_of(3)):
        assert [one.score for one in found] == sorted((o.score for o in found), reverse=True)
        for one in found:
            assert not one.finished
            assert len(one.token_ids) == LENGTH


@every_model
@every_search
def test_the_best_by_score_comes_first_and_finished_before_unfinished(name, search) -> None:
    for found in search(model_of(name), *maps_of(12)):
        ranks = [(one.finished, one.score) for one in found]
        assert ranks == sorted(ranks, reverse=True)
        for one in found:
            length = len(one.token_ids) + one.finished
            if isinstance(search, ConsensusSearch):
                assert 0 < one.score <= 1
            else:
                assert one.score == pytest.approx(one.log_prob / length, abs=1e-5)


@every_model
@every_search
def test_features_of_missing_views_are_never_read(name, search) -> None:
    model, (features, mask) = model_of(name), maps_of(6)
    assert features.isnan().any()
    assert search(model, features, mask) == search(model, features.nan_to_num(9.0), mask)


@pytest.mark.parametrize("name", SMALL)
def test_attention_is_the_teacher_forced_one(name) -> None:
    model, (features, mask) = model_of(name), maps_of(6)
    for search in (SEARCHES["greedy"], SEARCHES["beam"]):
        for study, found in enumerate(search(model, features, mask)):
            own = slice(study, study + 1)
            for one in found:
                tokens = torch.tensor([[SPECIAL.bos, *one.token_ids, SPECIAL.eos]])
                with torch.no_grad():
                    forced = model.decoder.teacher_forced(features[own], mask[own], tokens)
                if forced.attention is None:
                    assert one.attention == ()
                    continue
                shown = torch.tensor(one.attention, dtype=torch.double).view(-1, LOCATIONS)
                expected = forced.attention[0, : len(one.token_ids)]
                torch.testing.assert_close(shown, expected, atol=1e-6, rtol=0)


def test_an_ensemble_looks_where_its_models_look_on_average() -> None:
    models, (features, mask) = [model_of(name) for name in SMALL], maps_of(4)
    tokens = torch.full((4, 2), SPECIAL.bos)
    with torch.no_grad():
        joint = Ensemble(models)
        _, after = joint.step(tokens[:, 0], joint.initial_state(features, mask))
        each = [one.decoder.teacher_forced(features, mask, tokens).attention for one in models]
    looked = [one[:, 0] for one in each if one is not None]
    assert 2 <= len(looked) < len(models)
    torch.testing.assert_close(after.attention, torch.stack(looked).mean(0))


def test_an_ensemble_needs_one_set_of_special_tokens() -> None:
    one, other = model_of("attention"), model_of("transformer")
    other.special = SPECIAL._replace(bos=2)
    with pytest.raises(OptionError, match=r"model 2 has the special tokens .*bos=2"):
        Ensemble([one, other])


@pytest.mark.parametrize("name", SMALL)
def test_beam_equals_transformers_beam_search(name) -> None:
    """Where no report ends early both must keep the very same beams."""
    pytest.importorskip("transformers")
    model, (features, mask) = model_of(name, ending=-60.0), maps_of(6)
    found = BeamSearch(beam_width=5, max_length=8)(model, features, mask)
    with torch.no_grad():
        sequences, scores = generate(model, features, mask, 5, 8)
    assert [list(one[0].token_ids) for one in found] == sequences.tolist()
    assert [one[0].score for one in found] == pytest.approx(scores.tolist(), abs=1e-4)
