"""What a run refuses before any data are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.models.decoders.test_pretrained import FAMILIES, saved
from tests.test_config import choices, composed
from xray_report.errors import OptionError, WeightsError, XrayReportError
from xray_report.training.options import MONITORS, check_groups, check_options
from xray_report.training.report_module import SCORES, validation_scores


def options(*overrides: str) -> dict[str, Any]:
    return OmegaConf.to_container(composed("train", *overrides), resolve=True)  # type: ignore[return-value]


@pytest.mark.parametrize("model", choices("model"))
def test_the_defaults_are_accepted(model: str, tmp_path: Path) -> None:
    folder = []
    if model in FAMILIES:
        folder = [f"model.architecture.folder={saved(tmp_path, model)[0]}"]
    check_options(options(f"model={model}", *folder))


@pytest.mark.parametrize("model", FAMILIES)
def test_a_pretrained_decoder_needs_a_folder_that_is_one(model: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"text\.tokenizer\.folder: there is no folder none"):
        check_options(options(f"model={model}", "model.architecture.folder=none"))
    other = saved(tmp_path, next(one for one in FAMILIES if one != model))[0]
    with pytest.raises(WeightsError, match=f"model={model} needs '{model}'"):
        check_options(options(f"model={model}", f"model.architecture.folder={other}"))


@pytest.mark.parametrize(
    "experiment", [name for name in choices("experiment") if name != "memorise"]
)
def test_the_experiments_are_accepted(experiment: str, tmp_path: Path) -> None:
    films = experiment.startswith(("iu_xray", "mimic_cxr", "csv"))
    needed = ["encoder.weights=random"] if films else []
    if films:
        needed += ["data.table=t.csv"] if experiment.startswith("csv") else ["data.root=films"]
    if experiment.endswith("_rewards"):
        (tmp_path / "best.ckpt").touch()
        needed += [f"training.start={tmp_path / 'best.ckpt'}"]
    check_options(options(f"experiment={experiment}", *needed))


@pytest.mark.parametrize(
    "override",
    ["trainer.deterministic=warn", "trainer.fast_dev_run=2", "trainer.devices=[0]",
     "trainer.precision=32", "model.architecture.compile=false", "callbacks.early_stopping=null",
     "trainer.max_epochs=null", "~trainer.max_epochs", "trainer.max_epochs=-1,+trainer.max_steps=2",
     "model.monitor=train/loss", "model=chexnet,model.monitor=val_auroc/nodule",
     "trainer.limit_val_batches=2"],
)  # fmt: skip
def test_unusual_options_are_accepted(override: str) -> None:
    check_options(options(*override.split(",")))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=-1", "seed must be an integer .*, got -1"),
        ("seed=4294967296", "seed must be"),
        ("seed=one", "seed must be .*, got one"),
        ("resume=nothing.ckpt", r"resume: there is no checkpoint nothing\.ckpt; give"),
        ("model.optimizer.lr=abc", r"model\.optimizer\.lr must be .*, got 'abc'"),
        ("model.optimizer.weight_decay=-1", r"model\.optimizer\.weight_decay .*, got -1"),
        ("model.label_smoothing=1.5", r"model\.label_smoothing must be .*, got 1\.5"),
        (
            "model.label_guidance=maybe",
            r"model\.label_guidance must be true, false, auto or evidence, got 'maybe'",
        ),
        ("model.monitor=val/blue4", r"model\.monitor must be one of .*val/bleu4.*, got val/blue4"),
        ("model.monitor=val_auroc/x", r"model\.monitor must be one of"),
        ("trainer.max_epochs=0", r"trainer\.max_epochs must be a positive integer"),
        ("trainer.max_epochs=-1", r"trainer\.max_epochs .*max_steps"),
        ("trainer.max_epochs=many", r"trainer\.max_epochs .*, got many"),
        ("trainer.limit_val_batches=0", r"trainer\.limit_val_batches must be above 0"),
        ("trainer.limit_train_batches=0.0", r"trainer\.limit_train_batches must be above 0"),
        ("trainer.log_every_n_steps=abc", r"trainer\.log_every_n_steps must be an integer"),
        ("trainer.check_val_every_n_epoch=0", r"trainer\.check_val_every_n_epoch must be"),
        ("trainer.deterministic=yes", r"trainer\.deterministic must be true or false or"),
        ("trainer.fast_dev_run=yes", r"trainer\.fast_dev_run must be"),
        ("trainer.gradient_clip_val=-1", r"trainer\.gradient_clip_val must be"),
        ("trainer.precision=fine", r"trainer\.precision must be one of .*got 'fine'"),
        ("+trainer.max_epoch=3", r"trainer\.max_epoch is no option \(did you mean 'max_epochs'"),
        ("encoder.image_size=abc", r"encoder\.image_size must be a positive integer"),
        ("encoder.allow_pickle=no", r"encoder\.allow_pickle must be true or false, got 'no'"),
        ("encoder.allow_leak=no", r"encoder\.allow_leak must be true or false"),
        ("encoder.trainable=yes", r"encoder\.trainable must be true or false"),
        ("model.optimizer.cosine=no", r"model\.optimizer\.cosine must be true or false"),
        ("+model.optimizer.betas=1", r"model\.optimizer\.betas is no option"),
        ("~model.optimizer.lr", r"model\.optimizer\.lr is not set"),
        ("model.embedding.trainable=no", r"model\.embedding\.trainable must be true or false"),
        ("model.embedding=null", r"model\.embedding must be a group"),
        ("model.architecture.rnn_size=abc", r"rnn_size must be an integer"),
        ("model.architecture.rnn_size=0", r"rnn_size"),
        ("model.architecture.dropout=2", r"dropout"),
        ("model.monitor_mode=best", r"model\.monitor_mode must be one of min, max"),
        ("+model.speed=1", r"model\.speed is no option"),
        ("~model.label_smoothing", r"model\.label_smoothing is not set"),
        ("model=chexnet,model.locator=no", r"model\.locator must be true or false"),
        ("model=chexnet,model.frozen_blocks=abc", r"model\.frozen_blocks must be"),
        ("model.architecture.rnn_size=1000000000000", r"rnn_size must be .* at most"),
        ("model.embedding.size=-1", r"model\.embedding\.size must be a positive integer"),
        ("model.architecture.name=[1]", r"model\.architecture\.name must be text"),
        ("~encoder.trainable", r"encoder\.trainable is not set"),
        ("~encoder.name", r"encoder\.name is not set"),
        ("data._target_=os.getcwd", r"data\.\w+ is no option; there are none here$"),
        ("encoder.name=[1]", r"encoder\.name must be text"),
        ("encoder.image_size=1000000", r"encoder\.image_size must be .* at most 4096"),
        ("trainer.devices=100000", r"trainer\.devices must be"),
        ("loader.workers=100000", r"loader\.workers must be"),
        ("loader.batch_size=0", r"loader\.batch_size must be a positive integer"),
        ("loader.batch_size=abc", r"loader\.batch_size must be an integer"),
        ("loader.batch_size=null", r"loader\.batch_size must be an integer"),
        ("+loader.shuffle=true", r"loader\.shuffle is no option"),
        ("text.max_tokens=abc", r"text\.max_tokens must be an integer"),
        ("data.seed=abc", r"data\.seed must be an integer"),
        ("data.strict=no", r"data\.strict must be true or false"),
        ("+data.sead=1", r"data\.sead is no option \(did you mean 'seed'"),
        ("data._target_=nothing.Here", r"data\._target_=nothing\.Here cannot be imported"),
        ("data=iu_xray", r"set data\.root on the command line"),
        ("callbacks.early_stopping.patience=abc", r"early_stopping\.patience must be an integer"),
        ("callbacks.checkpoint.save_top_k=abc", r"checkpoint\.save_top_k must be an integer"),
        ("callbacks.last._target_=os.nothing", r"callbacks\.last\._target_=os\.nothing cannot"),
        ("callbacks.last=5", r"callbacks\.last must be a group of options with a _target_"),
        ("callbacks.early_stopping.monitor=val/x", r"early_stopping\.monitor must be one of"),
        ("logger.save_dir=[1]", r"logger\.save_dir must be"),
        ("paths.runs_dir=null", r"paths\.runs_dir must be a path"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(XrayReportError, match=message) as caught:
        check_options(options(*override.split(",")))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    ["~loader", "text=null", "~encoder", "~trainer", "data=null", "model=5,~callbacks",
     "callbacks=5", "logger=5", "~seed", "+speed=1"],
)  # fmt: skip
def test_groups_must_be_there(override: str) -> None:
    first, *rest = override.split(",")
    name, _, value = first.lstrip("~+").partition("=")
    config: dict[str, Any] = OmegaConf.to_container(composed("train", *rest))  # type: ignore[assignment]
    if first.startswith("~"):
        del config[name]
    else:
        config[name] = None if value == "null" else value
    with pytest.raises(OptionError, match=name):
        check_groups(config)


@pytest.mark.parametrize("override", ["~logger", "~callbacks"])
def test_callbacks_and_the_logger_may_be_left_out(override: str) -> None:
    config = composed("train", override)
    check_groups(OmegaConf.to_container(config))
    check_options(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def test_the_scores_to_choose_from_are_those_that_are_logged() -> None:
    assert tuple(validation_scores([])) == SCORES
    assert {"val/facts_f1", "val/bleu4"} < set(MONITORS["report"])
