"""Checks of options, each failing with one line that names the option and says what it may be."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from xray_report.errors import OptionError


def check_count(name: str, value: object, least: int = 1, most: float = math.inf) -> int:
    """`value`; `OptionError` unless it is an integer from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        kind = "a positive integer" if least == 1 else f"an integer of at least {least}"
        kind = kind if most == math.inf else f"an integer from {least} to {most:.0f}"
        raise OptionError(f"{name} must be {kind}, got {value!r}")
    return value


def check_number(
    name: str,
    value: object,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """`value`; `OptionError` unless it is finite, above `above` and from `least` to `most`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and math.isfinite(value) and above < value and least <= value <= most:  # type: ignore[arg-type, operator]
        return value  # type: ignore[return-value]
    limits = [f"above {above:g}"] if above > -math.inf else []
    limits += [f"of at least {least:g}"] if least > -math.inf else []
    limits += [f"at most {most:g}"] if most < math.inf else []
    kind = " ".join(["a finite number", " and ".join(limits)]).rstrip()
    raise OptionError(f"{name} must be {kind}, got {value!r}")


def check_share(name: str, value: object) -> float:
    """`value`; `OptionError` unless it is a number from 0 to below 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise OptionError(f"{name} must be a number from 0 to below 1, got {value!r}")
    return float(value)


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """`value`; `OptionError` unless it is one of `choices`."""
    if value not in choices:
        raise OptionError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def check_text(name: str, value: object) -> str:
    """`value`; `OptionError` unless it is text."""
    if not isinstance(value, str):
        raise OptionError(f"{name} must be text, got {value!r}")
    return value


def check_flag(name: str, value: object) -> bool:
    """`value`; `OptionError` unless it is true or false and nothing that merely counts as such."""
    if not isinstance(value, bool):
        raise OptionError(f"{name} must be true or false, got {value!r}")
    return value


def as_path(name: str, value: str | Path) -> Path:
    """The path that `value` names, `~` expanded; `OptionError` unless it is text or a path."""
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise OptionError(f"{name} must be a path, got {value!r}")
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise OptionError(f"{name}={value}: nobody of that name has a home folder") from None


def as_tuple(name: str, value: object) -> tuple[object, ...]:
    """`value` as a tuple; a lone word would be taken for its letters, so it is refused."""
    if isinstance(value, (list, tuple)):
        return tuple(dict.fromkeys(value))
    raise OptionError(f"{name} must be a list, got {value!r}")


def check_known(group: str, given: Iterable[str], known: Sequence[str]) -> None:
    """`OptionError`, with what may have been meant, for a name in `given` that is not `known`."""
    for name in given:
        if name not in known:
            near = did_you_mean(str(name), known)
            full = f"{group}.{name}".lstrip(".")
            choice = f"choose from {', '.join(known)}" if known else "there are none here"
            raise OptionError(f"{full} is no option{near}; {choice}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Such as ` (did you mean 'size'?)`, or "" where nothing known is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


MOST_VALUES = 100_000
"""In a tree of plain values: lists that hold a list twice can stand for more than memory holds."""


def is_plain(value: object, most: int = MOST_VALUES) -> bool:
    """Whether a value is text, a number, a switch, nothing, or a list or mapping of such.

    One of more than `most` in all is not.
    """
    waiting, seen = [value], 0
    while waiting:
        one, seen = waiting.pop(), seen + 1
        if isinstance(one, Mapping) and all(isinstance(key, str) for key in one):
            waiting += one.values()
        elif isinstance(one, (list, tuple)):
            waiting += one
        elif one is not None and type(one) not in (str, int, float, bool):
            return False
        if seen + len(waiting) > most:
            return False
    return True


# Whole groups of options, checked against the signature of what takes them.


def check_arguments(
    group: str, taker: Callable[..., Any], given: Mapping[str, Any], given_apart: Sequence[str] = ()
) -> None:
    """`OptionError` unless `taker` takes these keyword arguments: their names, and their kinds.

    Args:
        group: what the options are called together, such as `trainer`.
        taker: a class or function whose arguments have type hints.
        given: the options; names with an underscore in front are not looked at.
        given_apart: arguments that the program itself gives.
    """
    parameters = {
        name: one
        for name, one in inspect.signature(taker).parameters.items()
        if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD) and name not in given_apart
    }
    function = taker.__init__ if isinstance(taker, type) else taker  # type: ignore[misc]
    try:
        hints = get_type_hints(function)
    except NameError:  # what its module imports for type checkers only
        hints = {}
    options = {name: value for name, value in given.items() if not str(name).startswith("_")}
    if not any(one.kind is one.VAR_KEYWORD for one in inspect.signature(taker).parameters.values()):
        check_known(group, options, list(parameters))
    for name, value in options.items():
        if name in parameters and not _fits(value, hints.get(name, Any)):
            kind = _in_words(hints[name])
            raise OptionError(f"{group}.{name} must be {kind}, got {value!r}")
    for name, one in parameters.items():
        if one.default is one.empty and name not in options:
            raise OptionError(f"{group}.{name} is not set: leave it in, or name a value")


def check_set(options: Mapping[str, Any], prefix: str = "") -> None:
    """Raise `OptionError` naming an option that the configuration leaves to the command line."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            check_set(value, f"{prefix}{name}.")
        elif value == "???":
            raise OptionError(f"set {prefix}{name} on the command line")


def check_target(group: str, node: object) -> None:
    """`check_arguments` of a group that names by `_target_` what takes its options.

    Imports what it names: only for what the user's own configuration says.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        raise OptionError(f"{group} must be a group of options with a _target_, got {node!r}")
    target: str = node["_target_"]
    module, _, name = target.rpartition(".")
    try:
        taker = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(f"{group}._target_={target} cannot be imported ({error})") from error
    if not callable(taker):
        raise OptionError(f"{group}._target_={target} builds nothing")
    check_arguments(group, taker, node)


def _fits(value: object, hint: Any) -> bool:
    """Whether a plain value may be given where a type hint says `hint`; True where in doubt."""
    if hint in (Any, object):
        return True
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is Literal:
        return any(value == one and type(value) is type(one) for one in arguments)
    if isinstance(value, Mapping):  # of options that build an object, too
        return hint not in (bool, int, float, str, Path, None, type(None))
    if hint in (None, type(None)):
        return value is None
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    if hint is Path:
        return isinstance(value, (str, Path))
    made = origin or hint
    if isinstance(made, type) and issubclass(made, (list, tuple, Sequence, Iterable)):
        return isinstance(value, (list, tuple))
    return not isinstance(made, type)


def _in_words(hint: Any) -> str:
    """What a type hint allows, such as `an integer or null`."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_in_words, get_args(hint))))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    words = {
        bool: "true or false", int: "an integer", float: "a number", str: "text", Path: "a path",
        type(None): "null", list: "a list", tuple: "a list", dict: "a group of options",
    }  # fmt: skip
    made = get_origin(hint) or hint
    if made in (Sequence, Iterable):
        return "a list"
    return words.get(made, f"a {getattr(made, '__name__', made)}")
