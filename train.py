"""Train a model: `python train.py model=attention`. All options: `python train.py --cfg job`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from xray_report import job

if __name__ in ("__main__", "__mp_main__"):
    job.catch_signals()  # before what takes its time to import

import hydra
import hydra.utils
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from xray_report.commands.runs import sweep_table


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> None:
    """Data set -> DataModule and LightningModule -> Trainer."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    job.refuse_ddp_sweep(HydraConfig.get(), OmegaConf.select(config, "trainer.strategy"))
    theirs = (HydraException, OmegaConfBaseException, MisconfigurationException)
    with job.job_errors(HydraConfig.get(), *theirs, cure=job.ALL_KEYS):
        train(config)


def train(config: DictConfig) -> None:
    """Train as `config` says; the best and the last checkpoint stay in the run folder."""
    import pytorch_lightning as pl

    from xray_report import assemble
    from xray_report.training.console import leave_out_needless
    from xray_report.training.options import check_groups, check_options
    from xray_report.training.resume import check_resumed, going_on, resumed_options
    from xray_report.training.summary import finish
    from xray_report.training.trainer import build_trainer, remove_torn

    started = time.perf_counter()
    leave_out_needless()
    check_groups(OmegaConf.to_container(config))
    options: Any = OmegaConf.to_container(config, resolve=True)
    if (resume := options["resume"]) is not None:
        options, changes = resumed_options(resume, options, HydraConfig.get().overrides.task)
        print(*changes, sep="\n", end="\n" if changes else "")
    check_options(options)
    remove_torn(options)
    pl.seed_everything(options["seed"], workers=True)
    logger, callbacks = built(options.get("logger") or None), built(options.get("callbacks") or {})
    folder = options["paths"]["output_dir"]
    trainer = build_trainer(options["trainer"], logger, callbacks.values(), folder)
    training = assemble.training(built(options["data"]), options, trainer.strategy.root_device)
    if resume is not None:
        check_resumed(training.module, resume)
    with going_on(resume):
        trainer.fit(training.module, training.datamodule, ckpt_path=resume)
    finish(trainer, training.module, training.datamodule, options, started)


def built(config: Any) -> Any:
    """What a part of the configuration names; its author is who typed the command."""
    trusted = getattr(hydra.utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)  # Hydra 1.4 asks
    asked = {} if trusted is None else {"_execution_whitelist_": trusted}
    try:
        return hydra.utils.instantiate(config, _convert_="all", **asked)
    except InstantiationException as error:  # a bug of ours keeps its traceback
        raise error.__cause__ or error  # noqa: B904


if __name__ == "__main__":
    OmegaConf.register_new_resolver("brief", job.brief)
    with job.program(Path(__file__).parent / "conf", sweep_table):
        main()
