"""Which validation score picks the checkpoint with the best findings on the test split.

`python -m tests.benchmarks.selection [--seeds 0 1 2] [--json FILE] [OVERRIDE ...]`: a training a
seed, with the overrides given to train.py, keeps the best checkpoint by each of the scores. Each
of them is then evaluated on the test split once, greedy, and shown as the mean over the seeds; how
the test split scores picks nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from xray_report.files import replacing

ROOT = Path(__file__).parents[2]
SELECTORS = {"loss": "min", "bleu4": "max", "cider": "max", "findings_f1": "max", "facts_f1": "max"}
LAST = "last"
"""No choice at all: the checkpoint of the last epoch."""
TEST_SCORES = {
    "facts/f1": "fact F1",
    "findings/micro_f1": "findings F1",
    "clean/bleu4": "BLEU-4",
    "clean/cider": "CIDEr",
}

Scores = dict[str, float]


def keep(name: str, **how: str) -> str:
    """Override that adds a ModelCheckpoint to train.py's callbacks; it writes `name`.ckpt."""
    options = {
        "_target_": "pytorch_lightning.callbacks.ModelCheckpoint",
        "dirpath": "${paths.output_dir}/checkpoints",
        "filename": name,
        "save_weights_only": "true",
        "enable_version_counter": "false",
        **how,
    }
    return f"+callbacks.{name}={{{','.join(f'{k}:{v}' for k, v in options.items())}}}"


def run_script(script: str, *overrides: str) -> None:
    """Run train.py or evaluate.py; what it prints goes to stderr, a failure ends all."""
    command = [sys.executable, str(ROOT / script), *overrides]
    if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
        raise SystemExit(f"failed: {' '.join(command)}")


def train(seed: int, folder: Path, overrides: Sequence[str]) -> dict[str, Path]:
    """Train once to the end; the checkpoint that each score would have picked."""
    by_score = [keep(score, monitor=f"val/{score}", mode=mode) for score, mode in SELECTORS.items()]
    run_script(
        "train.py", f"seed={seed}", f"hydra.run.dir={folder}", "~callbacks.early_stopping",
        "~callbacks.checkpoint", *by_score, keep(LAST), *overrides,
    )  # fmt: skip
    return {score: folder / "checkpoints" / f"{score}.ckpt" for score in (*SELECTORS, LAST)}


def evaluate(checkpoint: Path, folder: Path) -> Scores:
    """Test scores of a checkpoint, greedy."""
    run_script(
        "evaluate.py", f"checkpoint={checkpoint}", f"hydra.run.dir={folder}", "split=test",
        "evaluation.image_baselines=false", "evaluation.page_studies=0", "evaluation.resamples=2",
    )  # fmt: skip
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {key: metrics[key] for key in TEST_SCORES}


def one_seed(seed: int, folder: Path, overrides: Sequence[str]) -> dict[str, Scores]:
    """Epoch and test scores of each score's pick; an epoch picked twice is evaluated once."""
    picks = train(seed, folder, overrides)
    epochs = {score: epoch_of(path) for score, path in picks.items()}
    by_epoch = {epoch: picks[score] for score, epoch in epochs.items()}
    tested = {epoch: evaluate(path, folder / f"test_{epoch}") for epoch, path in by_epoch.items()}
    return {score: {"epoch": float(epoch), **tested[epoch]} for score, epoch in epochs.items()}


def epoch_of(checkpoint: Path) -> int:
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True)["epoch"])


def summarise(seeds: Mapping[str, Mapping[str, Scores]]) -> dict[str, dict[str, float]]:
    """Mean and, for several seeds, standard deviation of each score's picks."""
    found: dict[str, dict[str, float]] = {}
    for score in (*SELECTORS, LAST):
        found[score] = {}
        for key in ("epoch", *TEST_SCORES):
            values = [one[score][key] for one in seeds.values()]
            found[score][key] = float(np.mean(values))
            found[score][f"{key}/std"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return found


def show(summary: Mapping[str, Mapping[str, float]]) -> None:
    titles = ("picked by", "epoch", *TEST_SCORES.values())
    table = Table(*titles, title="test scores, mean and sd over seeds", padding=0)
    for score, row in summary.items():
        cells = [f"{row[key]:.3f} ±{row[f'{key}/std']:.3f}" for key in TEST_SCORES]
        table.add_row(f"val/{score}" if score != LAST else score, f"{row['epoch']:.1f}", *cells)
    Console().print(table)


def experiment(seeds: Sequence[int], runs: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """All seeds, one after another, as plain numbers."""
    by_seed = {str(seed): one_seed(seed, runs / f"seed_{seed}", overrides) for seed in seeds}
    return {"overrides": list(overrides), "seeds": by_seed, "summary": summarise(by_seed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="for train.py, such as data.train=400")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/selection"), help="work folder")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    arguments = parser.parse_intermixed_args()
    result = experiment(arguments.seeds, arguments.runs.resolve(), arguments.overrides)
    show(result["summary"])
    if arguments.json:
        with replacing(arguments.json) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
