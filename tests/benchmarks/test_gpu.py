"""The GPU's benchmark, at a size that a processor does in seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks.gpu import GPT2, Scale, run
from tests.benchmarks.training_bound import Sizes

TINY = Scale(
    images=1, side=32, sizes=Sizes(2, 3, 16, 8, 20, 8), studies=2, length=3, rounds=1,
    seconds=0.0, compile=False,
)  # fmt: skip


FIRST = {"training, words/s": "attention, compiled", "beam 5, reports/s": "attention"}


def check(found: dict[str, Any]) -> None:
    for name, ours in FIRST.items():
        for precision in ("float32", "bfloat16"):
            part = found[f"{name}, {precision}"]
            assert part[ours] > 0
            ratio = part["transformer"] / part[GPT2]
            assert part[f"transformer over {GPT2}"] == pytest.approx(ratio)
    encoder = found["encoder, images/s"]
    assert all(value > 0 for value in encoder.values())
    assert {"ours, float16", "ours, bfloat16, to the card and back"} <= encoder.keys()


def test_everything_is_measured() -> None:
    pytest.importorskip("transformers")
    found = run("cpu", TINY)
    assert found["torch"] == torch.__version__
    check(found)


@pytest.mark.gpu
def test_everything_is_measured_on_a_gpu() -> None:
    pytest.importorskip("transformers")
    found = run("cuda", TINY)
    assert found["card"] == torch.cuda.get_device_name()
    check(found)


def test_without_transformers_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.gpu.gpt2_is_there", lambda: False)
    found = run("cpu", TINY)["beam 5, reports/s, float32"]
    assert found.keys() == {"attention", "transformer"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_one_line_says_so() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "gpu"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "gpu: no CUDA device"
