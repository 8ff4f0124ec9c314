"""Evaluate a trained model: `python evaluate.py decode=beam beam_width=5`."""

from __future__ import annotations

import os
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from xray_report.errors import CheckpointError, OptionError, job_errors, one_line_errors


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Checkpoint -> generator -> scores."""
    from xray_report.evaluation.processes import joined

    with job_errors(HydraConfig.get()), joined():
        evaluate(config)


def evaluate(config: DictConfig) -> None:
    """Decode a split with a checkpoint, write its scores to the run folder and print them."""
    from hydra.utils import instantiate

    from xray_report.evaluation import run
    from xray_report.evaluation.page import write_evaluation_page
    from xray_report.evaluation.processes import is_first
    from xray_report.evaluation.run import evaluation_options
    from xray_report.inference.checkpoint import chosen_checkpoints, joint_decoder, load_checkpoint
    from xray_report.inference.generator import ReportGenerator
    from xray_report.metrics.table import print_metrics

    if missing := OmegaConf.missing_keys(config):
        raise OptionError(f"set {', '.join(sorted(missing))} on the command line")
    options = evaluation_options(OmegaConf.to_container(config.evaluation, resolve=True))
    search = instantiate(config.decode, _convert_="all")
    given = OmegaConf.to_container(config)["checkpoint"]
    paths = chosen_checkpoints(given, config.paths.runs_dir)
    print(f"checkpoint: {', '.join(map(str, paths))}")
    checkpoints = [load_checkpoint(path, options.torch_device) for path in paths]
    checkpoint, decoder = checkpoints[0], joint_decoder(checkpoints)
    source = instantiate(config.get("data") or data_of_run(paths[0]), _convert_="all")
    data = run.data_of(checkpoint, source, options)
    generator = ReportGenerator(checkpoint.model.encoder, decoder, checkpoint.vocabulary, search)
    decoded = run.decode(generator, data, options)
    if not is_first():
        return
    metrics = run.score(decoded, data, options)
    name, note = run.system_name(checkpoint, options), run.data_note(data.source)
    folder = Path(config.paths.output_dir)
    run.write(folder, metrics, decoded, note)
    write_evaluation_page(
        folder / "report.html", name, options.split, metrics, decoded, generator,
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


if __name__ == "__main__":
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raise, so that we say it in one line
    with one_line_errors(hydra.errors.HydraException, cure="; `--cfg job` shows all keys"):
        main()
