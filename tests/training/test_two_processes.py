"""Validation in two processes gives the numbers of one."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from omegaconf import OmegaConf

from tests.test_config import composed
from tests.tiny_source import TinySource
from tests.training.test_report_module import options
from xray_report import assemble
from xray_report.metrics.evaluation import evaluate_texts
from xray_report.training.report_module import ReportModule

STUDIES = 9
"""Three batches of four: one of two processes is given a batch of the other's again."""


Run = Callable[[Path, int], dict[str, float]]


def trainer(folder: Path, devices: int) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto",
        use_distributed_sampler=False, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder,
    )  # fmt: skip


def validated(folder: Path, devices: int) -> dict[str, float]:
    """What the validation of an untrained model logs, and all scores of what it wrote."""
    pl.seed_everything(0)
    training = assemble.training(TinySource((8, STUDIES, 4)), options(folder))
    (logged,) = trainer(folder, devices).validate(
        training.module, training.datamodule, verbose=False
    )
    module = training.module
    assert isinstance(module, ReportModule)
    ids, hypotheses, truth, *_ = zip(*module.generated, strict=True)
    return {**logged, **evaluate_texts(ids, hypotheses, truth, resamples=20)}


def classified(folder: Path, devices: int) -> dict[str, float]:
    """What the validation of an untrained CheXNet logs."""
    pl.seed_everything(0)
    overrides = (
        "model=chexnet",
        "encoder.image_size=64",
        "loader.workers=0",
        "loader.batch_size=2",
    )
    config = OmegaConf.to_container(composed("train", *overrides), resolve=True)
    training = assemble.training(TinySource((8, 5, 4)), config)  # type: ignore[arg-type]
    (logged,) = trainer(folder, devices).validate(
        training.module, training.datamodule, verbose=False
    )
    assert {"val/loss", "val/label_loss", "val/region_loss"} <= logged.keys()
    return dict(logged)


def process(rank: int, port: int, folder: Path, results: Any, run: Run) -> None:
    """One of two processes that Lightning finds started from outside."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    os.environ.update(place, NODE_RANK="0", WORLD_SIZE="2", OMP_NUM_THREADS="1")
    results.put((rank, run(folder, 2)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def in_two_processes(folder: Path, run: Run) -> list[dict[str, float]]:
    """What each of two processes found."""
    context = multiprocessing.get_context("forkserver")  # imports for all four processes at once
    context.set_forkserver_preload([__name__])
    results, port = context.Queue(), free_port()
    started = [
        context.Process(target=process, args=(rank, port, folder, results, run))
        for rank in range(2)
    ]
    for one in started:
        one.start()
    both = dict(results.get(timeout=120) for _ in started)
    for one in started:
        one.join()
    return [both[0], both[1]]


def test_two_processes_validate_as_one(tmp_path: Path) -> None:
    alone = validated(tmp_path, 1)  # leaves the feature cache to the two
    assert alone["studies"] == STUDIES
    assert alone["val/loss"] > 1
    for found in in_two_processes(tmp_path, validated):
        assert found == pytest.approx(alone)


def test_two_processes_classify_as_one(tmp_path: Path) -> None:
    """Five studies in batches of two: shares are unequal, and one batch is repeated."""
    alone = classified(tmp_path, 1)
    assert 0 < alone["val/auroc"] < 1
    for found in in_two_processes(tmp_path, classified):
        assert found == pytest.approx(alone, abs=1e-6)
