"""What a run refuses before any data are read."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.test_config import choices, composed
from xray_report.errors import XrayReportError
from xray_report.training.options import MONITORS, check_options
from xray_report.training.report_module import SCORES, validation_scores


def options(*overrides: str) -> dict[str, Any]:
    return OmegaConf.to_container(composed("train", *overrides), resolve=True)  # type: ignore[return-value]


@pytest.mark.parametrize("model", choices("model"))
def test_the_defaults_are_accepted(model: str) -> None:
    check_options(options(f"model={model}"))


@pytest.mark.parametrize(
    "experiment", [name for name in choices("experiment") if name != "memorise"]
)
def test_the_experiments_are_accepted(experiment: str) -> None:
    check_options(options(f"experiment={experiment}"))


@pytest.mark.parametrize(
    "override",
    ["trainer.max_epochs=null", "~trainer.max_epochs", "trainer.max_epochs=-1,+trainer.max_steps=2",
     "model.monitor=train/loss", "model=chexnet,model.monitor=val_auroc/nodule",
     "trainer.limit_val_batches=2"],
)  # fmt: skip
def test_unusual_options_are_accepted(override: str) -> None:
    check_options(options(*override.split(",")))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=-1", "seed must be an integer .*, got -1"),
        ("seed=4294967296", "seed must be"),
        ("seed=one", "seed must be .*, got one"),
        ("resume=nothing.ckpt", r"resume: there is no checkpoint nothing\.ckpt; give"),
        ("model.optimizer.lr=abc", r"model\.optimizer\.lr must be .*, got 'abc'"),
        ("model.optimizer.weight_decay=-1", r"model\.optimizer\.weight_decay .*, got -1"),
        ("model.label_smoothing=1.5", r"model\.label_smoothing must be .*, got 1\.5"),
        ("model.monitor=val/blue4", r"model\.monitor must be one of .*val/bleu4.*, got val/blue4"),
        ("model.monitor=val_auroc/x", r"model\.monitor must be one of"),
        ("trainer.max_epochs=0", r"trainer\.max_epochs must be a positive integer"),
        ("trainer.max_epochs=-1", r"trainer\.max_epochs .*max_steps"),
        ("trainer.max_epochs=many", r"trainer\.max_epochs .*, got many"),
        ("trainer.limit_val_batches=0", r"trainer\.limit_val_batches must be above 0"),
        ("trainer.limit_train_batches=0.0", r"trainer\.limit_train_batches must be above 0"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(XrayReportError, match=message):
        check_options(options(override))


def test_the_scores_to_choose_from_are_those_that_are_logged() -> None:
    assert tuple(validation_scores([])) == SCORES
    assert {"val/facts_f1", "val/bleu4"} < set(MONITORS["report"])
