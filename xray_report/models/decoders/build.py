"""From a plain description to a decoder: what a checkpoint stores and a config file says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from xray_report.errors import OptionError
from xray_report.models import attention_decoder
from xray_report.models.decoders import encoder_decoder, transformer
from xray_report.models.decoders.protocol import DECODERS, Decoder, MapShape
from xray_report.models.embedding import WordEmbedding
from xray_report.tokens import SpecialTokens

OWN = (attention_decoder, encoder_decoder, transformer)
"""The modules of the package's own decoders, imported so that these are registered."""


def decoder_options(name: str) -> dict[str, Any]:
    """Options of decoder `name` with their default values.

    `inspect.Parameter.empty` stands for the value of an option that must be given.
    """
    if name not in DECODERS:
        raise OptionError(f"unknown model {name!r}: use one of {', '.join(DECODERS)}")
    parameters = inspect.signature(DECODERS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def build_decoder(
    architecture: Mapping[str, Any],
    special: SpecialTokens,
    embedding: WordEmbedding,
    maps: MapShape,
) -> Decoder:
    """Build the decoder that `architecture` describes.

    Args:
        architecture: {"name": one of `DECODERS`, option: value, ...}; plain values only. Options
            left out take their defaults.
        special: the special ids of its tokenizer.
        embedding: vectors of the tokens it can write.
        maps: shape of the map that the encoder makes of a view.

    Raises:
        OptionError: no or an unknown name, an unknown or missing option, or a value out of range.
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
    for option, default in known.items():
        if default is inspect.Parameter.empty and option not in options:
            raise OptionError(f"model {name!r} needs the option {option!r}")
    return DECODERS[name](special, embedding, maps, **options)
