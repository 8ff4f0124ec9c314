"""Kill a training at random moments and resume it: nothing torn, nothing lost, the same weights.

Each case trains a small model with a cache of its own and TMPDIR on another file system (where
there is one), until it is done. Up to three times it is ended: half of the times at any moment,
half while a checkpoint is being written; by SIGKILL, or by SIGTERM or Ctrl-C, which must say so in
one line and exit with 143 and 130. What is there then must be whole, and go on. In the end the last
and the best checkpoint are compared bit by bit with those of a training that nobody ended.
"""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from tests.scripts import TINY
from tests.trials.processes import (
    Ended,
    Outcome,
    Process,
    another_file_system,
    chance,
    fault_of,
    must,
    script,
)
from xray_report.errors import CheckpointError
from xray_report.inference.checkpoint import STATE_DIGEST, read_file, state_digest

OPTIONS = (
    *TINY, "data.train=10", "trainer.max_epochs=4", "callbacks.attention_pictures=null",
    "model.architecture.dropout=0.3", "model.architecture.rnn_size=16", "model.embedding.size=8",
    "model.embedding.vectors=null",
)  # fmt: skip
FILES = ("best.ckpt", "last.ckpt")
STATE = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step", "xray_report")
SAID = {signal.SIGTERM: (143, "stopped by SIGTERM"), signal.SIGINT: (130, "stopped by Ctrl-C")}
BEGUN = 0.5
"""Seconds that a program has at least; it has asked for its signals by then, or is waited for."""
WORKERS_PATIENCE = 12.0
"""Seconds in which workers find out that who started them is gone; torch looks every five."""


def cases(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """One training a case, ended up to three times."""
    with ExitStack() as stack:
        elsewhere = another_file_system(folder)
        if elsewhere is None:
            print("kills: no other file system is there, TMPDIR lies on the same one")
        other = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=elsewhere or folder)))
        whole = folder / "whole"
        whole.mkdir()
        seconds = must(training(whole, 0), whole).seconds
        for number in numbers:
            case, temporary = folder / str(number), other / str(number)
            case.mkdir()
            temporary.mkdir()
            yield one(case, temporary, whole, seconds, chance(seed, number))
            shutil.rmtree(case)
            shutil.rmtree(temporary)


def training(
    folder: Path, attempt: int, resume: Path | None = None, workers: int = 0
) -> Callable[[], object]:
    goes_on = [f"resume={resume}"] if resume else []
    return script(
        "train.py", *OPTIONS, f"paths.cache_dir={folder / 'cache'}", f"loader.workers={workers}",
        f"paths.runs_dir={folder / 'runs'}", f"hydra.run.dir={run_folder(folder, attempt)}",
        *goes_on,
    )  # fmt: skip


def run_folder(folder: Path, attempt: int) -> Path:
    return folder / "runs" / "train" / str(attempt)


def one(case: Path, temporary: Path, whole: Path, seconds: float, rng: random.Random) -> Outcome:
    """Train, being ended up to three times, and compare."""
    kinds: list[str] = []
    resume: Path | None = None
    workers = rng.choice((0, 0, 1))
    to_come = rng.choice((1, 1, 2, 3))
    attempt, at = 0, ""
    while True:
        environment = {"TMPDIR": str(temporary)}
        process = Process(training(case, attempt, resume, workers), case, environment)
        checkpoints = run_folder(case, attempt) / "checkpoints"
        if attempt == to_come:
            ended = process.wait()
            break
        number = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
        seen = wait_for_moment(process, checkpoints, seconds, rng)
        running = process.is_running()
        at = f"{number.name} after {process.seconds:.2f} of {seconds:.2f} s, attempt {attempt}"
        process.send(number)
        ended = process.wait()
        if process.leaves_processes(WORKERS_PATIENCE):
            process.kill_all()
            return Outcome((*kinds, "orphans"), f"{at}: processes that it started live on")
        if running and ended.code != 0:
            kinds.append(number.name)
        if fault := how_it_ended(ended, number):
            return Outcome((*kinds, "ended wrongly"), f"{at}: {fault}")
        if fault := torn(checkpoints, seen):
            return Outcome((*kinds, "torn or lost"), f"{at}: {fault}")
        found = [checkpoints / name for name in reversed(FILES)]
        resume = next((path for path in found if path.exists()), resume)
        attempt += 1
    if ended.code != 0 or (fault := fault_of(ended)):
        return Outcome((*kinds, "not resumed"), f"not resumed from {resume}: {ended.said[-500:]}")
    if fault := litter(case, temporary):
        return Outcome((*kinds, "litter"), fault)
    for name in FILES:
        theirs = run_folder(whole, 0) / "checkpoints" / name
        if fault := difference(checkpoints / name, theirs):
            path = f"{name}, {attempt} times ended, the last time {at}, resumed from {resume}"
            return Outcome((*kinds, "another result"), f"{path}: {fault}")
    return Outcome((*kinds, "ended with the same bits"))


def wait_for_moment(
    process: Process, checkpoints: Path, seconds: float, rng: random.Random
) -> set[str]:
    """Wait for when to end it; the checkpoints that were there before."""
    seen: set[str] = set()
    writing, passes = rng.random() < 0.5, rng.randrange(6)
    until = rng.uniform(BEGUN, seconds)
    was_writing = False
    while process.is_running() and not process.catches(signal.SIGTERM):
        time.sleep(0.001)
    while process.is_running() and process.seconds < (2 * seconds if writing else until):
        names = {path.name for path in checkpoints.glob("*")} if checkpoints.is_dir() else set()
        seen |= names & set(FILES)
        now_writing = bool(names - set(FILES))
        if writing and now_writing and not was_writing:
            passes -= 1
            if passes < 0:
                time.sleep(rng.uniform(0, 0.04))
                break
        was_writing = now_writing
        time.sleep(0.001)
    return seen


def how_it_ended(ended: Ended, number: int) -> str:
    """What is wrong with how a signal ended a training that may have been done before."""
    if ended.code == 0 or (number == signal.SIGKILL and ended.code == -number):
        return ""
    code, line = SAID.get(signal.Signals(number), (None, ""))
    last = ended.err.rstrip().rpartition("\n")[2]
    if ended.code != code or not last.startswith(line) or "Traceback" in ended.err:
        return f"code {ended.code}, last words {last[:300]!r}"
    return ""


def torn(checkpoints: Path, seen: set[str]) -> str:
    """Which checkpoint is not whole, or is gone."""
    for name in FILES:
        path = checkpoints / name
        if not path.exists():
            if name in seen:
                return f"{name} was there and is gone"
            continue
        try:
            read_file(path)
        except CheckpointError as error:
            return str(error)
    return ""


def litter(case: Path, temporary: Path) -> str:
    """What is left that nobody asked for."""
    left = [path for path in case.rglob("*") if path.name.endswith((".tmp", ".part"))]
    left += list(temporary.iterdir())
    return f"left behind: {', '.join(map(str, left[:5]))}" if left else ""


def difference(path: Path, other: Path) -> str:
    """Where two checkpoints differ that must not."""
    if not path.exists():
        return "is missing"
    ours, theirs = read_file(path), read_file(other)
    for saved in (ours, theirs):  # it is of the callbacks' folders, too, which differ
        if saved["xray_report"].pop(STATE_DIGEST) != state_digest(saved):
            return "its state of training is not as it was written"
    return next((found for key in STATE if (found := unlike(ours[key], theirs[key], key))), "")


def unlike(ours: Any, theirs: Any, name: str) -> str:
    """Name of the first part of nested values that is not the same, bit by bit."""
    if isinstance(ours, torch.Tensor):
        return "" if torch.equal(ours, theirs) else f"{name} differs"
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        if ours.keys() != theirs.keys():
            return f"{name} has other keys"
        parts = ((ours[key], theirs[key], f"{name}.{key}") for key in ours)
    elif isinstance(ours, (list, tuple)) and len(ours) == len(theirs):
        parts = ((a, b, f"{name}.{n}") for n, (a, b) in enumerate(zip(ours, theirs, strict=True)))
    else:
        return "" if ours == theirs else f"{name}: {ours!r} and {theirs!r}"
    return next((found for part in parts if (found := unlike(*part))), "")
