"""A disk that is full or read-only: one line that names it, nothing destroyed, and it goes on.

Each case trains for an epoch with room, then goes on, or begins, with little: a tmpfs of a few
megabytes at the runs, the caches or TMPDIR; the same made read-only; or a limit on the size of any
file (`ulimit -f`). Mounting takes a namespace of one's own, or root; where neither is allowed only
the limit is tried, and the trial says so. The program may do its work or refuse in one line. What
it had written before is whole, no temporary file stays, and with room again it goes on to the end.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.scripts import TINY
from tests.trials.kills import FILES, torn
from tests.trials.processes import Outcome, chance, fault_of, must, run, script

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000
READ_ONLY, REMOUNT, PRIVATE = 1, 32, (1 << 18) | (1 << 14)

OPTIONS = (
    *TINY, "callbacks.attention_pictures=null", "model.architecture.rnn_size=16",
    "model.embedding.size=8", "model.embedding.vectors=null",
)  # fmt: skip
PLACES = ("runs", "cache", "tmp")
SIZES = (20_000, 200_000_000)
"""Bytes of a small disk or of the largest file; two checkpoints and a third in the making have
90 MB."""


def cases(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """One small disk a case."""
    mounts = run(lambda: mount_all(folder, "size=1m"), folder).code == 0
    if not mounts:
        print("disk: this machine allows no mounts: only the size of files is limited")
    trained = folder / "trained"
    trained.mkdir()
    must(training(trained, "trainer.max_epochs=1"), trained)
    for number in numbers:
        case = folder / str(number)
        shutil.copytree(trained, case)
        ended = run(partial(one, case, chance(seed, number), mounts), case, 900)
        shutil.rmtree(case)
        if ended.code != 0:
            yield Outcome(("failed",), f"the case itself failed: {ended.said[-2000:]}")
        else:
            kinds, fault = json.loads(ended.out.splitlines()[-1])
            yield Outcome(tuple(kinds), fault)


def training(folder: Path, *options: str, attempt: int = 0) -> Callable[[], object]:
    runs, cache = folder / "runs", folder / "cache"
    return script(
        "train.py", *OPTIONS, *options, f"paths.cache_dir={cache}", f"paths.runs_dir={runs}",
        f"hydra.run.dir={runs / 'train' / str(attempt)}",
    )  # fmt: skip


def one(case: Path, rng: random.Random, mounts: bool) -> None:
    """In a process of its own, since mounts end with it; prints what became of the case."""
    kinds, fault = tried(case, rng, mounts)
    print(json.dumps([kinds, fault]))


def tried(case: Path, rng: random.Random, mounts: bool) -> tuple[list[str], str]:
    size = int(SIZES[0] * (SIZES[1] / SIZES[0]) ** rng.random())
    how = rng.choice(("full", "full", "read-only", "files")) if mounts else "files"
    place = rng.choice(PLACES)
    goes_on = rng.random() < 0.5
    before = case / "runs" / "train" / "0" / "checkpoints"
    resumed = (f"resume={before / 'last.ckpt'}",) if goes_on else ()
    said = f"{how} at {place if how != 'files' else size}, {'resumed' if goes_on else 'new'}"
    if how != "files":
        held = {path: path.read_bytes() for path in (case / place).rglob("*") if path.is_file()}
        room = sum(map(len, held.values())) + size
        said += f", {size} bytes of room"
        mount_all(case / place, f"size={room}")
        for path, content in held.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if how == "read-only":
            mount(case / place, REMOUNT | READ_ONLY, "")
    if rng.random() < 0.5:  # pictures and features must be made anew
        resumed = (*resumed, "data.cache_dir=" + str(case / "cache" / "new"))
        resumed = (*resumed, "loader.cache_dir=" + str(case / "cache" / "new"))
    environment = {"TMPDIR": str(case / "tmp")}
    (case / "tmp").mkdir(exist_ok=True)
    epochs = "trainer.max_epochs=3"
    limit = size if how == "files" else None
    first = training(case, *resumed, epochs, attempt=1)
    ended = run(first, case, environment=environment, largest_file=limit)
    kinds = [f"{how}: {'refused' if ended.code else 'did its work'}"]
    after = case / "runs" / "train" / "1" / "checkpoints"
    if fault := fault_of(ended):
        return [*kinds, "ended wrongly"], f"{said}: {fault}"
    if fault := torn(before, set(FILES)) or torn(after, set()):
        return [*kinds, "torn or lost"], f"{said}: {fault}"
    if left := [path.name for path in case.rglob(".*.tmp")]:
        return [*kinds, "litter"], f"{said}: left behind: {', '.join(left)}"
    if ended.code == 0:
        return kinds, ""
    if how != "files":
        mount(case / place, REMOUNT, "size=1g")
    found = [folder / name for folder in (after, before) for name in ("last.ckpt", "best.ckpt")]
    resume = next(path for path in found if path.exists())
    ended = run(training(case, f"resume={resume}", epochs, attempt=2), case)
    if ended.code != 0:
        return [*kinds, "not resumed"], f"{said}: with room again: {ended.said[-500:]}"
    return [*kinds, "went on with room"], ""


# Mounts that nobody else sees, and that end with the process.


def mount_all(folder: Path, options: str) -> None:
    """Mount a tmpfs at `folder`, in a namespace that this process begins the first time.

    Raises `OSError` where that is not allowed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if user == 0:
        check(libc.unshare(NEW_MOUNTS))
        check(libc.mount(b"none", b"/", None, PRIVATE, None))
    else:
        check(libc.unshare(NEW_MOUNTS | NEW_USER))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    folder.mkdir(exist_ok=True)
    mount(folder, 0, options)


def mount(folder: Path, flags: int, options: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    text = options.encode() or None
    check(libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", ctypes.c_ulong(flags), text))


def check(code: int) -> None:
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
