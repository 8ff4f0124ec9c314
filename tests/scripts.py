"""Running train.py and evaluate.py as a user does."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SMALL = (
    "data.train=12", "data.val=6", "data.test=6", "data.image_size=224", "encoder.image_size=224",
    "trainer.max_epochs=15", "loader.batch_size=4", "loader.workers=0",
    "callbacks.progress.refresh_rate=0",
    "trainer.log_every_n_steps=1",
)  # fmt: skip

TINY = (
    "data.train=6", "data.val=2", "data.test=2", "data.image_size=64", "encoder.image_size=64",
    "encoder.weights=random", "trainer.max_epochs=2", "loader.batch_size=4", "loader.workers=0",
    "model.architecture.compile=false", "trainer.accelerator=cpu",
    "callbacks.progress.refresh_rate=0", "trainer.log_every_n_steps=1",
)  # fmt: skip
"""Seconds, not minutes: says nothing of quality."""


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return self.out + self.err


def command(script: str, *arguments: str, folder: Path, seconds: float = 1800) -> Done:
    """Run a script as its own process in `folder`; it is ended after so many seconds."""
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *arguments],
        cwd=folder, capture_output=True, text=True, timeout=seconds,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


def forked(script: str | Path, *arguments: str, folder: Path, seconds: float = 300) -> Done:
    """As `command`, without the seconds that each process takes to import the libraries.

    The script runs as `__main__` in a process of its own, but one that finds them imported.
    """
    if sys.platform != "linux":  # elsewhere a fork of them is not safe
        return command(str(script), *arguments, folder=folder, seconds=seconds)
    request = {
        "argv": [str(ROOT / script), *arguments], "folder": str(folder), "seconds": seconds,
        "environment": {**os.environ, "PYTHONPATH": str(ROOT)},
    }  # fmt: skip
    server = _fork_server()
    assert server.stdin is not None
    assert server.stdout is not None
    print(json.dumps(request), file=server.stdin, flush=True)
    return Done(**json.loads(server.stdout.readline()))


@functools.cache
def _fork_server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server"], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    atexit.register(server.communicate)  # it ends with its requests
    return server


def expect(done: Done, *parts: str) -> None:
    """One clear line that names the culprit and the cure; no traceback."""
    assert done.code in (1, 2), done.said
    assert "Traceback" not in done.said
    for part in parts:
        assert part in done.said
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.said
    assert done.err.rstrip().splitlines()[-1] == errors[0], done.said
