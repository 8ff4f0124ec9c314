"""How train.py and evaluate.py end: a mistake in one line, a signal by its exit code, no litter."""

from __future__ import annotations

import errno
import hashlib
import logging
import multiprocessing
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from xray_report.errors import ReportedError, causes, one_line, one_line_errors, print_mistake
from xray_report.files import DISK_FULL
from xray_report.options import did_you_mean

ALL_KEYS = "; `--cfg job` shows all keys"

# Signals.


class Stopped(SystemExit):
    """The program was told to stop; its exit code is the shell's, 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}

_stop: list[Stopped] = []
"""Why this program, or this job of it, ends, once it has been told to."""

_checkpoints: list[Path] = []
"""What a stopped training goes on from: the first of them that is there."""


def catch_signals() -> None:
    """From now on Ctrl-C and SIGTERM end this process with one line, whatever it is at.

    Processes that it starts are ended by it, and say nothing.
    """
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            reason = stopped(number)
            if _importing(frame):  # a library that is being set up in C++ aborts on exceptions
                os._exit(128 + number)
            raise reason
        if number == signal.SIGINT:  # a loader's worker, which knows it and leaves in silence
            raise KeyboardInterrupt
        os._exit(128 + number)

    for number in NAMES:
        signal.signal(number, stop)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def stopped(number: int) -> Stopped:
    """Say that a signal stopped the program, and how to go on; the exception to raise."""
    for one in NAMES:  # no second line, and no second exception in what cleans up
        signal.signal(one, signal.SIG_IGN)
    rank = os.environ.get("SLURM_PROCID" if in_srun() else "LOCAL_RANK", "0")
    if rank == "0":
        found = next((path for path in _checkpoints if path.is_file()), None)
        cure = f", go on with: python train.py resume={found}" if found else ""
        line = f"stopped by {NAMES[signal.Signals(number)]}{cure}"
        print(f"\n{line}" if sys.stderr.isatty() else line, file=sys.stderr, flush=True)
    _stop.append(Stopped(number))
    return _stop[0]


def goes_on_from(*checkpoints: str | os.PathLike[str] | None) -> None:
    """Name the checkpoints, written by now or later, that a stopped training can go on from."""
    _checkpoints[:] = [Path(one) for one in checkpoints if one]


# The command line, in Hydra's words.


def without_null_groups(arguments: Sequence[str], groups: Sequence[str]) -> list[str]:
    """The arguments with `GROUP=null`, which Hydra refuses, as `~GROUP`, which leaves it out."""
    null = {f"{group}=null": f"~{group}" for group in groups}
    return [null.get(one, one) for one in arguments if one != "experiment=null"]


def data_changes(arguments: Sequence[str]) -> list[str]:
    """The arguments, so that `data.NAME=VALUE` alone is a change of the checkpoint's data set.

    Where no data set is chosen by `data=NAME`, there is no `data.NAME` yet that Hydra could change.
    """
    arguments = [argument for argument in arguments if argument != "data=null"]
    if any(re.match(r"[+]{0,2}data(@[^=]*)?=", argument) for argument in arguments):
        return arguments
    return [f"+{one}" if re.match(r"data\.[^=]+=", one) else one for one in arguments]


# Mistakes.


_sweep: list[Path] = []
"""The folder of the sweep that this program runs, if it is one."""


@contextmanager
def program(conf: Path, after_sweep: Callable[[Path], None] | None = None) -> Iterator[None]:
    """Around the whole program: what is wrong with its command line is one line, and code 1.

    Args:
        conf: folder of the configuration, for who misspells a group.
        after_sweep: called with the folder of a sweep when that has ended, failed jobs or not.
    """
    logging.raiseExceptions = False  # a log that has no room must not bury what is said of it
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raise, so that we say it in one line
    _sweep.clear()
    _stop.clear()
    groups = [path.name for path in conf.iterdir() if path.is_dir()]
    sys.argv[1:] = without_null_groups(sys.argv[1:], groups)
    named = [arg.partition("=")[2] for arg in sys.argv[1:] if arg.startswith(FOLDER_OPTIONS)]
    _named_folders[:] = [Path(name.strip("'\"")) for name in named]
    _there_before[:] = [folder for folder in _named_folders if "$" in str(folder) or _is(folder)]
    sys.argv += shared_folder(Path(sys.argv[0]).stem)
    try:
        yield
    except ReportedError:
        raise SystemExit(1) from None
    except Exception as error:
        if _stop:  # a process of ours was told to stop, too, and is missed
            raise _stop[0] from None
        if getattr(error, "of_a_job", False):
            raise
        print(f"error: {explained(error, groups)}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        if _sweep and after_sweep is not None and not _stop:
            with one_line_errors():
                after_sweep(_sweep[0])


@contextmanager
def job_errors(job: Any, *others: type[Exception], cure: str = "") -> Iterator[None]:
    """Around a job of Hydra's: a refused one leaves no folder and stops no sweep.

    Errors that are not the user's keep their traceback.

    Args:
        job: its `HydraConfig.get()`.
        others: exceptions of another library that are the user's mistakes too.
        cure: added after those.
    """
    if job.mode.name == "MULTIRUN":
        _sweep[:] = [Path(job.sweep.dir)]
    _stop.clear()
    try:
        yield
    except Exception as error:
        if _stop:
            raise _stop[0] from None
        full = _full(error)
        if full and not print_mistake(error):
            print(f"error: {full}; make room, or name another place by {PLACES}", file=sys.stderr)
        elif not full and not print_mistake(error, others, cure):
            error.of_a_job = True  # type: ignore[attr-defined]
            raise
        remove_unused(Path(job.runtime.output_dir), job.job.name)
        # Hydra takes an exception for the end of this job, SystemExit for that of the sweep.
        raise (ReportedError() if job.mode.name == "MULTIRUN" else SystemExit(1)) from None


PLACES = "paths.runs_dir, paths.cache_dir or the environment's TMPDIR"


def _full(error: BaseException | None) -> OSError | None:
    """What the system said of a full or read-only disk, to whichever library that met it."""
    full = (*DISK_FULL, errno.EROFS)
    found = (one for one in causes(error) if isinstance(one, OSError) and one.errno in full)
    return next(found, None)


def refuse_ddp_sweep(job: Any, strategy: object) -> None:
    """End a sweep (`-m`) over a ddp strategy: Hydra would start it again on every rank.

    So does srun with several tasks, whatever the strategy.

    Args:
        job: `HydraConfig.get()` of its first job.
        strategy: `trainer.strategy`.
    """
    several = str(strategy).startswith("ddp") or in_srun()
    if job.mode.name == "MULTIRUN" and several:
        name = "run in several SLURM tasks" if in_srun() else "use trainer.strategy=ddp"
        print(f"error: a sweep (-m) cannot {name}: run each job by itself", file=sys.stderr)
        remove_unused(Path(job.runtime.output_dir), job.job.name)
        raise SystemExit(1)


# What Hydra says of a command line, in words that help.


def explained(error: Exception, groups: Sequence[str] = ()) -> str:
    """One line on an exception that came before any job had begun.

    Args:
        error: of Hydra or of what it called; told by its attributes, since this knows no Hydra.
        groups: of the configuration.
    """
    cause: BaseException | None = error
    while cause is not None:
        if argument := getattr(cause, "override", None):
            return (
                f"the argument {argument!r} is not understood: put a value with blanks, umlauts or "
                f"any of = ( ) [ ] {{ }} , : ~ $ into quotes, as in '{_quoted(argument)}'"
            )
        cause = cause.__cause__
    if (full := _full(error)) and not full.filename:
        return f"{full}: make room, or name another folder by paths.runs_dir or hydra.run.dir"
    text, near = one_line(error), ""
    if options := getattr(error, "options", None):  # of a group, such as model=
        wanted = str(getattr(error, "missing_cfg_file", "")).rpartition("/")[2]
        near = did_you_mean(wanted, options)
    elif text.startswith("Config group override must be"):  # and says not of which
        chosen = [one.partition("=") for one in sys.argv[1:]]
        numbers = [name for name, _, value in chosen if name in groups and not value.isidentifier()]
        text = f"{numbers[0]} must be one of conf/{numbers[0]}/" if numbers else text
    elif text.startswith("Could not override '"):
        *_, last = (name := text.split("'")[1]).split(".")
        parent: Any = getattr(error.__cause__, "parent_node", None)
        known = [str(key) for key in parent] if hasattr(parent, "keys") else []
        near = did_you_mean(last, known or groups) if known or "." not in name else ""
        if not near and hasattr(parent, "keys"):
            found = " or ".join(options_called(parent, last))
            near = f" (did you mean {found}?)" if found else ""
        if off := _switched_off(name):
            near = f": {off!r} leaves out all of it"
        if name in groups:
            text = f"this program has no {name} to choose: train.py and evaluate.py differ"
            near = "; `--help` shows what it has"
    if isinstance(error, OSError) and error.filename and not options:
        return (
            f"{error.filename} cannot be made ({error.strerror}): name another folder by "
            "paths.runs_dir or hydra.run.dir"
        )
    typed = [argument.lstrip("+~").partition("=")[0] for argument in sys.argv[1:]]
    if not near and not any(name and name in text for name in typed):
        text = f"{text} (in {' '.join(sys.argv[1:])[:200]})"
    return f"{text}{near}{ALL_KEYS}"


def options_called(node: Any, name: str) -> Iterator[str]:
    """Dotted names of the options that are called `name`, in the whole configuration of a node."""

    def inside(group: Any, way: str) -> Iterator[str]:
        for key in group:
            below = group._get_node(key)
            if key == name:
                yield f"{way}{key}"
            if hasattr(below, "keys") and not below._is_none() and not below._is_interpolation():
                yield from inside(below, f"{way}{key}.")

    yield from (one for one in inside(node._get_root(), "") if not one.startswith("hydra."))


def _switched_off(name: str) -> str:
    """The argument that leaves out the group which an option is of; or ""."""
    for one in sys.argv[1:]:
        group = one[1:] if one.startswith("~") else one.removesuffix("=null")
        if group != one and name.startswith(f"{group}."):
            return one
    return ""


def _quoted(argument: str) -> str:
    """The argument with its value in quotes, as a shell takes it."""
    name, _, value = argument.partition("=")
    escaped = value.strip("'\"").replace('"', '\\"')
    return f'{name}="{escaped}"'


# Folders of runs.

UNTOLD = (
    *("paths", "resume", "callbacks", "logger"),
    *("trainer.accelerator", "trainer.devices", "loader.workers"),
)
"""Options, and groups of them, that do not change what is trained."""

LONGEST_NAME = 60


def brief(typed: Sequence[str]) -> str:
    """What was typed as the end of a folder's name, such as `_model-transformer_seed-1`.

    Choices of groups come first. Of each option the last part of its name and, of a path, of its
    value; letters, digits, dots and hyphens alone, so that the name needs quotes nowhere. What
    makes it too long is left out.

    Args:
        typed: `NAME=VALUE` each.
    """
    name = ""
    for one in sorted(typed, key=lambda text: "." in text.partition("=")[0]):
        option, _, value = one.lstrip("+~").partition("=")
        if any(option == group or option.startswith(f"{group}.") for group in UNTOLD):
            continue
        told = f"{option.rpartition('.')[2]}-{value.rstrip('/').rpartition('/')[2]}"
        told = re.sub(r"[^A-Za-z0-9.]+", "-", told).strip("-.")
        if told and len(name) + len(told) < LONGEST_NAME:
            name += f"_{told}"
    return name


FOLDER_OPTIONS = ("hydra.run.dir=", "hydra.sweep.dir=")

_named_folders: list[Path] = []
_there_before: list[Path] = []
"""Folders that the command line names and that were there before it, or may have been."""


def _is(folder: Path) -> bool:
    try:
        return folder.exists()
    except (OSError, ValueError):
        return False


def in_srun() -> bool:
    """Whether SLURM's srun started this process and others, which Lightning then joins."""
    given = os.environ
    by_hand = given.get("SLURM_JOB_NAME") in ("bash", "interactive")  # as Lightning takes it
    return "SLURM_STEP_ID" in given and int(given.get("SLURM_NTASKS", 1)) > 1 and not by_hand


def shared_folder(program: str) -> list[str]:
    """Overrides that give all processes of a torchrun or a SLURM step one run folder.

    Without them each would name a folder by its own clock. torchrun's processes ask the first of
    them; those of a step, who have no place to ask, name it by job, step and command line. Nothing
    to add where neither started this process, or the command line names the folder.
    """
    if _named_folders:
        return []
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        from torch.distributed import TCPStore  # type: ignore[attr-defined]

        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(*place, is_master=False)
        key = f"xray_report/run/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
        first = os.environ["RANK"] == "0"
        if first:
            store.set(key, f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")
        name = store.get(key).decode()
    elif in_srun():
        typed = hashlib.sha256("\0".join(sys.argv[1:]).encode()).hexdigest()[:8]
        numbers = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
        name = "-".join(["slurm", *(os.environ.get(one, "0") for one in numbers), typed])
        first = os.environ["SLURM_PROCID"] == "0"
    else:
        return []
    folder = f"hydra.run.dir=${{paths.runs_dir}}/{program}/{name}"
    return [folder] if first else [folder, "hydra.output_subdir=null"]


def remove_unused(folder: Path, name: str) -> None:
    """Remove the folder of a refused run, if this run made it and nothing but Hydra wrote into it.

    Args:
        folder: of the run.
        name: of the job, as its log is called.
    """
    inside = (folder.resolve(), *folder.resolve().parents)
    if any("$" in str(one) or one.resolve() in inside for one in _there_before):
        return
    hydras = {"config.yaml", "hydra.yaml", "overrides.yaml"}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    if found <= {".hydra", f"{name}.log", *(f".hydra/{one}" for one in hydras)}:
        shutil.rmtree(folder, ignore_errors=True)
