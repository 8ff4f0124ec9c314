"""Going on with an interrupted run: its options, and what may be another and what must not.

The options are those that the run's checkpoint carries. They are data of whoever wrote the file:
no class that they name is built, unless it is a data set of the project or stands in the user's own
configuration too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from traceback import walk_tb
from typing import Any, NamedTuple

import pytorch_lightning as pl

from xray_report.data.sources.registry import source_name
from xray_report.data.study import SPLITS
from xray_report.errors import CheckpointError, OptionError, one_line
from xray_report.inference.checkpoint import (
    MISFITS,
    STATE_DIGEST,
    kind_of,
    load_checkpoint,
    read_checkpoint,
    state_digest,
)
from xray_report.models.encoders.weights.files import DESCRIPTION_KEY
from xray_report.options import as_path, is_plain
from xray_report.training.options import MONITORS, check_resume
from xray_report.training.report_module import ReportModule

MAY_CHANGE = (
    "resume",
    "paths",
    "trainer",
    "callbacks",
    "logger",
    "loader.workers",
    "loader.cache_dir",
    "data.root",
    "data.table",
    "data.images",
    "data.reports",
    "data.annotation",
    "data.cache_dir",
    "data.strict",
    "encoder.weights",
    "encoder.allow_pickle",
    "encoder.allow_leak",
    "text.tokenizer.folder",
    "model.embedding.vectors",
    "model.architecture.folder",
    "model.architecture.compile",
)
"""Options, and groups of them, that another machine or a longer training may need. What the files
named here hold is compared with the run's."""

OF_THIS_RUN = ("resume", "paths", "encoder.allow_pickle")
"""Never taken from a checkpoint: where to write, and whether a file may run code."""

OWN_CLASSES = (
    "xray_report.training.averaging.AveragedWeights",
    "xray_report.training.loggers.csv_logger",
    "xray_report.training.loggers.wandb_logger",
    "xray_report.training.loggers.mlflow_logger",
    "xray_report.training.trainer.csv_logger",  # of runs of before
    "pytorch_lightning.callbacks.TQDMProgressBar",  # of runs of before
)
"""Callbacks and loggers beyond the default ones that a run may bring along unnamed."""

CHOICES = {
    "data": ("_target_",),
    "text": ("name",),
    "encoder": ("name",),
    "model": ("kind", "architecture.name"),
    "training": ("name",),
}
"""Groups whose choice, such as `model=attention`, says no more than what the run must be of."""

FREE_GROUPS = ("trainer", "callbacks", "logger", "paths")
"""Groups that a choice on the command line replaces whole."""

TRAINING_STATE: Mapping[str, type] = {
    "state_dict": Mapping,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": Mapping,
    "callbacks": Mapping,
    "epoch": int,
}

Options = dict[str, Any]


# What a run's checkpoint says.


def saved_options(path: Path) -> Options:
    """The options that the run of a checkpoint was trained with.

    Raises `CheckpointError`: the file is missing, damaged or of another project, has no state of
    training, or does not say its options.
    """
    saved = read_checkpoint(path, *MONITORS)
    for name, kind in TRAINING_STATE.items():
        if not isinstance(saved.get(name), kind):
            raise CheckpointError(
                f"{path} holds no {name}, so that no training can go on from it: give the "
                "checkpoints/last.ckpt of a run"
            )
    for name, state in saved["callbacks"].items():
        if not isinstance(state, Mapping):
            raise CheckpointError(
                f"{path} is damaged: its state of the callback {str(name)[:60]} is "
                f"{_shown(state)}; go on from another checkpoint of the run"
            )
    written = saved[DESCRIPTION_KEY].get(STATE_DIGEST)  # older ones have none
    if written is not None and written != state_digest(saved):
        raise CheckpointError(
            f"{path} is damaged: its state of training is not as it was written; go on from "
            "another checkpoint of the run"
        )
    options = _get(saved, "hyper_parameters.about.options")
    plain = isinstance(options, Mapping) and is_plain(options)
    if not plain or _get(options, "model.kind") != kind_of(saved):
        raise CheckpointError(
            f"{path} does not say with which options it was trained, so that nothing can go on "
            "with them: train again, or use the version that wrote it"
        )
    return deepcopy(dict(options))


# Those options, and what the command line changes of them.


def resumed_options(
    path: str | Path, given: Mapping[str, Any], overrides: Sequence[str]
) -> tuple[Options, list[str]]:
    """The options to go on with, and in words what the command line changed of the run's.

    Args:
        path: the run's checkpoint.
        given: what this command line composes, plain types.
        overrides: what was typed of it, such as `trainer.max_epochs=40`.

    Raises:
        CheckpointError: as `saved_options`; or the run had parts that are not of this project.
        OptionError: something typed differs from the run and must not.
    """
    check_resume(path)
    path = Path(str(path))
    options = saved_options(path)
    options.setdefault("training", {"name": "cross_entropy"})  # of a version that knew no other
    for name in given.keys() - options.keys() - {"callbacks", "logger"}:
        raise CheckpointError(f"resume: the run of {path} has no options {name}: train again")
    before = _get(options, "paths.output_dir")
    for name in OF_THIS_RUN:
        _set(options, name, deepcopy(_get(given, name)))
    said = []
    for name in _typed(given, overrides):
        new, old = _get(given, name), _get(options, name)
        if new == old:
            continue
        if not _within(name, MAY_CHANGE):
            raise OptionError(
                f"resume: the run of {path} has {name}={_shown(old)}, which cannot become "
                f"{_shown(new)}: leave it out, or start a new run"
            )
        _set(options, name, deepcopy(new))
        if name != "resume":
            said.append(f"resume: {name}={_shown(new)} (the run had {_shown(old)})")
    _refuse_foreign_classes(path, options, given)
    _move(options, before, _get(given, "paths.output_dir"))
    return options, said


def _typed(given: Mapping[str, Any], overrides: Sequence[str]) -> Iterator[str]:
    """Names of the options that were typed; of a whole group those that say which it is."""
    for override in overrides:
        name, _, value = override.lstrip("+~").partition("=")
        group = name.partition("@")[0]
        if group == "experiment":
            raise OptionError("resume takes its options from the run: leave out experiment=...")
        if group in CHOICES and not value.startswith("{"):
            yield from (f"{group}.{one}" for one in CHOICES[group] if _has(given, group, one))
        elif group in FREE_GROUPS or not isinstance(_get(given, group), Mapping):
            yield group
        else:
            yield from _leaves(_get(given, group), f"{group}.")


def _refuse_foreign_classes(path: Path, options: Options, given: Mapping[str, Any]) -> None:
    """Every class that is named must stand in the user's own configuration too.

    A data set of the project, known by its name, need not, nor `OWN_CLASSES`.
    """
    for name in _leaves(options):
        value = _get(options, name)
        if name.startswith(("callbacks.", "logger.")) and value in OWN_CLASSES:
            continue
        if value == _get(given, name) or not (name.endswith("_target_") or _nested(value)):
            continue
        if name == "data._target_":
            try:
                source_name(value)
            except OptionError as error:
                raise CheckpointError(f"resume: {path}: {error}") from error
            continue
        raise CheckpointError(
            f"resume: the run of {path} has {name}={_shown(value)}, which this command line has "
            "not: give it again, or switch it off, as by callbacks.NAME=null"
        )


def _nested(value: object) -> bool:
    """Whether a list holds groups of options, in which anything may be named."""
    return isinstance(value, (list, tuple)) and any(
        isinstance(one, Mapping) or _nested(one) for one in value
    )


def _move(options: Options, before: object, now: object) -> None:
    """Let callbacks and loggers write into the folder of the new run."""
    for group in ("callbacks", "logger"):
        for name in list(_leaves(options.get(group), f"{group}.")):
            value = _get(options, name)
            if isinstance(value, str) and isinstance(before, str) and value.startswith(before):
                _set(options, name, f"{now}{value[len(before) :]}")


# Names such as `trainer.max_epochs` in nested options.


def _leaves(options: object, prefix: str = "") -> Iterator[str]:
    """Names of all values below a mapping."""
    if isinstance(options, Mapping):
        for key, value in options.items():
            if isinstance(value, Mapping) and value:
                yield from _leaves(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}"


def _get(options: Mapping[str, Any], name: str) -> Any:
    """The value of that name; None where there is none."""
    found: Any = options
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _has(options: Mapping[str, Any], group: str, name: str) -> bool:
    return f"{group}.{name}" in _leaves(options.get(group), f"{group}.")


def _set(options: Options, name: str, value: object) -> None:
    *groups, last = name.split(".")
    for part in groups:
        if not isinstance(options.get(part), dict):
            options[part] = {}
        options = options[part]
    options[last] = value


def _within(name: str, names: Iterable[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in names)


def _shown(value: object, most: int = 60) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= most else f"{text[:most]}..."


# What those options have built must be what the run was of.


class Origin(NamedTuple):
    """A checkpoint to go on from, the option that names it, and what to do where it differs."""

    option: str
    path: Path
    cure: str


def check_resumed(module: pl.LightningModule, path: str | Path) -> None:
    """Raise `CheckpointError` unless `module` is a model of the run that `path` is of.

    Vocabulary, cleaning, architecture, encoder and split are compared: files that the options name
    may have changed, or lie elsewhere now.
    """
    cure = "nothing can go on from it; start a new run"
    _check(module, Origin("resume", Path(str(path)), cure))


@contextmanager
def going_on(path: str | Path | None) -> Iterator[None]:
    """`CheckpointError` for a state of training that the trainer cannot go on from.

    Lightning believes what a checkpoint says of loops, optimisers and callbacks. What it raises
    while it takes that up is the file's fault; anything later keeps its traceback.
    """
    try:
        yield
    except MISFITS as error:
        called = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
        if path is None or not any(name.endswith(".checkpoint_connector") for name in called):
            raise
        raise CheckpointError(
            f"resume: {path} is damaged: no training can go on from its state "
            f"({type(error).__name__}: {one_line(error)}); go on from another checkpoint of the run"
        ) from error


def start_from(module: ReportModule, path: str | Path) -> None:
    """Give `module` the weights of another run's checkpoint.

    Raises `CheckpointError` unless it is one of a report model of the same data set and options,
    as far as `check_resumed` compares them.
    """
    cure = "give this training the options of that one"
    origin = Origin("training.start", as_path("training.start", path), cure)
    try:
        loaded = load_checkpoint(origin.path)
    except CheckpointError as error:
        raise CheckpointError(f"training.start: {error}") from error
    _check(module, origin)
    module.model.load_state_dict(loaded.model.state_dict())


def _check(module: pl.LightningModule, origin: Origin) -> None:
    try:
        _compare(module, origin)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{origin.option}: {origin.path} does not fit this version "
            f"({type(error).__name__}: {one_line(error)})"
        ) from error


def _compare(module: pl.LightningModule, origin: Origin) -> None:
    ours, path = module.hparams, origin.path
    theirs = read_checkpoint(path, *MONITORS)["hyper_parameters"]
    for name in ("name", "options", "preprocessing"):
        _same(origin, f"encoder's {name}", ours["encoder"][name], theirs["encoder"][name])
    if isinstance(module, ReportModule):
        _same(origin, "target", ours["about"]["target"], theirs["about"]["target"])
        _same_words(origin, ours["tokenizer"], theirs["tokenizer"])
        _same(origin, "architecture", _plain(ours["decoder"]), _plain(theirs["decoder"]))
        for name in ("embedding_size", "max_tokens", "trainable_encoder"):
            _same(origin, name.replace("_", " "), ours[name], theirs[name])
        for name in ("guiding_labels", "evidence"):
            _same(
                origin, name.replace("_", " "), *(list(one.get(name, ())) for one in (ours, theirs))
            )
        encoder = module.model.encoder
        if encoder.frozen and encoder.identity != load_checkpoint(path).model.encoder.identity:
            raise CheckpointError(
                f"{origin.option}: the encoder's weights are others than those of {path}: name "
                "those that the run had "
                f"({_shown(theirs['encoder']['source'].get('weights'))}) by encoder.weights"
            )
    else:
        for name in ("label_names", "locator"):
            _same(origin, name.replace("_", " "), ours[name], theirs[name])
    _same_split(origin, ours["about"]["split"], theirs["about"].get("split"))


def _plain(architecture: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in architecture.items() if name != "compile"}


def _same(origin: Origin, what: str, ours: object, theirs: object) -> None:
    if ours == theirs:
        return
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        differing = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        what = f"{what} ({differing[0]})"
        ours, theirs = ours.get(differing[0]), theirs.get(differing[0])
    raise CheckpointError(
        f"{origin.option}: the {what} is {_shown(ours)}, that of {origin.path} is "
        f"{_shown(theirs)}: {origin.cure}"
    )


def _same_words(origin: Origin, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    rest = [{key: value for key, value in one.items() if key != "words"} for one in (ours, theirs)]
    _same(origin, "tokenizer and its cleaning", *rest)
    words = (ours.get("words", []), theirs.get("words", []))
    _same(origin, "number of words", *map(len, words))
    for index, (new, old) in enumerate(zip(*words, strict=True)):
        _same(origin, f"word {index} of the vocabulary", new, old)


def _same_split(origin: Origin, ours: Mapping[str, Any], theirs: Mapping[str, Any] | None) -> None:
    for name in SPLITS if theirs else ():
        new, old = ours[name], (theirs or {}).get(name, {})
        if new["digest"] != old.get("digest"):
            raise CheckpointError(
                f"{origin.option}: the {name} split holds other studies ({new['studies']}) than "
                f"that of {origin.path} ({old.get('studies')}), so that what is trained and chosen "
                f"on would be mixed: {origin.cure}"
            )
