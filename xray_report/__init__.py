"""Chest X-ray report generation. Research software, not for clinical use.

`load`, `labels`, `scores`, `PhantomDataset` and the searches are imported when first asked for, so
that `import xray_report` costs nothing; `__init__.pyi` tells type checkers of them.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_PLACES = {
    "load": "api",
    "labels": "api",
    "scores": "api",
    "PhantomDataset": "api",
    "GreedySearch": "inference.greedy",
    "BeamSearch": "inference.beam",
    "DiverseBeamSearch": "inference.beam",
    "SampleSearch": "inference.sampling",
    "ConsensusSearch": "inference.consensus",
    "Hypothesis": "inference.search",
    "DecoderState": "models.decoders.protocol",
    "SpecialTokens": "tokens",
}
__all__ = [*_PLACES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
