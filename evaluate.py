"""Evaluate a trained model: `python evaluate.py decode=beam beam_width=5`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from xray_report import __version__, job
from xray_report.commands.runs import evaluation_table

if __name__ in ("__main__", "__mp_main__"):
    job.catch_signals()  # before what takes its time to import

import hydra.utils
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    """Checkpoint -> generator -> scores."""
    theirs = (HydraException, OmegaConfBaseException)
    with job.job_errors(HydraConfig.get(), *theirs, cure=job.ALL_KEYS):
        evaluate(config)


def evaluate(config: DictConfig) -> None:
    """Decode a split with a checkpoint, write its scores to the run folder and print them."""
    from xray_report.evaluation import run, tables
    from xray_report.evaluation.page import write_evaluation_page
    from xray_report.files import short
    from xray_report.inference.checkpoint import chosen_checkpoints, load_checkpoint
    from xray_report.training.console import leave_out_needless
    from xray_report.training.trainer import remove_torn

    leave_out_needless()
    run.check_groups(OmegaConf.to_container(config))
    given: Any = OmegaConf.to_container(config, resolve=True)
    options = run.checked_options(given)
    remove_torn(given)
    search, changes = built(given["decode"]), given.get("data") or {}
    paths = chosen_checkpoints(given["checkpoint"], given["paths"]["runs_dir"])
    print(f"checkpoint: {', '.join(map(str, paths))}")
    checkpoints, own = [load_checkpoint(path) for path in paths], "_target_" not in changes
    source = run.source_of(checkpoints[0], changes, options) if own else built(changes)
    data = run.data_of(checkpoints[0], source, options)
    run.check_split(checkpoints, data, options)
    search = run.with_reports(search, checkpoints, data, options.split)
    module, trainer = run.module_of(checkpoints, search), run.evaluation_trainer(options)
    decoded = run.decode(trainer, module, data, options)
    if not trainer.is_global_zero:
        return
    metrics = run.score(decoded, data, options)
    name, note = run.system_name(checkpoints[0], options), run.said_note(checkpoints, source)
    about = run.record(checkpoints, data.source, given, options, __version__)
    folder = Path(given["paths"]["output_dir"])
    run.write(folder, metrics, decoded, about, note)
    page, generator = folder / "report.html", module.generator()
    write_evaluation_page(page, name, options, metrics, decoded, generator, about, note=note)
    tables.print_metrics(metrics, system=name, note=note, verbose=given.get("verbose", False))
    print(tables.in_one_sentence(metrics, options.split, short(folder)))


def built(config: Any) -> Any:
    """What a part of the configuration names; its author is who typed the command."""
    trusted = getattr(hydra.utils, "UNSAFE_DISABLE_EXECUTION_CHECKS", None)  # Hydra 1.4 asks
    asked = {} if trusted is None else {"_execution_whitelist_": trusted}
    try:
        return hydra.utils.instantiate(config, _convert_="all", **asked)
    except InstantiationException as error:  # a bug of ours keeps its traceback
        raise error.__cause__ or error  # noqa: B904


if __name__ == "__main__":
    sys.argv[1:] = job.data_changes(sys.argv[1:])
    with job.program(Path(__file__).parent / "conf", evaluation_table):
        main()
