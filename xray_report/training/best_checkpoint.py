"""Keeping the best checkpoint, also of the run that a run goes on from."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn

from xray_report.files import replacing


class BestCheckpoint(ModelCheckpoint):
    """`ModelCheckpoint` that takes the best checkpoints of an interrupted run along.

    A resumed run has a folder of its own. Lightning then forgets how good the best was, so that
    a worse one would become the new run's best.
    """

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Where training is resumed, copy the best checkpoints here and go on from their scores."""
        states, key = checkpoint["callbacks"], self.state_key
        if key not in states or states[key]["dirpath"] == self.dirpath:
            return
        if trainer.state.fn != TrainerFn.FITTING:  # a copied best is only looked at
            states[key] = self.state_dict()
            return
        assert trainer.ckpt_path is not None
        assert self.dirpath is not None
        found = lying(states[key]["best_k_models"], Path(trainer.ckpt_path).parent)
        here = {name: Path(self.dirpath) / path.name for name, path in found.items()}
        if trainer.is_global_zero:
            for name, path in found.items():
                with replacing(here[name]) as temporary:
                    shutil.copyfile(path, temporary)
        kept = moved(states[key], {name: str(path) for name, path in here.items()})
        states[key] = {**kept, "dirpath": self.dirpath}


def lying(names: Iterable[str], folder: Path) -> dict[str, Path]:
    """Where checkpoints lie: where they were saved or, if the run was moved, in `folder`."""
    found = {}
    for name in names:
        places = [path for path in (Path(name), folder / Path(name).name) if path.is_file()]
        if places:
            found[name] = places[0]
    return found


def moved(state: Mapping[str, Any], here: Mapping[str, str]) -> dict[str, Any]:
    """State of a `ModelCheckpoint` whose best checkpoints are now `here`; others are forgotten."""
    scores = {here[name]: score for name, score in state["best_k_models"].items() if name in here}
    best = here.get(state["best_model_path"], "")
    return {
        **state,
        "best_k_models": scores,
        "best_model_path": best,
        "best_model_score": scores.get(best),
        "kth_best_model_path": here.get(state["kth_best_model_path"], ""),
        "last_model_path": "",
    }
