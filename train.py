"""Train a model: `python train.py model=attention`. All options: `python train.py --cfg job`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hydra
import hydra.utils
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from xray_report.errors import OptionError, job_errors, one_line_errors

CURE = "; `--cfg job` shows all keys"


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> None:
    """Data set -> DataModule and LightningModule -> Trainer."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    with one_line_errors():
        refuse_ddp_sweeps(config)
    with job_errors(HydraConfig.get(), HydraException, MisconfigurationException, cure=CURE):
        train(config)


def train(config: DictConfig) -> None:
    """Train as `config` says; the best and the last checkpoint stay in the run folder."""
    import pytorch_lightning as pl

    from xray_report import assemble
    from xray_report.training import summary
    from xray_report.training.options import check_options
    from xray_report.training.trainer import build_trainer

    if missing := OmegaConf.missing_keys(config):
        raise OptionError(f"set {', '.join(sorted(missing))} on the command line")
    options = OmegaConf.to_container(config, resolve=True)
    check_options(options)
    pl.seed_everything(options["seed"], workers=True)
    logger, callbacks = built(config.get("logger")), built(config.get("callbacks") or {})
    trainer = build_trainer(options["trainer"], logger, callbacks.values())
    device = trainer.strategy.root_device
    training = assemble.training(built(config.data), options, device)
    trainer.fit(training.module, training.datamodule, ckpt_path=options["resume"])
    if options["trainer"]["fast_dev_run"]:
        return
    best, kind = summary.kept_best(trainer), options["model"]["kind"]
    if best and kind == "chexnet":
        path = Path(options["paths"]["output_dir"]) / "auroc.json"
        summary.score_classifier(trainer, training.module, training.datamodule, path)
    elif best and kind == "report":
        texts = training.datamodule.references("train")
        summary.log_final_scores(trainer, training.module, texts, options)
    if trainer.is_global_zero:
        print(summary.closing_words(trainer))


def built(config: Any) -> Any:
    """What a part of the configuration names; its author is who typed the command."""
    trusted = getattr(hydra.utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)  # Hydra 1.4 asks
    asked = {} if trusted is None else {"_execution_whitelist_": trusted}
    return hydra.utils.instantiate(config, _convert_="all", **asked)


def refuse_ddp_sweeps(config: DictConfig) -> None:
    """Hydra's sweeper would start again on every rank of a ddp strategy."""
    sweeping = HydraConfig.get().mode.name == "MULTIRUN"
    if sweeping and str(config.trainer.strategy).startswith("ddp"):
        raise OptionError("a sweep (-m) cannot use trainer.strategy=ddp: run each job by itself")


if __name__ == "__main__":
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raise, so that we say it in one line
    with one_line_errors(HydraException, cure=CURE):
        main()
