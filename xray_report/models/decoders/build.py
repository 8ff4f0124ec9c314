"""From a plain description to a decoder: what a checkpoint stores and a config file says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from xray_report.errors import OptionError
from xray_report.models.attention_decoder import AttentionDecoder
from xray_report.models.decoders.encoder_decoder import MergeDecoder
from xray_report.models.decoders.protocol import Decoder
from xray_report.models.embedding import WordEmbedding

DECODERS: Mapping[str, type[AttentionDecoder] | type[MergeDecoder]] = {
    "attention": AttentionDecoder,
    "encoder_decoder": MergeDecoder,
}
"""Decoders by the name that `architecture["name"]` calls them."""


def decoder_options(name: str) -> dict[str, Any]:
    """Options of decoder `name` with their default values."""
    if name not in DECODERS:
        raise OptionError(f"unknown model {name!r}: use one of {', '.join(DECODERS)}")
    parameters = inspect.signature(DECODERS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def build_decoder(
    architecture: Mapping[str, Any], vocabulary_size: int, embedding: WordEmbedding
) -> Decoder:
    """Build the decoder that `architecture` describes.

    Args:
        architecture: {"name": "attention" or "encoder_decoder", option: value, ...}; plain
            values only. Options left out take their defaults.
        vocabulary_size: V, number of words it can write.
        embedding: vectors of those words.

    Raises:
        OptionError: no or an unknown name, an unknown option, or a value out of range.
    """
    options = dict(architecture)
    name = options.pop("name", None)
    if name is None:
        raise OptionError(f"architecture needs a name: one of {', '.join(DECODERS)}")
    known = decoder_options(name)
    for option in options:
        if option not in known:
            raise OptionError(
                f"unknown option {option!r} of model {name!r}: use {', '.join(sorted(known))}"
            )
    if embedding.vocabulary_size != vocabulary_size:
        raise OptionError(
            f"the embedding has {embedding.vocabulary_size} words, the vocabulary "
            f"{vocabulary_size}: build both from the same word list"
        )
    return DECODERS[name](vocabulary_size, embedding, **options)
