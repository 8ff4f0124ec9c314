"""What the transformer decoder alone promises."""

from __future__ import annotations

import math

import pytest
import torch

from tests.models.decoders.small import MAPS, SMALL, SPECIAL, WORDS, batch, build, maps_of
from xray_report.errors import OptionError
from xray_report.inference.greedy import GreedySearch
from xray_report.models.decoders.transformer import TransformerDecoder, sinusoids
from xray_report.models.embedding import WordEmbedding

SIZES = SMALL["transformer"]


def test_a_later_word_changes_nothing_before_it() -> None:
    model = build(SIZES).eval()
    features, view_mask, tokens = batch([6, 6])
    changed = tokens.clone()
    changed[:, 4:] = tokens[:, 4:].roll(1, 0) + 1
    before, after = (model(features, view_mask, one.clamp(max=10)) for one in (tokens, changed))
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4], after[:, 4])


def test_it_is_torchs_own_pre_norm_layer() -> None:
    """Our layer with the weights of `nn.TransformerDecoderLayer` computes the same."""
    model = build({**SIZES, "layers": 1}).eval()
    assert isinstance(model, TransformerDecoder)
    (ours,) = model._layers()
    theirs = torch.nn.TransformerDecoderLayer(
        8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=True, dtype=torch.double
    )
    cross = ours.locations
    weights = {
        "self_attn.in_proj": ours.words.project,
        "self_attn.out_proj.": ours.words.join,
        "multihead_attn.out_proj.": cross.join,
        "linear1.": ours.expand,
        "linear2.": ours.contract,
        **{f"norm{i + 1}.": norm for i, norm in enumerate(ours.norms)},
    }
    state = {
        f"{name}{'' if name.endswith('.') else '_'}{kind}": getattr(part, kind).detach()
        for name, part in weights.items()
        for kind in ("weight", "bias")
    }
    for kind in ("weight", "bias"):
        both = [getattr(cross.query, kind), getattr(cross.project, kind)]
        state[f"multihead_attn.in_proj_{kind}"] = torch.cat(both).detach()
    theirs.load_state_dict(state)
    torch.manual_seed(1)
    words, values = torch.randn(3, 5, 8).double(), torch.randn(3, 7, 8).double()
    present = torch.rand(3, 7) < 0.7
    mask = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.double)
    expected = theirs(words, values, tgt_mask=mask, memory_key_padding_mask=~present)
    for wanted in (True, False):
        found, attention = ours(words, cross.keys_values(values), present[:, None, None], wanted)
        torch.testing.assert_close(found, expected)
        assert (attention is not None) == wanted


def test_sinusoids_are_the_papers() -> None:
    table = sinusoids(50, 8)
    for position, component in ((0, 0), (3, 0), (3, 1), (49, 4), (49, 7)):
        angle = position / 10000 ** ((component - component % 2) / 8)
        expected = math.cos(angle) if component % 2 else math.sin(angle)
        assert table[position, component].item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("positions", ["learnt", "sinusoidal"])
def test_too_long_a_report_is_refused_and_never_cut(positions: str) -> None:
    model = build({**SIZES, "max_positions": 6, "positions": positions}).eval()
    model(*batch([5]))  # begin and five words
    with pytest.raises(OptionError, match=r"7 tokens is longer than max_positions=6 .*max_length"):
        model(*batch([6]))
    with torch.no_grad():
        (model.vocabulary.bias)[SPECIAL.eos] = -1e9
    GreedySearch(max_length=6)(model, *maps_of(2))
    with pytest.raises(OptionError, match="longer than max_positions=6"):
        GreedySearch(max_length=7)(model, *maps_of(2))


def test_tied_words_are_read_from_the_embedding() -> None:
    """Frozen vectors stay the output's, too, and no layer of V rows is learnt besides."""
    vectors = torch.randn(WORDS, 5)
    known = torch.arange(WORDS) % 2 == 0
    embedding = WordEmbedding(WORDS, 5, vectors, known)
    options = {key: value for key, value in SIZES.items() if key != "name"}
    model = TransformerDecoder(SPECIAL, embedding, MAPS, tied=True, **options)
    shapes = [tuple(p.shape) for name, p in model.named_parameters() if "embedding" not in name]
    assert not [shape for shape in shapes if len(shape) == 2 and WORDS in shape]
    features, view_mask, tokens = batch([3, 4])
    given = features.float(), view_mask, tokens
    before = model.eval()(*given)
    with torch.no_grad():
        embedding.learnt[1] += 3.0
    changed = (model(*given) - before).abs().amax((0, 1)) > 1e-6
    assert changed[1]
    assert not changed[[0, 2, 4, 6, 8]].any() or 1 in tokens[:, :-1]
