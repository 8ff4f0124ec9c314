"""`xray-report tune`: real studies of tiny trainings, each a fork of one process."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
import pytorch_lightning as pl
import torch
import yaml
from optuna.trial import FrozenTrial, TrialState
from torch.utils.data import DataLoader

from tests.commands.console import failure
from tests.scripts import TINY, Done, expect, forked
from tests.test_config import CONF, choices, composed
from tests.training.test_callbacks import Scripted
from xray_report.commands import tune
from xray_report.commands.tune import Tuning, in_hydras_words, read_search
from xray_report.errors import OptionError
from xray_report.training.callbacks import TRIAL, ReportToStudy, open_storage
from xray_report.training.trainer import build_trainer

SEARCH: dict[str, Any] = {
    "monitor": "val/loss",
    "direction": "minimize",
    "trials": 3,
    "sampler": {"name": "random", "seed": 1},
    "pruner": {"startup": 1, "warmup": 1},
    "overrides": {"model": "attention", "trainer.max_epochs": 3},
    "parameters": {
        "model.optimizer.lr": {"type": "choice", "choices": [0.0017, 1.0e-8]},
        "model.architecture.rnn_size": {"type": "int", "low": 256, "high": 264, "step": 8},
    },
}

SCRIPT = """
import os, runpy, signal, subprocess, sys, threading, time, traceback
from pathlib import Path
from xray_report import cli
from xray_report.commands import shared, tune
from xray_report.training.callbacks import TRIAL

class Forked:
    def __init__(self, pid):
        self.pid = pid

    def wait(self, timeout=1e9):
        until = time.monotonic() + timeout
        while True:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("train.py", timeout)
            time.sleep(0.02)

    def terminate(self):
        os.kill(self.pid, signal.SIGTERM)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

def start(typed, trial, log):
    pid = os.fork()
    if pid:
        return Forked(pid)
    code = 1
    try:
        os.setsid()
        file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.environ[TRIAL] = trial
        path = str(shared.program("train"))
        sys.argv[:] = [path, *typed]
        runpy.run_path(path, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

tune.start = start

def kill(path, number):
    while not Path(path).exists():
        time.sleep(0.002)
    os.kill(os.getpid(), number)

if at := os.environ.get("KILL_AT"):
    threading.Thread(target=kill, args=(at, int(os.environ["KILL_BY"])), daemon=True).start()
other = os.fork() if os.environ.get("TWICE") else None
try:
    cli.main()
finally:
    if other:
        os.waitpid(other, 0)
"""


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**SEARCH, **changes}, sort_keys=False))
    return path


def tuned(folder: Path, *arguments: str, **environment: str) -> Done:
    """`xray-report tune small.yaml` in a folder, as its own process."""
    script = folder / "tune_forking.py"
    script.write_text(SCRIPT)
    tiny = [one for one in TINY if not one.startswith("trainer.max_epochs")]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return forked(script, "tune", "small.yaml", *tiny, *arguments, folder=folder)


def trials_of(folder: Path) -> list[FrozenTrial]:
    storage = open_storage(str(folder / "runs" / "tune" / "small" / "study.journal"))
    return optuna.load_study(study_name="small", storage=storage).get_trials()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A whole study."""
    folder = tmp_path_factory.mktemp("whole")
    written(folder)
    return folder, tuned(folder)


def test_a_study_trains_prunes_and_says_a_line_a_trial(done: tuple[Path, Done]) -> None:
    folder, said = done
    assert said.code == 0, said.said
    trials = trials_of(folder)
    first, others = trials[0], trials[1:]
    assert len(trials) == 3
    assert first.params == {"model.optimizer.lr": 0.0017, "model.architecture.rnn_size": 256}
    assert "trial 0 is of the values in conf/: lr=0.0017 rnn_size=256" in said.out
    assert "with seed=0" in said.out
    assert first.state == TrialState.COMPLETE
    assert first.value == min(first.intermediate_values.values())
    assert sorted(first.intermediate_values) == [0, 1, 2]
    poor = [one for one in others if one.params["model.optimizer.lr"] == 1e-8]
    assert poor, "another sampler.seed, please"
    for one in poor:
        assert one.state == TrialState.PRUNED
        assert sorted(one.intermediate_values) == [0, 1]
        log = (folder / "runs" / "tune" / "small" / f"{one.number}.log").read_text()
        assert "pruned after epoch 2" in log
    for one in trials:
        lines = [x for x in said.out.splitlines() if x.startswith(f"trial {one.number}: ")]
        assert len(lines) == 1, said.out
        assert "; best " in lines[0]


def test_a_study_leaves_a_table_and_the_winner_as_an_experiment(done: tuple[Path, Done]) -> None:
    folder, said = done
    trials = trials_of(folder)
    ours = folder / "runs" / "tune" / "small"
    with (ours / "trials.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["trial"]) for row in rows) == [0, 1, 2]
    best = min((one for one in trials if one.state == TrialState.COMPLETE), key=lambda x: x.value)
    assert rows[0]["trial"] == str(best.number)
    assert float(rows[0]["val/loss"]) == best.value
    assert {row["note"] for row in rows if row["state"] == "pruned"} == {"pruned after epoch 2"}
    assert "3 trials, best first" in said.out
    assert ("no plots" in said.out) != (ours / "plots" / "slice.html").is_file()
    experiment = ours / "experiment" / "tuned_small.yaml"
    assert "data.train=6" in experiment.read_text().splitlines()[2]
    shown = forked(
        "train.py", "--config-dir", str(ours), "experiment=tuned_small", "--cfg", "job",
        folder=folder,
    )  # fmt: skip
    assert shown.code == 0, shown.said
    config = yaml.safe_load(shown.out)
    assert config["model"]["optimizer"]["lr"] == best.params["model.optimizer.lr"]
    assert config["model"]["architecture"]["rnn_size"] == 256 or best.number
    assert config["trainer"]["max_epochs"] == 3
    assert (config["model"]["monitor"], config["model"]["monitor_mode"]) == ("val/loss", "min")


def test_another_search_is_no_more_of_the_same_study(
    done: tuple[Path, Done], tmp_path: Path
) -> None:
    shutil.copytree(done[0] / "runs", tmp_path / "runs")
    again = tuned(done[0])
    assert again.code == 0, again.said
    assert len(trials_of(done[0])) == 3
    written(tmp_path, overrides={"model": "attention", "trainer.max_epochs": 2})
    expect(tuned(tmp_path), "was begun with other overrides", "--name")


@pytest.mark.parametrize("number", [9, pytest.param(15, marks=pytest.mark.slow)])
def test_a_killed_study_goes_on_with_nothing_lost(
    done: tuple[Path, Done], tmp_path: Path, number: int
) -> None:
    """The trial that ran goes on from its checkpoint, to the scores it would have had."""
    written(tmp_path, trials=1)
    last = tmp_path / "runs" / "tune" / "small" / "0" / "checkpoints" / "last.ckpt"
    killed = tuned(tmp_path, KILL_AT=str(last), KILL_BY=str(number))
    assert killed.code == {9: -9, 15: 143}[number], killed.said
    if number == 15:
        assert "stopped by SIGTERM: the same command goes on" in killed.err
        assert trials_of(tmp_path)[1].state == TrialState.WAITING
    again = tuned(tmp_path)
    assert again.code == 0, again.said
    given_up, taken_up = trials_of(tmp_path)
    assert given_up.state == TrialState.FAIL
    assert taken_up.state == TrialState.COMPLETE
    assert taken_up.params == given_up.params
    assert taken_up.user_attrs["earlier"] == [0]
    assert f"resume={last.relative_to(tmp_path)}" in str(
        yaml.safe_load((last.parents[2] / "1" / ".hydra" / "overrides.yaml").read_text())
    )
    assert taken_up.intermediate_values == trials_of(done[0])[0].intermediate_values
    with (last.parents[2] / "trials.csv").open(newline="") as file:
        assert [row["trial"] for row in csv.DictReader(file)] == ["1"]


@pytest.mark.slow
def test_two_processes_share_a_study(tmp_path: Path) -> None:
    written(tmp_path, trials=4, pruner={"name": "none"})
    said = tuned(tmp_path, "trainer.max_epochs=1", TWICE="1")
    assert said.code == 0, said.said
    counted = [one for one in trials_of(tmp_path) if not one.user_attrs.get("surplus")]
    assert [one.state for one in counted] == [TrialState.COMPLETE] * 4
    assert len({tuple(one.user_attrs["owner"]) for one in counted}) == 2


def test_a_training_that_cannot_begin_ends_the_search_and_its_trial_waits(tmp_path: Path) -> None:
    written(tmp_path)
    said = tuned(tmp_path, "data.train=0")
    expect(said, "error: trial 0: ", "train 0, val 2", "0.log")
    assert [one.state for one in trials_of(tmp_path)] == [TrialState.FAIL, TrialState.WAITING]


# The file and the command line.


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"trails": 3}, ("trails is no option", "'trials'")),
        ({"direction": "up"}, ("direction must be one of maximize, minimize",)),
        ({"trials": 0}, ("trials must be a positive integer",)),
        ({"sampler": {"name": "grid"}}, ("sampler.name must be one of tpe, random",)),
        ({"sampler": {"startup": -1}}, ("sampler.startup",)),
        ({"pruner": {"name": "mean"}}, ("pruner.name must be one of median, none",)),
        ({"pruner": {"warmup": 1.5}}, ("pruner.warmup",)),
        ({"overrides": ["a=1"]}, ("overrides must be a group",)),
        ({"overrides": {"resume": "x"}}, ("resume is given by the search itself",)),
        ({"overrides": {"~logger": None}}, ("'~logger' is no option",)),
        ({"overrides": {"model.optimizer.lr": 1}}, ("is searched in parameters",)),
        ({"parameters": {}}, ("names nothing to search",)),
        ({"parameters": {"a.b": 1}}, ("parameters.a.b must be a group",)),
        ({"parameters": {"a": {"type": "real"}}}, ("parameters.a.type must be one of float",)),
        ({"parameters": {"a": {"type": "float", "low": 1, "hi": 2}}}, ("a.hi is no option",)),
        ({"parameters": {"a": {"type": "float", "low": "1e-3", "high": 1}}}, ("1.0e-3",)),
        ({"parameters": {"a": {"type": "float", "low": 2, "high": 1}}}, ("above its low",)),
        ({"parameters": {"a": {"type": "int", "low": 1.5, "high": 2}}}, ("a.low must be",)),
        (
            {"parameters": {"a": {"type": "int", "low": 0, "high": 5, "step": 2}}},
            ("a multiple of step",),
        ),
        (
            {"parameters": {"a": {"type": "float", "low": 0, "high": 1, "log": True}}},
            ("above 0 with log",),
        ),
        ({"parameters": {"a": {"type": "choice", "choices": [1]}}}, ("two or more",)),
        ({"parameters": {"a": {"type": "choice", "choices": [1, [2]]}}}, ("plain values",)),
    ],
)
def test_mistakes_in_a_search_file_are_named(
    tmp_path: Path, changes: dict[str, Any], parts: tuple[str, ...]
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(OptionError) as caught:
        read_search(path)
    for part in (str(path), *parts):
        assert part in str(caught.value)


def test_mistakes_on_the_command_line_are_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert "did you mean 'attention'" in failure("tune", "atention")
    assert "must be NAME=VALUE" in failure("tune", path, "seed")
    assert "model.monitor is given by the search" in failure("tune", path, "model.monitor=x")
    assert "hydra.run.dir is given" in failure("tune", path, "hydra.run.dir=x")
    assert "is searched" in failure("tune", path, "model.optimizer.lr=1")
    assert "--trials must be a positive" in failure("tune", path, "--trials", 0)
    assert "--name must be" in failure("tune", path, "--name", "a/b")
    assert "direction must be maximize for val/cider" in failure(
        "tune", path, "--monitor", "val/cider"
    )
    path.write_text("a: [")
    assert "cannot be read" in failure("tune", path)


def test_what_train_py_would_refuse_is_told_before_any_trial(tmp_path: Path) -> None:
    overrides = {"model": "attention", "model.architecture.rnnsize": 8}
    path = written(tmp_path, overrides=overrides)
    said = failure("tune", path, "--runs", tmp_path / "runs")
    assert "rnnsize" in said
    assert "did you mean 'rnn_size'" in said
    dropout = {"model.architecture.dropout": {"type": "float", "low": 0.1, "high": 1.5}}
    path = written(tmp_path, parameters=dropout)
    assert "dropout" in failure("tune", path, "--runs", tmp_path / "runs")
    path = written(tmp_path, monitor="val/lost")
    assert "model.monitor must be one of" in failure("tune", path, "--runs", tmp_path / "runs")
    path = written(tmp_path)
    assert "val_check_interval must be left out" in failure(
        "tune", path, "+trainer.val_check_interval=0.5", "--runs", tmp_path / "runs"
    )
    assert not (tmp_path / "runs").exists()
    said = failure("tune", path, "--runs", tmp_path / "runs", "--storage", "nosuch://x")
    assert "storage: nosuch://x cannot be used" in said


@pytest.mark.parametrize("search", choices("search"))
def test_every_search_is_of_options_that_there_are(search: str) -> None:
    found = read_search(CONF / "search" / f"{search}.yaml")
    for at in (0, -1):
        values = {one.key: one.values()[at] for one in found.parameters}
        config = composed("train", *tune.arguments(found, values, []))
        assert config.model.architecture.name == search
    default = composed("train", *tune.arguments(found, {}, []))
    for one in found.parameters:
        if (CONF / one.key).is_dir():  # a group
            assert set(one.choices) <= set(choices(one.key))
            continue
        value: Any = default
        for part in one.key.split("."):
            value = value[part]
        assert one.type == "float" or one.holds(value), one.key


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 1e-5, "attention", "a b", "null", "1e3", 'say "x"', "a,b=c", "C:\\x", [1, "a"],
     {"a": 1}, ""],
)  # fmt: skip
def test_values_reach_train_py_as_they_are(value: object) -> None:
    config = composed("train", f"+x={in_hydras_words(value)}")
    assert config.x == value
    assert type(config.x) is type(value) or isinstance(value, (list, dict))


# The callback, and who owns a trial.


def study_of(path: Path) -> optuna.Study:
    return optuna.create_study(
        study_name="s", storage=open_storage(str(path)), direction="maximize"
    )


def fitted(
    monkeypatch: pytest.MonkeyPatch, path: Path, study: optuna.Study, script: list[float]
) -> FrozenTrial:
    """A trial whose training has these scores."""
    trial = study.ask()
    told = {
        "storage": str(path), "study": "s", "number": trial.number, "monitor": "val/score",
        "pruner": {"name": "median", "startup": 1, "warmup": 1}, "parent": os.getppid(),
    }  # fmt: skip
    monkeypatch.setenv(TRIAL, json.dumps(told))
    options = {"max_epochs": len(script), "accelerator": "cpu", "num_sanity_val_steps": 0}
    trainer: pl.Trainer = build_trainer(options, None, [])
    assert any(isinstance(one, ReportToStudy) for one in trainer.callbacks)  # type: ignore[attr-defined]
    loader = DataLoader(torch.zeros(2, 1))
    trainer.fit(Scripted(script), loader, loader)
    return study.get_trials()[trial.number]


def test_the_callback_tells_scores_and_prunes_what_falls_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "study.journal"
    study = study_of(path)
    good = fitted(monkeypatch, path, study, [0.1, 0.5, 0.9])
    assert good.intermediate_values == pytest.approx({0: 0.1, 1: 0.5, 2: 0.9})
    study.tell(good.number, 0.9)
    with pytest.raises(SystemExit) as ended:
        fitted(monkeypatch, path, study, [0.0, 0.4, 1.0])
    assert ended.value.code == 0
    poor = study.get_trials()[1]
    assert sorted(poor.intermediate_values) == [0, 1]  # the first epoch is the warm-up
    assert poor.user_attrs["pruned"] == 2


def test_a_trial_that_was_taken_up_by_another_process_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.journal"
    study = study_of(path)
    report = ReportToStudy.on_fit_start

    def taken_up(self: ReportToStudy, *given: Any) -> None:
        report(self, *given)
        study.tell(self.number, state=TrialState.FAIL)

    monkeypatch.setattr(ReportToStudy, "on_fit_start", taken_up)
    with pytest.raises(SystemExit):
        fitted(monkeypatch, path, study, [0.1, 0.2])
    assert "another process has taken this trial up" in capsys.readouterr().out
    assert study.get_trials()[0].intermediate_values == {}


def test_who_is_gone(tmp_path: Path) -> None:
    study = study_of(tmp_path / "study.journal")

    def gone(owner: list[object], silent: float) -> bool:
        trial = study.ask()
        trial.set_user_attr("owner", owner)
        trial.set_user_attr("alive", tune.time.time() - silent)
        return tune.is_gone(study.get_trials()[trial.number])

    host = tune.socket.gethostname()
    assert not gone([host, os.getpid()], 0)
    assert gone([host, os.getpid()], 2 * tune.GONE_SECONDS)
    assert not gone(["elsewhere", 1 << 22], 0)
    assert gone(["elsewhere", 1 << 22], 2 * tune.GONE_SECONDS)
    assert gone([host, (1 << 22) + 5], 0)  # above the greatest process id
    number = study.ask().number
    assert not tune.is_gone(study.get_trials()[number])  # it has not said yet


def test_a_database_serves_as_well_and_its_password_is_not_shown(tmp_path: Path) -> None:
    search = read_search(
        written(tmp_path, parameters={"seed": {"type": "int", "low": 0, "high": 9}})
    )
    place = f"sqlite:///{tmp_path / 'study.db'}"
    conf = {"seed": 3, "hydra": {"runtime": {"choices": {}}}}
    tuning = Tuning("s", tmp_path, place, search, [], conf)
    first = tuning._next()
    assert first is not None
    assert first.params == {}
    assert search.parameters[0].suggest(first) == 3  # what conf/ has
    tuning._run_again(tuning._frozen(first.number))
    tuning._run_again(tuning._frozen(first.number))  # by a second process
    again = Tuning("s", tmp_path, place, search, [], conf)._next()
    assert again is not None
    assert (again.number, again.params) == (1, {"seed": 3})
    assert again.user_attrs["earlier"] == [0]
    tuning.storage = "postgresql://me:secret@host/db"
    assert tuning.storage_shown() == "postgresql://...@host/db"
    with pytest.raises(
        OptionError, match=r"storage: nosuch://\.\.\.@host/db cannot be used"
    ) as told:
        open_storage("nosuch://me:secret@host/db")
    assert "secret" not in str(told.value)


def test_without_optuna_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tune.sys.modules, "optuna", None)
    assert re.search(r"pip install 'xray-report\[tune\]'", failure("tune", "attention"))
