from __future__ import annotations

import pytest
import torch

from tests.inference.tables import TableModel, features_of
from xray_report.errors import OptionError
from xray_report.inference.beam import BeamSearch
from xray_report.inference.ensemble import Ensemble
from xray_report.inference.greedy import GreedySearch
from xray_report.models.decoders.protocol import DecoderState

STUDIES = [*range(12)]


class NoAttention(TableModel):
    def step(self, tokens, state):
        log_probs, after = super().step(tokens, state)
        return log_probs, after._replace(attention=None)


def test_probabilities_are_averaged():
    first, second = TableModel(12, 9, seed=0), TableModel(12, 9, seed=1)
    joint = TableModel(12, 9, seed=2)
    joint.tables = ((first.tables.exp() + second.tables.exp()) / 2).log()
    for search in (GreedySearch(max_length=80), BeamSearch(beam_width=4, n_best=4, max_length=30)):
        expected = search(joint, *features_of(STUDIES))
        found = search(Ensemble([first, second]), *features_of(STUDIES))
        for one, other in zip(expected, found, strict=True):
            assert [h.token_ids for h in one] == [h.token_ids for h in other]
            assert [h.score for h in one] == pytest.approx([h.score for h in other], abs=1e-5)


def test_an_ensemble_of_one_is_that_model():
    model = TableModel(12, 9, seed=0)
    search = BeamSearch(beam_width=3, max_length=80, return_attention=True)
    alone = search(model, *features_of(STUDIES))
    together = search(Ensemble([model, model]), *features_of(STUDIES))
    for one, other in zip(alone, together, strict=True):
        assert one[0].token_ids == other[0].token_ids
        assert one[0].attention == other[0].attention


def test_attention_is_averaged_over_the_models_that_have_it():
    first, second = TableModel(12, 9, seed=0), NoAttention(12, 9, seed=1)
    search = GreedySearch(max_length=80, return_attention=True)
    (found,) = search(Ensemble([first, second]), *features_of([3]))
    assert all(len(row) == 3 for row in found[0].attention)
    (none,) = search(Ensemble([second]), *features_of([3]))
    assert none[0].attention == ()


def test_vocabularies_must_agree():
    models = [TableModel(1, 9, seed=0), TableModel(1, 9, seed=1)]
    with pytest.raises(OptionError, match="model 2 of the ensemble has 1 words, model 1 has 2"):
        Ensemble(models, [["a", "b"], ["a"]])
    with pytest.raises(OptionError, match="word 1 of the ensemble's model 2 is 'c'"):
        Ensemble(models, [["a", "b"], ["a", "c"]])
    with pytest.raises(OptionError, match="at least one model"):
        Ensemble([])
    with pytest.raises(OptionError, match="differ in size"):
        GreedySearch(max_length=80)(
            Ensemble([models[0], TableModel(1, 8, seed=0)]), *features_of([0])
        )


def test_states_of_unequal_models_are_kept_apart():
    class Wide(TableModel):
        def initial_state(self, features, view_mask):
            state = super().initial_state(features, view_mask)
            rows = (state.rows, (torch.zeros(len(features), 2),))
            return DecoderState(rows, (torch.zeros(len(features), 2), state.studies))

        def step(self, tokens, state):
            (own, (extra,)), (_, study) = state.rows, state.studies
            assert len(extra) == len(tokens)
            log_probs, after = super().step(tokens, DecoderState(own, study))
            return log_probs, DecoderState((after.rows, (extra,)), state.studies, after.attention)

    narrow, wide = TableModel(12, 9, seed=0), Wide(12, 9, seed=1)
    joint = Ensemble([narrow, wide])
    plain = Ensemble([narrow, TableModel(12, 9, seed=1)])
    search = BeamSearch(beam_width=3, max_length=30)
    assert search(joint, *features_of(STUDIES)) == search(plain, *features_of(STUDIES))
