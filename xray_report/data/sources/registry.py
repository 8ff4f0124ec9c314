"""The data sets by name, for who has only a name and plain options: a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from xray_report.data.phantom.source import PhantomSource
from xray_report.data.sources.chexpert_plus import CheXpertPlus
from xray_report.data.sources.csv import CSVSource
from xray_report.data.sources.iu_xray import IUXRay
from xray_report.data.sources.mimic_cxr import MimicCXR
from xray_report.data.sources.nih_chestxray14 import NIHChestXray14
from xray_report.data.sources.rexgradient import ReXGradient
from xray_report.data.sources.union import Union
from xray_report.data.study import StudySource
from xray_report.errors import OptionError
from xray_report.options import check_known, is_plain

SOURCES: dict[str, Callable[..., StudySource]] = {
    "chexpert_plus": CheXpertPlus,
    "csv": CSVSource,
    "iu_xray": IUXRay,
    "mimic_cxr": MimicCXR,
    "nih_chestxray14": NIHChestXray14,
    "phantom": PhantomSource,
    "rexgradient": ReXGradient,
    "union": Union,
}
"""Names as in `data=NAME`. Nothing else is ever built for a checkpoint."""


def source_name(target: object) -> str:
    """The name of the data set whose class `target`, a dotted path, is; `OptionError` if none is.

    The path is only compared: a checkpoint of a stranger must not choose what is imported.
    """
    for name, made in SOURCES.items():
        if target == f"{made.__module__}.{made.__qualname__}":
            return name
    raise OptionError(
        f"data: {str(target)[:80]!r} is none of the data sets {', '.join(SOURCES)}: name it on the "
        "command line by data=NAME"
    )


def source_named(name: str, options: Mapping[str, Any]) -> StudySource:
    """The data set of that name. Raises `OptionError` for an option that it does not have.

    Args:
        name: one of `SOURCES`.
        options: its own, plain values.
    """
    made = SOURCES[name]
    if made is Union and isinstance(options.get("sources"), Mapping):
        options = {**options, "sources": {k: _nested(v) for k, v in options["sources"].items()}}
    own = [field for field in fields(made) if field.init]  # type: ignore[arg-type]
    check_known("data", options, [field.name for field in own])
    for option, value in options.items():
        if not is_plain(value) and not (made is Union and option == "sources"):
            raise OptionError(f"data.{option} must be plain values, got a {type(value).__name__}")
    for field in own:
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and field.name not in options:
            raise OptionError(f"data.{field.name} is not set: name it on the command line")
    return made(**options)


def _nested(options: object) -> StudySource:
    """One of several data sets, named by its `_target_`."""
    if not isinstance(options, Mapping):
        raise OptionError(f"data.sources must hold data sets, got {options!r:.80}")
    own = {name: value for name, value in options.items() if name != "_target_"}
    return source_named(source_name(options.get("_target_")), own)
