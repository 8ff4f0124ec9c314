"""Evaluate a trained model: `python evaluate.py decode=beam beam_width=5`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hydra
import hydra.utils
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from xray_report.errors import CheckpointError, OptionError, job_errors, one_line_errors


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Checkpoint -> generator -> scores."""
    with job_errors(HydraConfig.get()):
        evaluate(config)


def evaluate(config: DictConfig) -> None:
    """Decode a split with a checkpoint, write its scores to the run folder and print them."""
    from xray_report.evaluation import run
    from xray_report.evaluation.page import write_evaluation_page
    from xray_report.evaluation.tables import print_metrics
    from xray_report.inference.checkpoint import chosen_checkpoints, load_checkpoint

    if missing := OmegaConf.missing_keys(config):
        raise OptionError(f"set {', '.join(sorted(missing))} on the command line")
    options = run.evaluation_options(OmegaConf.to_container(config.evaluation, resolve=True))
    search = built(config.decode)
    given = OmegaConf.to_container(config)["checkpoint"]
    paths = chosen_checkpoints(given, config.paths.runs_dir)
    print(f"checkpoint: {', '.join(map(str, paths))}")
    checkpoints = [load_checkpoint(path) for path in paths]
    source = built(config.get("data") or data_of_run(paths[0]))
    data = run.data_of(checkpoints[0], source, options)
    module, trainer = run.module_of(checkpoints, search), run.evaluation_trainer(options)
    decoded = run.decode(trainer, module, data, options)
    if not trainer.is_global_zero:
        return
    metrics = run.score(decoded, data, options)
    name, note = run.system_name(checkpoints[0], options), run.data_note(data.source)
    folder = Path(config.paths.output_dir)
    run.write(folder, metrics, decoded, note)
    write_evaluation_page(
        folder / "report.html", name, options.split, metrics, decoded, module.generator(),
        note=note, most=options.page_studies,
    )  # fmt: skip
    print_metrics(metrics, system=name, note=note)  # last: a reader may have closed the pipe
    print(f"written to {folder}: metrics.json, reports.jsonl, report.html")


def data_of_run(checkpoint: Path) -> DictConfig:
    """The data set of the run that a checkpoint lies in, from the run's saved configuration."""
    from xray_report.inference.checkpoint import RUN_CONFIG, run_folder

    saved = run_folder(checkpoint) / RUN_CONFIG
    if not saved.is_file():
        raise CheckpointError(
            f"{checkpoint} lies outside its run folder (no {saved}): "
            "name the data set to evaluate on, such as data=phantom"
        )
    return OmegaConf.load(saved).data


def built(config: Any) -> Any:
    """What a part of the configuration names; its author is who typed the command."""
    trusted = getattr(hydra.utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)  # Hydra 1.4 asks
    asked = {} if trusted is None else {"_execution_whitelist_": trusted}
    return hydra.utils.instantiate(config, _convert_="all", **asked)


if __name__ == "__main__":
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raise, so that we say it in one line
    with one_line_errors(hydra.errors.HydraException, cure="; `--cfg job` shows all keys"):
        main()
