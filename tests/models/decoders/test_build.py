from __future__ import annotations

import inspect
from typing import Any

import pytest

from tests.models.decoders.small import MAPS, SMALL, SPECIAL, MeanOfWords
from xray_report.errors import OptionError
from xray_report.models.decoders.attention import AttentionDecoder
from xray_report.models.decoders.build import build_decoder, decoder_options
from xray_report.models.decoders.encoder_decoder import EncoderDecoder
from xray_report.models.decoders.protocol import DECODERS, Decoder, register_decoder
from xray_report.models.decoders.transformer import TransformerDecoder
from xray_report.models.embedding import WordEmbedding


def build(architecture: dict[str, Any], **changes: Any) -> Decoder:
    given = {"special": SPECIAL, "embedding": WordEmbedding(20, 6), "maps": MAPS, **changes}
    return build_decoder(architecture, **given)


def test_names_choose_the_decoder() -> None:
    assert isinstance(build({"name": "attention"}), AttentionDecoder)
    assert isinstance(build({"name": "encoder_decoder"}), EncoderDecoder)
    assert isinstance(build({"name": "transformer"}), TransformerDecoder)
    assert isinstance(build({"name": "mean_of_words"}), MeanOfWords)


def test_options_reach_the_decoder() -> None:
    model = build({"name": "attention", "rnn_size": 32, "value_size": None, "attention_size": 16})
    assert isinstance(model, AttentionDecoder)
    assert model.rnn.keys.weight.shape == (16, MAPS.channels)
    assert model.rnn.context_weight.shape == (96, MAPS.channels)


@pytest.mark.parametrize("name", DECODERS)
def test_all_defaults_spelt_out_build(name: str) -> None:
    options = decoder_options(name)
    build(
        {
            "name": name,
            **options,
            **({"config": SMALL[name]["config"]} if "config" in options else {}),
        }
    )


@pytest.mark.parametrize(
    ("architecture", "named"),
    [
        ({}, "needs a name: one of attention, bert, encoder_decoder"),
        ({"name": "lstm"}, "'lstm': use one of attention, bert, encoder_decoder"),
        ({"name": "attention", "rnn_sise": 3}, "'rnn_sise'.*rnn_size"),
        ({"name": "encoder_decoder", "attention_size": 3}, "'attention_size'.*dense_size"),
        ({"name": "attention", "maps": 3}, "'maps'"),
        ({"name": "attention", "rnn_size": 0}, "rnn_size must be a positive integer, got 0"),
        ({"name": "attention", "attention_size": 2.5}, "attention_size"),
        ({"name": "attention", "value_size": -1}, "value_size"),
        ({"name": "attention", "dropout": 1.0}, r"dropout must be a number from 0 to below 1"),
        ({"name": "attention", "word_dropout": -0.1}, "word_dropout"),
        ({"name": "attention", "value_dropout": "x"}, "value_dropout"),
        ({"name": "attention", "pooled": "last"}, "initial, every_step, none, got 'last'"),
        ({"name": "attention", "image_norm": "batch"}, "layer, unit, none"),
        ({"name": "attention", "location_embedding": "yes"}, "location_embedding"),
        ({"name": "attention", "value_norm": 1}, "value_norm"),
        ({"name": "attention", "context_to_words": 1}, "context_to_words"),
        ({"name": "encoder_decoder", "absent_vectors": 1}, "absent_vectors"),
        ({"name": "encoder_decoder", "channel_norm": 1}, "channel_norm"),
        ({"name": "encoder_decoder", "dense_size": 0}, "dense_size"),
        ({"name": "encoder_decoder", "dense_dropout": 2}, "dense_dropout"),
        ({"name": "transformer", "width": 30}, r"width must be a multiple of heads \(4\), got 30"),
        ({"name": "transformer", "heads": 0}, "heads must be a positive integer"),
        ({"name": "transformer", "layers": 0}, "layers must be a positive integer"),
        ({"name": "transformer", "feed_forward": 1.5}, "feed_forward must be a positive integer"),
        ({"name": "transformer", "positions": "rotary"}, "positions must be one of learnt, sinus"),
        ({"name": "transformer", "max_positions": 0}, "max_positions must be a positive integer"),
        ({"name": "transformer", "tied": "yes"}, "tied must be true or false"),
        ({"name": "transformer", "dropout": 1}, "dropout must be a number from 0 to below 1"),
        ({"name": "transformer", "word_dropout": 1}, "word_dropout must be a number"),
        ({"name": "transformer", "value_dropout": 1}, "value_dropout must be a number"),
        ({"name": "transformer", "location_embedding": 2}, "location_embedding"),
        ({"name": "gpt2"}, r"model\.architecture\.folder is not set"),
        ({"name": "gpt2", "config": {"auto_map": 1}}, r"config\.auto_map is not of a gpt2's shape"),
        ({"name": "gpt2", "config": {"n_embd": 5, "n_head": 2}}, "config is of no gpt2"),
        ({"name": "bert", "config": {"hidden_size": 5}}, "config is of no bert"),
        ({"name": "bert", "config": {}, "trained": "some"}, "trained must be one of all, new"),
        ({"name": "bert", "config": {}, "dropout": 1}, "dropout must be a number from 0"),
    ],
)
def test_mistakes_are_named_with_their_cure(architecture: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        build(architecture)


def test_a_missing_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sized(MeanOfWords):
        def __init__(self, special: Any, embedding: Any, maps: Any, *, size: int) -> None:
            super().__init__(special, embedding, maps, size=size)

    monkeypatch.setitem(DECODERS, "sized", Sized)
    assert decoder_options("sized") == {"size": inspect.Parameter.empty}
    assert isinstance(build({"name": "sized", "size": 3}), Sized)
    with pytest.raises(OptionError, match="model 'sized' needs the option 'size'"):
        build({"name": "sized"})


def test_a_name_is_registered_once() -> None:
    with pytest.raises(OptionError, match="a decoder 'attention' is registered already"):
        register_decoder("attention")(MeanOfWords)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"special": SPECIAL._replace(bos=20)}, "bos=20 is not among the 20 tokens"),
        ({"special": SPECIAL._replace(pad=-1)}, "pad=-1 is not among the 20 tokens"),
        ({"special": SPECIAL._replace(pad=SPECIAL.eos)}, "pad and eos are both 1"),
        ({"maps": MAPS._replace(height=0)}, r"maps\.height must be a positive integer"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        build({"name": "transformer"}, **changes)
