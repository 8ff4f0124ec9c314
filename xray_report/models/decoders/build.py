"""From a plain description to a decoder: what a checkpoint stores and a config file says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from xray_report.errors import OptionError
from xray_report.models.decoders import attention, encoder_decoder, pretrained, transformer
from xray_report.models.decoders.guided import (
    EvidenceDecoder,
    GuidedDecoder,
    shown_shape,
    told_shape,
)
from xray_report.models.decoders.protocol import DECODERS, Decoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.maps import MapShape
from xray_report.tokens import SpecialTokens

OWN = (attention, encoder_decoder, pretrained, transformer)
"""The modules of the package's own decoders, imported so that these are registered."""


def decoder_options(name: str) -> dict[str, Any]:
    """Options of decoder `name` with their default values.

    `inspect.Parameter.empty` stands for the value of an option that must be given.
    """
    if name not in DECODERS:
        raise OptionError(f"unknown model {name!r}: use one of {', '.join(sorted(DECODERS))}")
    parameters = inspect.signature(DECODERS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_architecture(architecture: Mapping[str, Any]) -> None:
    """Raise `OptionError` for no or an unknown name, and for an unknown or missing option."""
    options = dict(architecture)
    name = options.pop("name", None)
    if name is None:
        raise OptionError(f"architecture needs a name: one of {', '.join(sorted(DECODERS))}")
    known = decoder_options(name)
    for option in options:
        if option not in known:
            raise OptionError(
                f"unknown option {option!r} of model {name!r}: use {', '.join(sorted(known))}"
            )
    for option, default in known.items():
        if default is inspect.Parameter.empty and option not in options:
            raise OptionError(f"model {name!r} needs the option {option!r}")


def build_decoder(
    architecture: Mapping[str, Any],
    special: SpecialTokens,
    embedding: WordEmbedding,
    maps: MapShape,
    told: Sequence[str] = (),
    shown: Sequence[str] = (),
) -> Decoder:
    """Build the decoder that `architecture` describes.

    Args:
        architecture: {"name": one of `DECODERS`, option: value, ...}; plain values only. Options
            left out take their defaults.
        special: the special ids of its tokenizer.
        embedding: vectors of the tokens it can write.
        maps: shape of the map that the encoder makes of a view.
        told: names of the labels that it is told, beside the maps (`GuidedDecoder`), if any.
        shown: names of the findings that it is shown, in place of the maps (`EvidenceDecoder`);
            none for the maps themselves. Not both.

    Raises:
        OptionError: no or an unknown name, an unknown or missing option, or a value out of range.
    """
    check_architecture(architecture)
    options = {name: value for name, value in architecture.items() if name != "name"}
    read = shown_shape(maps, len(shown)) if shown else told_shape(maps, len(told))
    decoder = DECODERS[architecture["name"]](special, embedding, read, **options)
    if shown:
        return EvidenceDecoder(decoder, maps, shown)
    return GuidedDecoder(decoder, maps, told) if told else decoder


def portable(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """`architecture` as a checkpoint keeps it: `build_decoder` needs nothing else for it."""
    check_architecture(architecture)
    options = {name: value for name, value in architecture.items() if name != "name"}
    return {"name": architecture["name"], **DECODERS[architecture["name"]].portable(options)}
