"""Tests run in two processes of one thread each; `gpu` ones where there is a CUDA device."""

from __future__ import annotations

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before anything imports PyTorch, which reads it
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from xray_report import job


@pytest.fixture(autouse=True)
def nobody_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that stops a training in this process leaves no word of it to the next."""
    monkeypatch.setattr(job, "_stop", [])
    monkeypatch.setattr(job, "_checkpoints", [])


LONG = ("decoders", "imports", "job", "onnx", "programs", "rewards", "tune", "two_processes")
"""Test files that take longest come first, so that no process is left with one in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in LONG)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch  # takes seconds: pytest itself, whose workers run the tests, needs none of it

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
