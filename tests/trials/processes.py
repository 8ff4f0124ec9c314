"""Programs of the project as processes of their own, without the seconds that imports take.

A process that has loaded the libraries is forked: what then runs in it is the whole program, as
`python train.py ...` runs it, with its own folder, environment, signals, output and exit code.
"""

from __future__ import annotations

import importlib
import os
import random
import resource
import runpy
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

from tests.scripts import ROOT

HANG = 20.0
"""Seconds of computing after which a program that has done nothing is one that hangs."""
WAITING = 10.0
"""Times as long by the clock: one that waits hangs too, but other work may slow the machine."""
MEMORY = 1_500_000_000
"""Bytes above its own need that nothing may take."""
LARGEST = 8 << 30
"""Bytes of addresses that a process gets beside those of its start, for the machine's sake."""

LIBRARIES = (
    "h5py", "hydra", "pydicom", "pytorch_lightning", "torch.utils.tensorboard", "torchvision.io",
    "torchmetrics", "sacrebleu", "xray_report.assemble", "xray_report.cli",
    "xray_report.evaluation.page", "xray_report.evaluation.run", "xray_report.training.resume",
    "xray_report.data.phantom.source", "xray_report.metrics.evaluation",
    "xray_report.inference.beam",
)  # fmt: skip


class Outcome(NamedTuple):
    """What became of a case: words to be counted, and what must not have happened."""

    kinds: tuple[str, ...]
    fault: str = ""


class Ended(NamedTuple):
    """How a process ended: minus the signal's number, if by one; bytes that it grew by."""

    code: int
    out: str
    err: str
    seconds: float
    grown: int = 0

    @property
    def said(self) -> str:
        return self.out + self.err


def load_libraries() -> None:
    """Import what the programs import. Torch keeps to one thread, which a fork can follow."""
    for name in LIBRARIES:
        importlib.import_module(name)
    importlib.import_module("torch").set_num_threads(1)


def chance(seed: int, number: int) -> random.Random:
    """The random numbers of one case, whichever were run before it."""
    return random.Random(f"{seed}-{number}")


def script(name: str, *arguments: str) -> Callable[[], object]:
    """`python NAME ARGUMENTS`, such as train.py."""

    def program() -> None:
        sys.argv = [str(ROOT / name), *arguments]
        runpy.run_path(sys.argv[0], run_name="__main__")

    return program


def console(*arguments: str) -> Callable[[], object]:
    """`xray-report ARGUMENTS`."""

    def program() -> None:
        from xray_report.cli import main

        sys.argv = ["xray-report", *arguments]
        main()

    return program


class Process:
    """What `work` does in a process of its own.

    Args:
        work: the program.
        folder: in which it runs.
        environment: what else is in its environment.
        largest_file: bytes that a file may have (`ulimit -f`).
    """

    def __init__(
        self,
        work: Callable[[], object],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        largest_file: int | None = None,
    ) -> None:
        self._out, self._err = (tempfile.TemporaryFile("w+") for _ in range(2))  # noqa: SIM115
        self._start, self._before = time.monotonic(), _resident()
        self._ended: Ended | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                os.chdir(folder)
                os.environ.update(environment or {})
                tempfile.tempdir = None
                _limit(resource.RLIMIT_AS, _addresses() + LARGEST)
                if largest_file is not None:
                    _limit(resource.RLIMIT_FSIZE, largest_file)
                _speak_to(self._out, 1)
                _speak_to(self._err, 2)
                _leave(work)
            finally:
                os._exit(99)

    @property
    def seconds(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._start

    @property
    def computed(self) -> float:
        """Seconds that it has computed, with the processes it has waited for; 0 once it ended."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def hangs(self, computed: float = 0.0, seconds: float = 0.0, longest: float = HANG) -> bool:
        """Whether it has gone on for too long since it had computed, and run, for so many seconds.

        Args:
            computed: as `computed` was then.
            seconds: as `seconds` was then.
            longest: seconds of computing.
        """
        return self.computed - computed > longest or self.seconds - seconds > WAITING * longest

    def is_running(self) -> bool:
        if self._ended is None:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                grown = used.ru_maxrss * 1024 - self._before
                code = os.waitstatus_to_exitcode(status)
                self._ended = Ended(
                    code, _read(self._out), _read(self._err), self.seconds, max(grown, 0)
                )
        return self._ended is None

    def catches(self, number: int) -> bool:
        """Whether it has asked for a signal, as the system tells."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:  # it has ended
            return True
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)

    def output(self) -> str:
        """What it has said so far on stdout."""
        return os.pread(self._out.fileno(), 1 << 20, 0).decode(errors="replace")

    def send(self, number: int) -> None:
        if self.is_running():
            os.kill(self.pid, number)

    def wait(self, seconds: float | None = 300.0) -> Ended:
        """How it ended; it is killed, with all that it started, after so many seconds.

        None for where it hangs.
        """
        until = time.monotonic() + (seconds or 0.0)
        while self.is_running():
            if self.hangs() if seconds is None else time.monotonic() > until:
                self.kill_all()
            time.sleep(0.005)
        assert self._ended is not None
        return self._ended

    def kill_all(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def leaves_processes(self, patience: float) -> bool:
        """Whether, so many seconds after its end, processes that it started are still there."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.05)
        return True


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard < 0 else min(most, hard), hard))


def _speak_to(file: IO[str], number: int) -> None:
    os.dup2(file.fileno(), number)
    stream = os.fdopen(number, "w", buffering=1, closefd=False)
    setattr(sys, {1: "stdout", 2: "stderr"}[number], stream)


def _read(file: IO[str]) -> str:
    file.seek(0)
    with file:
        return os.pread(file.fileno(), 1 << 22, 0).decode(errors="replace")


def _leave(work: Callable[[], object]) -> NoReturn:
    """Run it and end this process as Python ends."""
    code: object = 0
    try:
        work()
    except SystemExit as ended:
        code = ended.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else 1)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _addresses() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def run(
    work: Callable[[], object],
    folder: Path,
    seconds: float | None = 300.0,
    environment: Mapping[str, str] | None = None,
    largest_file: int | None = None,
) -> Ended:
    """Run a program in `folder` to its end."""
    return Process(work, folder, environment, largest_file).wait(seconds)


def must(work: Callable[[], object], folder: Path) -> Ended:
    """Run what a trial needs; its own failure ends the trial."""
    ended = run(work, folder)
    if ended.code != 0:
        raise RuntimeError(f"a trial could not begin (code {ended.code}): {ended.said[-3000:]}")
    return ended


def fault_of(ended: Ended) -> str:
    """What is wrong with how a program ended; "" if it did its work, or refused in one line."""
    last = ended.err.rstrip().rpartition("\n")[2]
    if "Traceback" in ended.said:
        return f"traceback: {last[:300]}"
    if ended.code < 0:
        return f"killed by signal {-ended.code} after {ended.seconds:.0f} s; it had said {last!r}"
    if ended.code == 0:
        return ""
    if ended.code == 2 and "error: " in last:  # argparse and click on an unknown --flag
        return ""
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    if ended.code != 1 or lines != [last]:
        return f"code {ended.code} without one line that says why: {ended.err[-300:]!r}"
    return ""


def another_file_system(folder: Path) -> Path | None:
    """A folder to write to that lies on another file system; None if there is none."""
    for place in (Path("/dev/shm"), Path.cwd(), Path.home(), Path("/var/tmp")):
        there = place.is_dir() and os.access(place, os.W_OK)
        if there and place.stat().st_dev != folder.stat().st_dev:
            return place
    return None
