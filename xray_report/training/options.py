"""Mistakes in the options of a training run, found before any data are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from xray_report.data.augmentation import Augmentation
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.errors import CheckpointError, OptionError
from xray_report.models.decoders.build import build_decoder, check_architecture
from xray_report.models.decoders.protocol import DECODERS
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.load import DEFAULT, check_encoder
from xray_report.models.encoders.protocol import LARGEST_SIZE
from xray_report.models.maps import MapShape
from xray_report.options import (
    as_path,
    check_arguments,
    check_choice,
    check_count,
    check_flag,
    check_known,
    check_number,
    check_set,
    check_share,
    check_target,
    check_text,
)
from xray_report.tokens import WORD_TOKENS
from xray_report.training.labels import EVIDENCE, Labelling
from xray_report.training.report_module import SCORES
from xray_report.training.rewards import self_critical_options
from xray_report.training.schedule import adam, check_adam

MONITORS = {
    "report": ("train/loss", *(f"val/{name}" for name in SCORES)),
    "chexnet": tuple(
        f"{stage}/{name}"
        for stage, names in {
            "val": ("auroc", "loss", "label_loss", "region_loss"),
            "train": ("loss", "label_loss", "region_loss"),
        }.items()
        for name in names
    ),
}
"""What each kind of model logs; CheXNet also `val_auroc/LABEL`."""


GROUPS = (
    *("paths", "data", "text", "encoder", "trainer", "loader", "augmentation", "model"),
    "training",
)
"""Groups that no run does without; `callbacks` and `logger` may be null."""
UNCHOSEN = ("loader", "augmentation")
"""Those of them that conf/train.yaml itself holds."""

MODEL = {
    "report": (
        *("kind", "architecture", "embedding", "label_guidance", "label_smoothing"),
        *("optimizer", "monitor", "monitor_mode"),
    ),
    "chexnet": (
        *("kind", "labels", "uncertain", "soft_targets", "min_positives"),
        *("locator", "frozen_blocks", "region_weight", "highest_pos_weight", "optimizer"),
        *("monitor", "monitor_mode"),
    ),
}
"""Options of each kind of model; conf/model/ has them all."""


LARGEST = 16384
"""Of any size in an architecture: a slip of the finger must not take all memory."""


MOST_PROCESSES = 1024
"""Far more than is of use, and few enough to say so before a machine stands still."""


def check_groups(config: object) -> None:
    """Raise `OptionError` unless every group is there; plain types, nothing resolved.

    What is left to the command line must be set, unless a resumed run has set it.
    """
    if not isinstance(config, Mapping):
        raise OptionError("the configuration has no options")
    check_known("", config, ("seed", "resume", "callbacks", "logger", *GROUPS))
    for name in (*GROUPS, "callbacks", "logger"):
        given = config.get(name)
        if not isinstance(given, Mapping) and not (given is None and name not in GROUPS):
            chosen = "" if name in UNCHOSEN else f", or choose one of conf/{name}/"
            raise OptionError(
                f"{name} must be a group of options, got {given!r}: leave it in{chosen}"
            )
    for name in ("seed", "resume"):
        if name not in config:
            raise OptionError(f"{name} is not set: leave it in")
    if config["resume"] is None:
        check_set(config)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise an error that names the option, where a run would fail only once it is under way.

    Args:
        options: those of train.py, plain types, with all `GROUPS`.
    """
    check_set(options)
    seed, resume, model = options["seed"], options["resume"], options["model"]
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 32:
        raise OptionError(f"seed must be an integer from 0 to below 2 ** 32, got {seed}")
    check_resume(resume)
    for name in ("runs_dir", "cache_dir", "output_dir"):
        as_path(f"paths.{name}", options["paths"].get(name))
    check_target("data", options["data"])
    check_arguments("loader", LoaderOptions, options["loader"])
    check_arguments("text", TextOptions, options["text"], ["target"])
    check_arguments("augmentation", Augmentation, options["augmentation"])
    Augmentation(**options["augmentation"])
    LoaderOptions(**options["loader"])
    check_number("loader.workers", options["loader"].get("workers", 0), most=MOST_PROCESSES)
    TextOptions(**options["text"])
    check_text("encoder.name", options["encoder"].get("name", DEFAULT))
    check_encoder(options["encoder"])
    for name in ("name", "weights", "trainable", "precision"):
        if name not in options["encoder"]:
            raise OptionError(f"encoder.{name} is not set: leave it in")
    if options["encoder"].get("image_size") is not None:
        check_number("encoder.image_size", options["encoder"]["image_size"], most=LARGEST_SIZE)
    check_model(model)
    check_training(options["training"], str(model["kind"]), resume)
    check_trainer(options["trainer"])
    check_callbacks(options)


def check_resume(resume: object) -> None:
    """Raise `CheckpointError` unless there is a file to go on from, or nothing to go on from."""
    if resume is not None and not Path(str(resume)).is_file():
        raise CheckpointError(
            f"resume: there is no checkpoint {resume}; "
            "give the path of an interrupted run's checkpoints/last.ckpt"
        )


def check_training(training: Mapping[str, Any], kind: str, resume: object) -> None:
    """Raise an error that names the option unless a model of `kind` can be trained so.

    Where a run is resumed, what it once started from need not be there.
    """
    if self_critical_options(training) is None:
        return
    if kind != "report":
        raise OptionError(f"training=scst rewards reports, which model.kind={kind} does not write")
    if resume is None and not as_path("training.start", training["start"]).is_file():
        raise CheckpointError(
            f"training.start: there is no checkpoint {training['start']}; give the path of a "
            "trained report model's checkpoints/best.ckpt"
        )


def check_model(model: Mapping[str, Any]) -> None:
    """Raise OptionError, naming the option, unless a model can be made of these."""
    kind = model.get("kind")
    check_choice("model.kind", kind, tuple(MODEL))  # type: ignore[arg-type]
    check_known("model", model, MODEL[str(kind)])
    for name in MODEL[str(kind)]:
        if name not in model:
            raise OptionError(f"model.{name} is not set: leave it in, or name a value")
    for name in ("architecture", "embedding", "optimizer"):
        if name in model and not isinstance(model[name], Mapping):
            raise OptionError(f"model.{name} must be a group of options, got {model[name]!r}")
    given_apart = ["module", "parameters", "slow"]
    check_arguments("model.optimizer", adam, model["optimizer"], given_apart)
    check_adam(**model["optimizer"])
    check_monitor(str(kind), model["monitor"])
    check_choice("model.monitor_mode", model["monitor_mode"], ("min", "max"))
    if kind == "chexnet":
        check_flag("model.locator", model["locator"])
        check_count("model.frozen_blocks", model["frozen_blocks"], 0)
        check_number("model.region_weight", model["region_weight"], least=0.0)
        check_number("model.highest_pos_weight", model["highest_pos_weight"], least=1.0)
        check_count("model.min_positives", model["min_positives"])
        Labelling(model["labels"], model["uncertain"], model["soft_targets"])
        return
    check_share("model.label_smoothing", model["label_smoothing"])
    told = model["label_guidance"]
    if told not in ("auto", EVIDENCE) and not isinstance(told, bool):
        raise OptionError(
            f"model.label_guidance must be true, false, auto or {EVIDENCE}, got {told!r}"
        )
    embedding, architecture = model["embedding"], model["architecture"]
    check_arguments("model.embedding", _embedding, embedding)
    if embedding["size"] is not None:
        check_count("model.embedding.size", embedding["size"])
        check_number("model.embedding.size", embedding["size"], most=LARGEST)
    check_text("model.architecture.name", architecture.get("name", ""))
    check_architecture(architecture)
    own = {name: value for name, value in architecture.items() if name != "name"}
    taker = DECODERS[architecture["name"]]
    check_arguments("model.architecture", taker, own, ["special", "embedding", "maps"])
    for name, value in own.items():
        if type(value) is int:
            check_number(f"model.architecture.{name}", value, most=LARGEST)
    with torch.device("meta"):  # what only the decoder knows of its options, at no cost
        build_decoder(architecture, WORD_TOKENS, WordEmbedding(20, 8), MapShape(8, 2, 2))


def _embedding(*, vectors: str | None, size: int | None, trainable: bool) -> None:
    """What `assemble.embedding_of` takes."""


def check_monitor(kind: str, monitor: object, name: str = "model.monitor") -> None:
    """Raise OptionError unless a model of this kind logs `monitor`."""
    known = MONITORS.get(kind, ())
    of_label = kind == "chexnet" and str(monitor).startswith("val_auroc/")
    if known and monitor not in known and not of_label:
        raise OptionError(f"{name} must be one of {', '.join(known)}, got {monitor}")


def check_callbacks(options: Mapping[str, Any]) -> None:
    """Raise OptionError where a callback or the logger cannot be built, or waits for nothing."""
    for name, node in (options.get("callbacks") or {}).items():
        if node is None:
            continue
        check_target(f"callbacks.{name}", node)
        if node.get("monitor") is not None:
            kind = options["model"]["kind"]
            check_monitor(kind, node["monitor"], f"callbacks.{name}.monitor")
    if options.get("logger"):
        check_target("logger", options["logger"])


LEAST = {
    "check_val_every_n_epoch": 1,
    "accumulate_grad_batches": 1,
    "log_every_n_steps": 0,
    "num_sanity_val_steps": -1,
    "reload_dataloaders_every_n_epochs": 0,
}
"""Least values of counts that Lightning does not check."""


def check_trainer(trainer: Mapping[str, Any]) -> None:
    """Raise OptionError where Lightning would train or validate nothing, or without an end."""
    epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    endless = epochs == -1 and steps == -1
    if epochs is not None and (
        isinstance(epochs, bool)
        or not isinstance(epochs, int)
        or epochs == 0
        or epochs < -1
        or endless
    ):
        raise OptionError(
            "trainer.max_epochs must be a positive integer (or -1 with +trainer.max_steps=N), "
            f"got {epochs}"
        )
    check_arguments("trainer", pl.Trainer, trainer, ["logger", "callbacks"])
    for name, least in LEAST.items():
        if trainer.get(name) is not None:
            check_count(f"trainer.{name}", trainer[name], least)
    for name in ("devices", "num_nodes"):
        if isinstance(trainer.get(name), int):
            check_number(f"trainer.{name}", trainer[name], most=MOST_PROCESSES)
    if trainer.get("gradient_clip_val") is not None:
        check_number("trainer.gradient_clip_val", trainer["gradient_clip_val"], least=0.0)
    for name in ("limit_train_batches", "limit_val_batches"):
        if trainer.get(name) == 0:
            raise OptionError(
                f"trainer.{name} must be above 0: the best checkpoint is chosen by validation"
            )
