"""Train a model: `python train.py model=attention`. All options: `python train.py --cfg job`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from xray_report.errors import OptionError, one_line_errors


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> None:
    """Data set -> DataModule and LightningModule -> Trainer."""
    with one_line_errors():
        refuse_ddp_sweeps(config)
        train(config)


def train(config: DictConfig) -> None:
    """Train as `config` says; the best and the last checkpoint stay in the run folder."""
    import pytorch_lightning as pl
    from hydra.utils import instantiate

    from xray_report import assemble
    from xray_report.training import summary

    if missing := OmegaConf.missing_keys(config):
        raise OptionError(f"set {', '.join(sorted(missing))} on the command line")
    options = OmegaConf.to_container(config, resolve=True)
    pl.seed_everything(options["seed"], workers=True)
    training = assemble.training(instantiate(config.data, _convert_="all"), options)
    trainer = pl.Trainer(
        **options["trainer"],
        logger=instantiate(config.logger, _convert_="all"),
        callbacks=list(instantiate(config.callbacks, _convert_="all").values()),
    )
    trainer.fit(training.module, training.datamodule, ckpt_path=options["resume"])
    if options["trainer"]["fast_dev_run"]:
        return
    if options["model"]["kind"] == "chexnet":
        test_classifier(trainer, training, Path(options["paths"]["output_dir"]))
    else:
        texts = training.datamodule.references("train")
        summary.log_final_scores(trainer, training.module, texts, options)
    print(summary.closing_words(trainer))


def test_classifier(trainer: Any, training: Any, folder: Path) -> None:
    """Test the best CheXNet where the data set has a test split; write auroc.json."""
    from xray_report.training.summary import write_aurocs

    if training.datamodule.split("test"):
        trainer.test(training.module, training.datamodule, ckpt_path="best", verbose=False)
        write_aurocs(folder / "auroc.json", training.module.test_aurocs)


def refuse_ddp_sweeps(config: DictConfig) -> None:
    """Hydra's sweeper would start again on every rank of a ddp strategy."""
    from hydra.core.hydra_config import HydraConfig

    sweeping = HydraConfig.get().mode.name == "MULTIRUN"
    if sweeping and str(config.trainer.strategy).startswith("ddp"):
        raise OptionError("a sweep (-m) cannot use trainer.strategy=ddp: run each job by itself")


if __name__ == "__main__":
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raise, so that we say it in one line
    with one_line_errors(HydraException, cure="; `--cfg job` shows all keys"):
        main()
