"""How the two programs end: mistakes, signals, and the folders of refused runs."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra.types import RunMode
from torch.distributed import TCPStore

from tests.scripts import ROOT, TINY, expect, forked
from tests.test_config import CONF
from xray_report.errors import DataError, ReportedError
from xray_report.job import (
    brief,
    data_changes,
    job_errors,
    program,
    refuse_ddp_sweep,
    shared_folder,
    stopped,
    without_null_groups,
)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("a: 1")
    (folder / "train.log").write_text("")
    return folder


def job(folder: Path, mode: RunMode = RunMode.RUN) -> Any:
    """What `HydraConfig.get()` says of it."""
    runtime = SimpleNamespace(output_dir=str(folder))
    sweep = SimpleNamespace(dir=str(folder.parent))
    name = SimpleNamespace(name="train")
    return SimpleNamespace(mode=mode, runtime=runtime, sweep=sweep, job=name)


def test_a_refused_job_leaves_no_folder(
    capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    with pytest.raises(SystemExit), program(CONF), job_errors(job(run_folder)):
        raise DataError("the cause")
    assert capsys.readouterr().err == "error: the cause\n"
    assert not run_folder.exists()


def test_a_job_that_had_begun_keeps_its_folder(run_folder: Path) -> None:
    (run_folder / "checkpoints").mkdir()
    with pytest.raises(SystemExit), job_errors(job(run_folder)):
        raise DataError("the cause")
    assert (run_folder / ".hydra" / "config.yaml").is_file()


def test_a_refused_job_stops_no_sweep(capsys: pytest.CaptureFixture[str], run_folder: Path) -> None:
    """Hydra goes on after an exception, which it raises again when the sweep has ended."""
    one = job(run_folder, RunMode.MULTIRUN)
    with pytest.raises(SystemExit) as stopped, program(CONF):
        with pytest.raises(ReportedError), job_errors(one, ZeroDivisionError, cure="; think"):
            _ = 1 / 0
        raise ReportedError
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "error: division by zero; think\n"


def test_a_sweep_ends_with_what_was_asked_for_even_if_jobs_failed(run_folder: Path) -> None:
    ended: list[Path] = []
    with pytest.raises(SystemExit), program(CONF, ended.append):
        with pytest.raises(ReportedError), job_errors(job(run_folder, RunMode.MULTIRUN)):
            raise DataError("the cause")
        raise ReportedError
    assert ended == [run_folder.parent]
    with program(CONF, ended.append):  # another program, which is no sweep
        pass
    assert len(ended) == 1


def test_a_runs_name_tells_what_was_typed_and_needs_no_quotes() -> None:
    typed = ["trainer.max_epochs=3", "model=transformer", "+x.y=[a, b]", "seed=1"]
    assert brief(typed) == "_model-transformer_seed-1_max-epochs-3_y-a-b"
    assert brief(["paths.runs_dir=/x", "~logger", "callbacks.progress=null"]) == ""
    assert brief(["encoder.weights=runs/a=b/best.ckpt"]) == "_weights-best.ckpt"
    assert brief([f"data.{'x' * 80}=1", "seed=1"]) == "_seed-1"
    assert brief([]) == ""


def test_a_job_does_not_end_as_one_before_it_was_stopped(run_folder: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stopped(signal.SIGTERM)
    for number, handler in before.items():
        signal.signal(number, handler)
    with pytest.raises(ZeroDivisionError), job_errors(job(run_folder)):
        _ = 1 / 0
    stopped(signal.SIGTERM)
    for number, handler in before.items():
        signal.signal(number, handler)
    with pytest.raises(SystemExit) as ended, program(CONF):
        raise DataError("the cause")
    assert ended.value.code == 1


def test_a_jobs_own_mistakes_keep_their_traceback(run_folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), program(CONF), job_errors(job(run_folder)):
        _ = 1 / 0
    assert run_folder.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_is_one_line(
    number: int, capsys: pytest.CaptureFixture[str], run_folder: Path
) -> None:
    (run_folder / "checkpoints").mkdir()
    for library in (False, True):  # that says something of its own
        with pytest.raises(SystemExit), job_errors(job(run_folder)):
            try:
                raise OSError(number, os.strerror(number), "events.out")
            except OSError as error:
                if library:
                    raise RuntimeError("compiling failed") from error
                raise
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert "events.out" in said
        assert "paths.runs_dir" in said
        assert said.count("\n") == 1


def test_a_disk_too_full_to_begin_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), program(CONF):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as of a write: names no file
    said = capsys.readouterr().err
    assert "No space left" in said
    assert "paths.runs_dir" in said
    assert said.count("\n") == 1


def test_a_folder_of_the_users_stays(
    tmp_path: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that holds log files, or nothing, and one in the folder of an earlier sweep."""
    sweep = tmp_path / "sweep"
    (sweep / "0" / ".hydra").mkdir(parents=True)
    arguments = ["train.py", f"hydra.run.dir={run_folder}", f"hydra.sweep.dir='{sweep}'"]
    monkeypatch.setattr(sys, "argv", arguments)
    for folder in (run_folder, sweep / "0"):
        with pytest.raises(SystemExit), program(CONF), job_errors(job(folder)):
            raise DataError("the cause")
        assert (folder / ".hydra").is_dir()
    monkeypatch.setattr(sys, "argv", ["train.py"])
    (run_folder / "notes.log").write_text("mine")
    with pytest.raises(SystemExit), program(CONF), job_errors(job(run_folder)):
        raise DataError("the cause")
    assert (run_folder / "notes.log").is_file()


def test_a_sweep_over_ddp_is_refused_whole(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_ddp_sweep(job(run_folder), "ddp")
    refuse_ddp_sweep(job(run_folder, RunMode.MULTIRUN), "auto")
    with pytest.raises(SystemExit):
        refuse_ddp_sweep(job(run_folder, RunMode.MULTIRUN), "ddp_spawn")
    assert capsys.readouterr().err.startswith("error: a sweep (-m) cannot use trainer.strategy=ddp")
    assert not run_folder.exists()


def test_a_sweep_in_several_slurm_tasks_is_refused(
    run_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in STEP.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        refuse_ddp_sweep(job(run_folder, RunMode.MULTIRUN), "auto")
    assert "cannot run in several SLURM tasks" in capsys.readouterr().err


def test_changes_of_the_checkpoints_data_need_no_data_set() -> None:
    assert data_changes(["data.root=/x", "split=val"]) == ["+data.root=/x", "split=val"]
    for chosen in ("data=csv", "+data=csv", "data@data=csv"):
        assert data_changes([chosen, "data.root=/x"]) == [chosen, "data.root=/x"]
    assert data_changes(["data=null", "data.root=/x"]) == ["+data.root=/x"]


def test_a_group_that_is_null_is_left_out() -> None:
    """Hydra itself takes it for a mistake."""
    given = ["logger=null", "callbacks=null", "experiment=null", "seed=null", "data.root=null"]
    kept = ["~logger", "~callbacks", "seed=null", "data.root=null"]
    assert without_null_groups(given, ["logger", "callbacks", "experiment", "data"]) == kept


def test_processes_of_a_torchrun_share_a_run_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert shared_folder("train") == []
    agent = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(agent.port)}
    for name, value in {**place, "TORCHELASTIC_USE_AGENT_STORE": "True"}.items():
        monkeypatch.setenv(name, value)
    given = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        given.append(shared_folder("train"))
    (folder,), (same, *others) = given
    assert folder.startswith("hydra.run.dir=${paths.runs_dir}/train/20")
    assert (same, others) == (folder, ["hydra.output_subdir=null"])


STEP = {
    "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NODEID": "0", "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "3", "MASTER_ADDR": "127.0.0.1",
}  # fmt: skip
"""What srun tells each of two tasks; beside SLURM_PROCID and SLURM_LOCALID."""


def test_tasks_of_a_slurm_step_share_a_run_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=1"])
    for name, value in {**STEP, "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    (folder,) = shared_folder("train")
    assert folder.startswith("hydra.run.dir=${paths.runs_dir}/train/slurm-4711-3-0-")
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert shared_folder("train") == [folder, "hydra.output_subdir=null"]
    for name, value in {"SLURM_STEP_ID": "4", "SLURM_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
        assert shared_folder("train")[0] != folder
    monkeypatch.setattr(sys, "argv", ["train.py", "seed=2"])  # by the same script, in one step
    assert shared_folder("train")[0] != folder
    for name, value in {"SLURM_JOB_NAME": "interactive", "SLURM_NTASKS": "1"}.items():
        with monkeypatch.context() as alone:
            alone.setenv(name, value)
            assert shared_folder("train") == []
    monkeypatch.delenv("SLURM_STEP_ID")  # of the batch script itself, which srun did not start
    assert shared_folder("train") == []


@pytest.mark.slow
def test_two_slurm_tasks_train_into_one_folder(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    started = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *TINY, "trainer.max_epochs=1",
             "trainer.devices=2", "trainer.strategy=ddp"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **STEP, "PYTHONPATH": str(ROOT), "MASTER_PORT": port,
                 "SLURM_PROCID": rank, "SLURM_LOCALID": rank},
        ) for rank in "01"
    ]  # fmt: skip
    said = [one.communicate(timeout=300)[0] for one in started]
    assert [one.returncode for one in started] == [0, 0], said
    (run,) = (tmp_path / "runs" / "train").iterdir()
    assert (run / ".hydra" / "config.yaml").is_file()
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


MISTAKES = {
    "misspelt key": (["model.architecture.rnn_sise=3"], ["rnn_sise", "did you mean 'rnn_size'?"]),
    "misspelt option": (["sed=3"], ["'sed'", "did you mean 'seed'?"]),
    "option elsewhere": (["workers=3"], ["'workers'", "did you mean loader.workers?"]),
    "misspelt group": (["modle=attention"], ["'modle'", "did you mean 'model'?"]),
    "group of the other": (["decode=beam"], ["no decode to choose", "--help"]),
    "misspelt choice": (["model=atention"], ["model/atention", "did you mean 'attention'?"]),
    "equals sign": (["data=csv", "data.table=a=b.csv"], ["'data.table=a=b.csv'", '"a=b.csv"']),
    "umlaut": (["data=csv", "data.table=größe.csv"], ["größe.csv", "quotes"]),
    "endless": (["seed=${seed}"], ["seed"]),
    "no model": (["model=null"], ["model must be a group of options"]),
    "no loader": (["~loader"], ["loader must be a group of options, got None: leave it in\n"]),
    "no text": (["text=null"], ["text must be a group of options"]),
    "no such data set": (["data=5"], ["data must be one of conf/data/"]),
    "no folder": (["hydra.run.dir=/proc/x/y"], ["/proc/x", "hydra.run.dir"]),
    "switched off": (
        ["callbacks.last=null", "callbacks.last.every_n_epochz=1"],
        ["'callbacks.last=null' leaves out all of it"],
    ),
    "constructor's": (["data.cache_dir= "], ["cache_dir"]),
    "no number": (["trainer.log_every_n_steps=abc"], ["trainer.log_every_n_steps", "'abc'"]),
    "no size": (["encoder.image_size=abc"], ["encoder.image_size", "'abc'"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_bad_command_line_is_one_line(mistake: str, tmp_path: Path) -> None:
    arguments, parts = MISTAKES[mistake]
    expect(forked("train.py", *arguments, folder=tmp_path), *parts)
    assert not list(tmp_path.glob("runs/train/*"))


def catches(process: int, number: int) -> bool:
    """Whether a process has asked for a signal, or has ended; where no system tells, it has."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return "State:\tZ" in status or bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize("wait", [0.3, 1.5, 5.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_set_up_is_one_line_and_its_code(
    number: int, wait: float, tmp_path: Path
) -> None:
    started = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "data.train=20000", "data.image_size=64"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    while not catches(started.pid, signal.SIGTERM):  # earlier no program could say anything
        time.sleep(0.01)
    time.sleep(wait)
    started.send_signal(number)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 128 + number, said
    name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[signal.Signals(number)]
    assert said.strip().splitlines()[-1] == f"stopped by {name}"
    assert "Traceback" not in said
