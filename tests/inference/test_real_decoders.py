"""The laws on the package's own decoders, in double precision, and against transformers."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.transformers_generate import generate
from xray_report.inference.beam import BeamSearch, DiverseBeamSearch
from xray_report.inference.ensemble import Ensemble
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.sampling import SampleSearch
from xray_report.models.decoders.build import build_decoder
from xray_report.models.embedding import WordEmbedding
from xray_report.tokens import BOS_ID, EOS_ID

SEARCHES = [
    GreedySearch(max_length=14, return_attention=True),
    BeamSearch(beam_width=4, n_best=2, max_length=14, return_attention=True),
    DiverseBeamSearch(beam_width=4, groups=2, n_best=4, max_length=14),
    SampleSearch(n_samples=2, top_p=0.9, max_length=14),
]


def decoder(name: str, seed: int = 0, ending: float = 1.0):
    torch.manual_seed(seed)
    options = {"name": name, "feature_size": 8, "rnn_size": 16}
    model = build_decoder(options, 20, WordEmbedding(20, 6)).double().eval()
    with torch.no_grad():
        head = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
        last = next(m for m in head if m.out_features == 20)
        last.weight *= 20
        last.bias[EOS_ID] += ending
    return model


def inputs(studies: int) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(
        studies, 2, 8, 7, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    mask = torch.ones(studies, 2, dtype=torch.bool)
    mask[::3, 1] = False
    return features, mask


@pytest.mark.parametrize("name", ["attention", "encoder_decoder"])
@pytest.mark.parametrize("search", SEARCHES, ids=["greedy", "beam", "diverse", "sample"])
def test_log_prob_is_the_teacher_forced_one_and_batches_do_not_matter(name, search):
    model = decoder(name)
    features, mask = inputs(10)
    together = search(model, features, mask)
    for study, found in enumerate(together):
        own = slice(study, study + 1)
        (alone,) = search(model, features[own], mask[own])
        assert [one.token_ids for one in alone] == [one.token_ids for one in found]
        for one in found:
            tokens = [BOS_ID, *one.token_ids, *([EOS_ID] if one.finished else [])]
            with torch.no_grad():
                logits = model(features[own], mask[own], torch.tensor([tokens]))
            log_probs = logits[0].log_softmax(-1)[range(len(tokens) - 1), tokens[1:]]
            assert one.word_log_probs == pytest.approx(log_probs.tolist(), abs=1e-5)
            assert one.log_prob == pytest.approx(float(log_probs.sum()), abs=1e-4)


def test_attention_is_the_teacher_forced_one():
    model = decoder("attention")
    features, mask = inputs(6)
    for search in SEARCHES[:2]:
        for study, found in enumerate(search(model, features, mask)):
            own = slice(study, study + 1)
            for one in found:
                tokens = torch.tensor([[BOS_ID, *one.token_ids, EOS_ID]])
                with torch.no_grad():
                    expected = model.teacher_forced(features[own], mask[own], tokens).attention[0]
                shown = torch.tensor(one.attention, dtype=torch.float64).view(-1, 98)
                assert torch.allclose(shown, expected[: len(one.token_ids)], atol=1e-6)


def test_an_ensemble_of_both_architectures_writes_reports():
    joint = Ensemble([decoder("attention"), decoder("encoder_decoder")])
    alone = SEARCHES[1](decoder("attention"), *inputs(10))
    found = SEARCHES[1](joint, *inputs(10))
    assert [one[0].token_ids for one in found] != [one[0].token_ids for one in alone]
    assert all(len(row) == 98 for one in found for row in one[0].attention)


def test_beam_equals_transformers_beam_search():
    """Where no report ends early both must keep the very same beams."""
    pytest.importorskip("transformers")
    model = decoder("attention", ending=-60.0)
    features, mask = inputs(10)
    search = BeamSearch(beam_width=5, max_length=12)
    with torch.no_grad():
        sequences, scores = generate(model, features, mask, 5, 12)
    found = search(model, features, mask)
    assert [list(one[0].token_ids) for one in found] == sequences.tolist()
    assert [one[0].score for one in found] == pytest.approx(scores.tolist(), abs=1e-4)
