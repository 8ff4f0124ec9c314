"""Validation in two processes gives the numbers of one."""

from __future__ import annotations

import multiprocessing
import os
import socket
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

from tests.tiny_source import TinySource
from tests.training.test_report_module import options
from xray_report import assemble
from xray_report.metrics.evaluation import evaluate_texts
from xray_report.training.report_module import ReportModule

STUDIES = 9
"""Three batches of four: one of two processes is given a batch of the other's again."""


def validated(folder: Path, devices: int) -> dict[str, float]:
    """What the validation of an untrained model logs, and all scores of what it wrote."""
    pl.seed_everything(0)
    training = assemble.training(TinySource((8, STUDIES, 4)), options(folder))
    trainer = pl.Trainer(
        accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto",
        use_distributed_sampler=False, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder,
    )  # fmt: skip
    (logged,) = trainer.validate(training.module, training.datamodule, verbose=False)
    module = training.module
    assert isinstance(module, ReportModule)
    ids, told, truth, *_ = zip(*module.generated, strict=True)
    return {**logged, **evaluate_texts(ids, told, truth, resamples=20)}


def process(rank: int, port: int, folder: Path, results: Any) -> None:
    """One of two processes that Lightning finds started from outside."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
    os.environ.update(place, NODE_RANK="0", WORLD_SIZE="2", OMP_NUM_THREADS="1")
    results.put((rank, validated(folder, 2)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_validate_as_one(tmp_path: Path) -> None:
    alone = validated(tmp_path, 1)  # leaves the feature cache to the two
    context = multiprocessing.get_context("spawn")
    results, port = context.Queue(), free_port()
    started = [
        context.Process(target=process, args=(rank, port, tmp_path, results)) for rank in range(2)
    ]
    for one in started:
        one.start()
    both = dict(results.get(timeout=120) for _ in started)
    for one in started:
        one.join()
    assert alone["studies"] == STUDIES
    assert alone["val/loss"] > 1
    assert both[0] == pytest.approx(alone)
    assert both[1] == pytest.approx(alone)
