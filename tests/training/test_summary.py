from __future__ import annotations

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from tests.training.test_options import options
from tests.training.test_report_module import fit
from xray_report.training.report_module import ReportModule
from xray_report.training.summary import chosen, closing_words, kept_best, log_final_scores


def test_what_is_compared_is_what_one_chooses(tmp_path: Path) -> None:
    _, training = fit(tmp_path)
    found = chosen(options("seed=3", "encoder.weights=imagenet"), training.module)
    assert found.pop("parameters") > 1000
    assert found == {
        "model": "attention", "lr": 1.7e-3, "batch_size": 8, "data": "PhantomSource",
        "encoder": "densenet121", "weights": "imagenet", "training": "cross_entropy", "seed": 3,
    }  # fmt: skip


def test_scores_that_nothing_would_keep_are_not_made(tmp_path: Path) -> None:
    _, training = fit(tmp_path)
    assert isinstance(training.module, ReportModule)
    training.module.generated = []
    trainer = pl.Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    log_final_scores(trainer, training.module, [], options(f"paths.output_dir={tmp_path}"))
    assert training.module.generated == []  # nothing was validated
    assert not (tmp_path / "final.json").exists()


@pytest.mark.parametrize("model", ["attention", "chexnet"])
def test_the_closing_words_name_the_best_checkpoint_and_what_to_do_next(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = options(f"model={model}", "paths.runs_dir=all")
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    assert kept_best(trainer) is None
    assert closing_words(trainer, given) == ["no checkpoint was kept"]
    best = trainer.checkpoint_callback
    assert isinstance(best, ModelCheckpoint)
    path = tmp_path / "run" / "best.ckpt"
    path.parent.mkdir()
    scores = {"val/loss": 1.5, "val/bleu4": 0.25, "train/loss": 1.25}
    torch.save({"epoch": 6, "xray_report": {"scores": scores}}, path)
    best.monitor, best.best_model_path = "val/bleu4", str(path)
    best.best_model_score = torch.tensor(0.25)
    assert kept_best(trainer) is best
    scored, where, _, first, *others = closing_words(trainer, given)
    assert scored == "best epoch 7, validation: bleu4 0.250, loss 1.500"
    assert where == f"best checkpoint: {Path('run') / 'best.ckpt'}"
    program = {"attention": "evaluate.py checkpoint", "chexnet": "train.py model=attention"}[model]
    assert first.startswith(f"  python {program}")
    assert first.endswith("=run/best.ckpt")
    assert len(others) == 2
    assert others[-1] == "  xray-report runs all"  # TensorBoard's where it is logged to
