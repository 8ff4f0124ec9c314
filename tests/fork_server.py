"""A Python that has imported what the programs import, and runs each script in a fork of itself.

The libraries take a fresh process ten seconds of a core. They are imported here and nothing is
computed with them, so that a fork finds them as a fresh process does.

Reads one request a line (JSON: argv, folder, environment, seconds) and answers each with one line
(JSON: code, out, err).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import sys
import time
from pathlib import Path

PRELOADED = (
    *("train", "evaluate", "torch.utils.tensorboard", "tensorboard.plugins.hparams.summary_v2"),
    *(f"xray_report.{name}" for name in ("assemble", "training.summary", "training.resume")),
    *(f"xray_report.evaluation.{name}" for name in ("run", "page", "tables")),
)
"""What the programs import, also once they have read their command line."""


def serve() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        (out, to_out), (err, to_err) = os.pipe(), os.pipe()
        process = os.fork()
        if not process:
            os.dup2(to_out, 1)
            os.dup2(to_err, 2)
            for end in (out, to_out, err, to_err):
                os.close(end)
            run(**request)
            return
        os.close(to_out)
        os.close(to_err)
        texts = read({"out": out, "err": err}, process, request["seconds"])
        _, status = os.waitpid(process, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), **texts}), flush=True)


def run(argv: list[str], folder: str, environment: dict[str, str], seconds: float) -> None:
    """Be `python ARGV...` in `folder`, in a process that ends after this."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[:] = argv
    sys.path[0] = str(Path(argv[0]).parent)
    runpy.run_path(argv[0], run_name="__main__")


def read(ends: dict[str, int], process: int, seconds: float) -> dict[str, str]:
    """All that a process writes; it is killed after so many seconds."""
    found, until = dict.fromkeys(ends, b""), time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for name, end in ends.items():
            selector.register(end, selectors.EVENT_READ, name)
        while selector.get_map():
            if not (ready := selector.select(max(0.0, until - time.monotonic()))):
                os.kill(process, signal.SIGKILL)
                until += 10
            for key, _ in ready:
                found[key.data] += (part := os.read(key.fd, 1 << 16))
                if not part:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return {name: content.decode() for name, content in found.items()}


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()
    serve()
