"""Callbacks: the best checkpoint, the study of a trial, sample reports, attention pictures."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn

from xray_report.errors import CheckpointError, OptionError, one_line
from xray_report.files import replacing
from xray_report.inference.attention_picture import overlay, words_to_draw
from xray_report.inference.checkpoint import read_file
from xray_report.options import check_count
from xray_report.training.loggers import show_picture, show_table, shows_pictures
from xray_report.training.report_module import ReportModule

if TYPE_CHECKING:
    import optuna


class BestCheckpoint(ModelCheckpoint):
    """`ModelCheckpoint` that takes the best checkpoints of an interrupted run along.

    A resumed run has a folder of its own. Lightning then forgets how good the best was, so that
    a worse one would become the new run's best.
    """

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Where training is resumed, copy the best checkpoints here and go on from their scores.

        Raises `CheckpointError` if one of them is damaged.
        """
        states, key = checkpoint["callbacks"], self.state_key
        if key not in states or states[key]["dirpath"] == self.dirpath:
            return
        if trainer.state.fn != TrainerFn.FITTING:  # the best is only validated
            states[key] = self.state_dict()
            return
        assert trainer.ckpt_path is not None
        assert self.dirpath is not None
        kept_then = states[key]["best_k_models"]
        found = existing(kept_then, Path(trainer.ckpt_path).parent)
        for name in kept_then.keys() - found.keys():
            print(f"note: the best checkpoint {name} is gone; its score is forgotten")
        here = {name: Path(self.dirpath) / path.name for name, path in found.items()}
        if trainer.is_global_zero:
            for name, path in found.items():
                check_copied(path)
                with replacing(here[name]) as temporary:
                    shutil.copyfile(path, temporary)
        kept = moved(states[key], {name: str(path) for name, path in here.items()})
        states[key] = {**kept, "dirpath": self.dirpath}


def check_copied(path: Path) -> None:
    """Raise `CheckpointError`, saying what can be done, unless a best checkpoint is whole."""
    try:
        read_file(path)
    except CheckpointError as error:
        raise CheckpointError(
            f"resume: {error}; or delete it, and the best of the epochs to come is kept"
        ) from error


def existing(names: Iterable[str], folder: Path) -> dict[str, Path]:
    """Where checkpoints are: where they were saved or, if the run was moved, in `folder`."""
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


# A trial of `xray-report tune`.

TRIAL = "XRAY_REPORT_TRIAL"
"""Environment variable with the arguments of `ReportToStudy` as JSON. A storage's password must
not come into the configuration, which checkpoints keep."""


class ReportToStudy(pl.Callback):
    """Tells a study the validation score of each epoch, and ends a trial that falls behind.

    If the process that began the trial dies, the training saves and ends as by SIGTERM, since the
    trial is taken up by another.

    Args:
        storage: as of `open_storage`.
        study: its name.
        number: of the trial.
        monitor: the score.
        pruner: as of `pruner_of`.
        parent: id of the process that began this one.
    """

    def __init__(
        self,
        storage: str,
        study: str,
        number: int,
        monitor: str,
        pruner: Mapping[str, Any],
        parent: int,
    ) -> None:
        self.storage, self.study, self.number = storage, study, number
        self.monitor, self.pruner, self.parent = monitor, pruner, parent
        self._trial: optuna.Trial | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the trial."""
        import optuna

        if trainer.is_global_zero:
            study = optuna.load_study(
                study_name=self.study,
                storage=open_storage(self.storage),
                pruner=pruner_of(self.pruner),
            )
            found = study.get_trials(deepcopy=False)
            trial_id = next(one._trial_id for one in found if one.number == self.number)
            self._trial = optuna.Trial(study, trial_id)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any, **__: Any
    ) -> None:
        """End with the process that began this one."""
        if trainer.is_global_zero and os.name == "posix" and os.getppid() != self.parent:
            self.parent = os.getppid()
            os.kill(os.getpid(), signal.SIGTERM)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the score; all processes end, with exit code 0, if the study prunes the trial."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking:
            return
        ends = self._trial is not None and self._told(self._trial, trainer)
        if trainer.strategy.reduce_boolean_decision(ends, all=False):
            raise SystemExit(0)

    def _told(self, trial: optuna.Trial, trainer: pl.Trainer) -> bool:
        """Tell the score of this epoch; whether the trial is to end."""
        from optuna.exceptions import UpdateFinishedTrialError

        if self.monitor not in trainer.callback_metrics:
            raise OptionError(f"monitor: this training logs no {self.monitor}")
        epoch = trainer.current_epoch
        try:
            if epoch not in trial.storage.get_trial(trial._trial_id).intermediate_values:
                trial.report(float(trainer.callback_metrics[self.monitor]), epoch)
            if not trial.should_prune():
                return False
            trial.set_user_attr("pruned", epoch + 1)
            print(f"pruned after epoch {epoch + 1}: {self.monitor} falls behind other trials")
        except UpdateFinishedTrialError:
            print("ended: another process has taken this trial up")
        return True


def without_password(text: str) -> str:
    """A text with what stands before the host of each URL left out."""
    return re.sub(r"://[^/@\s]*@", "://...@", text)


def open_storage(place: str) -> optuna.storages.BaseStorage:
    """Where a study is kept. Raises `OptionError` where nothing can be kept there.

    Args:
        place: a database's URL, or the path of a journal file.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if "://" in place:
            return optuna.storages.get_storage(place)
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(place))
    except Exception as error:  # of whichever driver a URL asks for
        said = f"storage: {place} cannot be used: {one_line(error)}"
        raise OptionError(without_password(said)) from error


def pruner_of(options: Mapping[str, Any]) -> optuna.pruners.BasePruner:
    """The pruner that a search file names.

    Args:
        options: `name`, `median` or `none`; `startup`, trials that end before any is pruned;
            `warmup`, epochs that each trial has.
    """
    import optuna

    if options["name"] == "none":
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(options["startup"], options["warmup"])


# Callbacks that write to TensorBoard and whatever else shows tables and pictures.


class SampleReports(pl.Callback):
    """Writes a few validation reports beside their references as text, after each validation.

    Those of all processes, which the module gathers when an epoch of validation ends.

    Args:
        studies: how many; the first by study id, so that they are the same every time.
    """

    def __init__(self, studies: int = 5) -> None:
        self.studies = check_count("callbacks.sample_reports.studies", studies, 0)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write one table."""
        if not isinstance(pl_module, ReportModule):
            return
        shown = sorted(pl_module.generated)[: self.studies]
        rows = [(one.study_id, one.hypothesis, one.reference) for one in shown]
        show_table(trainer, "samples/reports", ("study", "generated", "reference"), rows)


class AttentionPictures(pl.Callback):
    """Draws the attention of the words that name findings over the image pairs, in the end.

    Args:
        studies: how many validation studies.
        words: how many words of each; where fewer name a finding, others of narrow attention.
    """

    def __init__(self, studies: int = 4, words: int = 3) -> None:
        self.studies = check_count("callbacks.attention_pictures.studies", studies, 0)
        self.words = check_count("callbacks.attention_pictures.words", words, 0)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Decode a few studies with attention and draw them."""
        if not shows_pictures(trainer) or not isinstance(pl_module, ReportModule):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        batch = pl_module.transfer_batch_to_device(data.sample(self.studies), pl_module.device, 0)
        search = replace(pl_module.greedy, return_attention=True)
        pl_module.eval()
        with torch.inference_mode():
            features = pl_module.features(batch)
            ranked = search(pl_module.model.decoder, features, batch.view_mask)
        for study_id, hypotheses, images in zip(
            batch.study_ids, ranked, data.pictures(self.studies), strict=True
        ):
            words = pl_module.tokenizer.pieces(hypotheses[0].token_ids)
            if not hypotheses[0].attention:
                continue
            attention = torch.tensor(hypotheses[0].attention)
            for at in words_to_draw(words, attention.numpy(), self.words):
                weights = attention[at].view(*features.shape[1:2], *features.shape[-2:])
                picture = overlay(images, weights, f"{at}: {words[at]}")
                show_picture(trainer, f"attention/{study_id}/{at:02d}_{words[at]}", picture)
