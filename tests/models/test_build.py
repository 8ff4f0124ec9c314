from __future__ import annotations

from typing import Any

import pytest

from xray_report.errors import OptionError
from xray_report.models.attention_decoder import AttentionDecoder
from xray_report.models.decoders.build import build_decoder, decoder_options
from xray_report.models.decoders.encoder_decoder import MergeDecoder
from xray_report.models.embedding import WordEmbedding


def build(architecture: dict[str, Any]) -> object:
    return build_decoder(architecture, 20, WordEmbedding(20, 6))


def test_names_choose_the_decoder() -> None:
    assert isinstance(build({"name": "attention"}), AttentionDecoder)
    assert isinstance(build({"name": "encoder_decoder"}), MergeDecoder)


def test_options_reach_the_decoder() -> None:
    model = build({"name": "attention", "rnn_size": 32, "value_size": None, "attention_size": 16})
    assert isinstance(model, AttentionDecoder)
    assert model.rnn.keys.weight.shape == (16, 1024)
    assert model.rnn.context_weight.shape == (96, 1024)


@pytest.mark.parametrize("name", ["attention", "encoder_decoder"])
def test_all_defaults_spelt_out_build(name: str) -> None:
    build({"name": name, **decoder_options(name)})


@pytest.mark.parametrize(
    ("architecture", "named"),
    [
        ({}, "needs a name: one of attention, encoder_decoder"),
        ({"name": "lstm"}, "'lstm': use one of attention, encoder_decoder"),
        ({"name": "attention", "rnn_sise": 3}, "'rnn_sise'.*rnn_size"),
        ({"name": "encoder_decoder", "attention_size": 3}, "'attention_size'.*dense_size"),
        ({"name": "attention", "vocabulary_size": 3}, "'vocabulary_size'"),
        ({"name": "attention", "rnn_size": 0}, "rnn_size must be a positive integer, got 0"),
        ({"name": "attention", "attention_size": 2.5}, "attention_size"),
        ({"name": "attention", "value_size": -1}, "value_size"),
        ({"name": "attention", "feature_size": 0}, "feature_size"),
        ({"name": "attention", "dropout": 1.0}, r"dropout must be a number from 0 to below 1"),
        ({"name": "attention", "word_dropout": -0.1}, "word_dropout"),
        ({"name": "attention", "value_dropout": "x"}, "value_dropout"),
        ({"name": "attention", "pooled": "last"}, "initial, every_step, none, got 'last'"),
        ({"name": "attention", "image_norm": "batch"}, "layer, unit, none"),
        ({"name": "attention", "location_embedding": "yes"}, "location_embedding"),
        ({"name": "attention", "value_norm": 1}, "value_norm"),
        ({"name": "attention", "context_to_words": 1}, "context_to_words"),
        ({"name": "encoder_decoder", "absent_vectors": 1}, "absent_vectors"),
        ({"name": "encoder_decoder", "dense_size": 0}, "dense_size"),
        ({"name": "encoder_decoder", "dense_dropout": 2}, "dense_dropout"),
    ],
)
def test_mistakes_are_named_with_their_cure(architecture: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionError, match=named):
        build(architecture)


def test_embedding_and_vocabulary_must_agree() -> None:
    with pytest.raises(OptionError, match="20 words, the vocabulary 21"):
        build_decoder({"name": "attention"}, 21, WordEmbedding(20, 6))
