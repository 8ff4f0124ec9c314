"""`xray-report tune`: a search of hyper-parameters, each trial a training of its own process."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from xray_report.commands.shared import program
from xray_report.errors import DataError, MissingExtraError, OptionError, one_line
from xray_report.job import NAMES, UNTOLD, Stopped
from xray_report.options import (
    as_path,
    check_choice,
    check_count,
    check_flag,
    check_known,
    check_number,
    check_text,
    did_you_mean,
)

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


def tune(
    search: Annotated[
        str,
        typer.Argument(metavar="SEARCH", help="A file of conf/search by its name, or its path."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="Options of train.py that every trial gets."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the study; that of its file.")] = None,
    trials: Annotated[
        int | None, typer.Option(help="Of the study, all processes together; as its file says.")
    ] = None,
    monitor: Annotated[
        str | None, typer.Option(help="Validation score to search by; as its file says.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Journal file or database URL; RUNS/NAME/study.journal without it."),
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder; each study has one in it.")] = Path(
        "runs/tune"
    ),
) -> None:
    """Search hyper-parameters with Optuna (extra `tune`): poor trials end early, the best is kept.

    Example: xray-report tune attention --trials 20 loader.workers=1

    Stopped or killed, the same command goes on: trials that were running are taken up again from
    their last checkpoint. Run it several times at once, or on several machines with one --storage,
    and they share the study. It ends with a table, trials.csv, plots (where plotly is installed)
    and the winner as an experiment file, in the study's folder.

    Hydra's own way, without pruning and going on: `pip install hydra-optuna-sweeper`, then
    `python train.py -m hydra/sweeper=optuna 'model.optimizer.lr=tag(log, interval(1e-3, 1e-2))'`.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtraError(
            "tune needs Optuna: install the extra, pip install 'xray-report[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = search_file(search)
    wanted = read_search(path)
    if trials is not None:
        wanted = wanted._replace(trials=check_count("--trials", trials))
    if monitor is not None:
        wanted = wanted._replace(monitor=check_text("--monitor", monitor))
    typed = checked_overrides(overrides or [], wanted)
    name = check_text("--name", path.stem if name is None else name)
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise OptionError(f"--name must be letters, digits, _, - and dots, got {name!r}")
    composed = check_composed(wanted, typed)
    check_direction(wanted)
    folder = runs / name
    place = str((folder / "study.journal").resolve()) if storage is None else storage
    if "://" not in place:
        place = str(as_path("--storage", place).resolve())
    tuning = Tuning(name, folder, place, wanted, typed, composed)
    with caught_signals():
        tuning.run()


# The search file.

KEYS = ("monitor", "direction", "trials", "sampler", "pruner", "overrides", "parameters")
TYPES = {
    "float": ("type", "low", "high", "log"),
    "int": ("type", "low", "high", "log", "step"),
    "choice": ("type", "choices"),
}
"""Kind of a parameter -> what its entry may hold."""
OURS = ("resume", "model.monitor", "model.monitor_mode", "paths.output_dir")
"""Options that the search gives itself."""
DIRECTIONS = {"maximize": "max", "minimize": "min"}
_KEY = re.compile(r"\+{0,2}[A-Za-z_]\w*([./][A-Za-z_]\w*)*")


class Parameter(NamedTuple):
    """What is searched.

    Args:
        key: option of train.py, such as `model.optimizer.lr`, or a group, such as `model`.
        type: `float`, `int` or `choice`.
        low: the least value; of a choice None.
        high: the greatest.
        log: whether drawn from its logarithm.
        step: between two values of an integer.
        choices: plain values of a choice.
    """

    key: str
    type: str
    low: Any = None
    high: Any = None
    log: bool = False
    step: int = 1
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial) -> Any:
        """The trial's value."""
        if self.type == "float":
            return trial.suggest_float(self.key, self.low, self.high, log=self.log)
        if self.type == "int":
            return trial.suggest_int(self.key, self.low, self.high, log=self.log, step=self.step)
        return trial.suggest_categorical(self.key, self.choices)

    def values(self) -> tuple[Any, ...]:
        """The outermost values, or all choices."""
        return self.choices or (self.low, self.high)

    def holds(self, value: object) -> bool:
        """Whether it may be `value`."""
        if self.type == "choice":
            return any(value == one and type(value) is type(one) for one in self.choices)
        kinds = (int, float) if self.type == "float" else (int,)
        inside = isinstance(value, kinds) and not isinstance(value, bool)
        inside = inside and self.low <= value <= self.high
        return inside and (self.type == "float" or (value - self.low) % self.step == 0)


class Search(NamedTuple):
    """A file of conf/search.

    Args:
        monitor: the validation score.
        direction: `maximize` or `minimize`.
        trials: how many.
        sampler: `name`, `seed` and `startup`, trials drawn at random before it learns.
        pruner: `name`, `startup`, trials that end before it judges, and `warmup`, epochs of each.
        overrides: option of train.py -> its value in all trials.
        parameters: what is searched.
    """

    monitor: str
    direction: str
    trials: int
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    overrides: dict[str, Any]
    parameters: tuple[Parameter, ...]


def search_file(search: str) -> Path:
    """The file that SEARCH names. Raises `OptionError` where there is none."""
    folder = program("train").parent / "conf" / "search"
    known = sorted(one.stem for one in folder.glob("*.yaml"))
    if search in known:
        return folder / f"{search}.yaml"
    path = as_path("SEARCH", search)
    if not path.is_file():
        raise OptionError(
            f"SEARCH: there is no file {search}{did_you_mean(search, known)}; give its path, or "
            f"one of {', '.join(known)}"
        )
    return path


def read_search(path: Path) -> Search:
    """The search that a YAML file describes.

    Raises `OptionError` naming the file and the key that is missing, unknown or of another kind.
    """
    import yaml

    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"{path} cannot be read: {one_line(error)}") from error
    try:
        return _search(_group("the file", plain))
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error


def _search(plain: Mapping[str, Any]) -> Search:
    check_known("", plain, KEYS)
    for key in ("monitor", "direction", "trials", "parameters"):
        if key not in plain:
            raise OptionError(f"{key} is not set: leave it in")
    sampler = {"name": "tpe", "seed": 0, "startup": 8, **_group("sampler", plain.get("sampler"))}
    check_known("sampler", sampler, ("name", "seed", "startup"))
    check_choice("sampler.name", sampler["name"], ("tpe", "random"))
    check_count("sampler.seed", sampler["seed"], 0)
    check_count("sampler.startup", sampler["startup"], 0)
    pruner = {"name": "median", "startup": 4, "warmup": 2, **_group("pruner", plain.get("pruner"))}
    check_known("pruner", pruner, ("name", "startup", "warmup"))
    check_choice("pruner.name", pruner["name"], ("median", "none"))
    check_count("pruner.startup", pruner["startup"], 0)
    check_count("pruner.warmup", pruner["warmup"], 0)
    overrides = _group("overrides", plain.get("overrides"))
    parameters = _group("parameters", plain["parameters"])
    if not parameters:
        raise OptionError("parameters names nothing to search: give OPTION: {type: ..., ...}")
    for group, keys in (("overrides", overrides), ("parameters", parameters)):
        for key in keys:
            if not isinstance(key, str) or not _KEY.fullmatch(key):
                raise OptionError(f"{group}: {key!r} is no option of train.py, such as model.lr")
            _refuse_ours(key)
    for key in overrides.keys() & parameters.keys():
        raise OptionError(f"overrides.{key} is searched in parameters: leave one out")
    return Search(
        check_text("monitor", plain["monitor"]),
        check_choice("direction", plain["direction"], tuple(DIRECTIONS)),
        check_count("trials", plain["trials"]),
        sampler,
        pruner,
        overrides,
        tuple(_parameter(key, one) for key, one in parameters.items()),
    )


def check_direction(search: Search) -> None:
    """Raise `OptionError` where a loss is to be high, or a score low."""
    right = "minimize" if search.monitor.endswith("loss") else "maximize"
    if search.direction != right:
        raise OptionError(f"direction must be {right} for {search.monitor}, got {search.direction}")


def _parameter(key: str, plain: object) -> Parameter:
    name = f"parameters.{key}"
    given = _group(name, plain)
    kind = given.get("type")
    check_choice(f"{name}.type", kind, tuple(TYPES))  # type: ignore[arg-type]
    check_known(name, given, TYPES[str(kind)])
    if kind == "choice":
        choices = given.get("choices")
        simple = (str, int, float, bool, type(None))
        if (
            not isinstance(choices, list)
            or len(choices) < 2
            or not all(isinstance(one, simple) for one in choices)
        ):
            raise OptionError(
                f"{name}.choices must be a list of two or more plain values, got {choices!r}"
            )
        return Parameter(key, "choice", choices=tuple(choices))
    low, high = given.get("low"), given.get("high")
    for bound, value in (("low", low), ("high", high)):
        if kind == "int":
            check_count(f"{name}.{bound}", value, -(1 << 53), 1 << 53)
        elif isinstance(value, str):
            raise OptionError(f"{name}.{bound} must be a number, got {value!r}: 1e-3 is 1.0e-3")
        else:
            check_number(f"{name}.{bound}", value)
    if not low < high:  # type: ignore[operator]
        raise OptionError(f"{name}.high must be above its low ({low}), got {high}")
    log = check_flag(f"{name}.log", given.get("log", False))
    step = check_count(f"{name}.step", given.get("step", 1))
    if log and low <= 0:  # type: ignore[operator]
        raise OptionError(f"{name}.low must be above 0 with log: true, got {low}")
    if log and step != 1:
        raise OptionError(f"{name}.step goes with log: false: leave one of them out")
    if kind == "int" and (high - low) % step:  # type: ignore[operator]
        raise OptionError(f"{name}.high must be low + a multiple of step, got {high}")
    return Parameter(key, str(kind), low, high, log, step)


def _group(name: str, plain: object) -> dict[str, Any]:
    if plain is None and name != "the file":
        return {}
    if not isinstance(plain, dict):
        raise OptionError(f"{name} must be a group of options, got {plain!r}")
    return plain


def _refuse_ours(key: str) -> None:
    bare = key.lstrip("+")
    if bare in OURS or bare.partition(".")[0] == "hydra":
        cure = "set monitor and direction" if bare.startswith("model.") else "leave it out"
        raise OptionError(f"{bare} is given by the search itself: {cure}")


def checked_overrides(typed: list[str], search: Search) -> list[str]:
    """What was typed. Raises `OptionError` unless it is NAME=VALUE of what is not searched."""
    searched = {one.key.lstrip("+") for one in search.parameters}
    for one in typed:
        key, equals, _ = one.partition("=")
        if not equals or not re.fullmatch(r"\+{0,2}[A-Za-z_][\w./@]*", key):
            raise OptionError(f"{one!r} must be NAME=VALUE, an option of train.py")
        _refuse_ours(key)
        if key.lstrip("+") in searched:
            raise OptionError(f"{key} is searched: leave it out, or take it out of the search file")
    return typed


# Options as train.py takes them.


def in_hydras_words(value: object) -> str:
    """A plain value as it stands behind `NAME=` on the command line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(in_hydras_words, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{in_hydras_words(one)}' for key, one in value.items())}}}"
    if not isinstance(value, str):
        return repr(value)
    number_like = re.fullmatch(r"(?i)null|true|false|nan|[+-]?inf|[-+.\d][-+.\de_]*", value)
    if re.fullmatch(r"[\w/.-]+", value) and not number_like:
        return value
    # Hydra takes a backslash as it is, but in front of a quote.
    escaped = re.sub(r'(\\*)("|$)', lambda one: one[1] * 2 + ("\\" + one[2]) * bool(one[2]), value)
    return f'"{escaped}"'


def arguments(search: Search, values: Mapping[str, Any], typed: list[str]) -> list[str]:
    """The command line of train.py for a trial of these values."""
    fixed = {
        **search.overrides,
        "model.monitor": search.monitor,
        "model.monitor_mode": DIRECTIONS[search.direction],
        **values,
    }
    return [*(f"{key}={in_hydras_words(value)}" for key, value in fixed.items()), *typed]


def check_composed(search: Search, typed: list[str]) -> dict[str, Any]:
    """What train.py composes without any parameter, once that and the whole space are checked.

    Beside its options stands `hydra`, Hydra's own, where the choices of groups are named.

    Raises the error, in one line, that a trial of the outermost values or of a choice would end
    with before it trains.
    """
    from xray_report.training.options import check_groups, check_options

    default = _composed(arguments(search, {}, typed))
    if default.get("trainer", {}).get("val_check_interval") not in (None, 1.0):
        raise OptionError(
            "trainer.val_check_interval must be left out: trials are compared epoch by epoch"
        )
    for index in range(max(len(one.values()) for one in search.parameters)):
        values = {one.key: (*one.values(), *one.values()[-1:] * index)[index]
                  for one in search.parameters}  # fmt: skip
        options = _composed(arguments(search, values, typed))
        del options["hydra"]
        check_groups(options)
        check_options(options)
    return default


def _composed(typed: list[str]) -> dict[str, Any]:
    import yaml

    done = subprocess.run(
        [sys.executable, str(program("train")), "--cfg", "all", "--resolve", *typed,
         "paths.output_dir=unused"],
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip
    if done.returncode:
        raise OptionError(last_error(done.stderr))
    plain: dict[str, Any] = yaml.safe_load(done.stdout)
    return plain


def last_error(text: str) -> str:
    """What a program said last of why it ended."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1]


# The study.

ALIVE_SECONDS = 60.0
"""How often a process says that its trial still runs."""
GONE_SECONDS = 300.0
"""Silent for longer, it is taken for dead; on its own machine as soon as it is none any more."""
PATIENCE = 60.0
"""Seconds that a training has to save and end, once it is told to."""


class Tuning:
    """One process's work on a study.

    Args:
        name: of the study.
        folder: of its trials' runs and its results.
        storage: file or URL.
        search: what is searched.
        typed: options that every trial gets beside it.
        composed: the configuration without any parameter.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        storage: str,
        search: Search,
        typed: list[str],
        composed: dict[str, Any],
    ) -> None:
        self.name, self.folder, self.storage = name, folder, storage
        self.search, self.typed, self.composed = search, typed, composed
        self.study = self._opened()

    def _opened(self) -> optuna.Study:
        """The study, begun here or by another process or before. Raises `OptionError`."""
        import optuna

        from xray_report.training.callbacks import open_storage, pruner_of

        storage = open_storage(self.storage)
        given: dict[str, Any] = {
            "study_name": self.name, "storage": storage,
            "pruner": pruner_of(self.search.pruner), "sampler": self._sampler(0),
        }  # fmt: skip
        try:
            direction = optuna.study.StudyDirection[self.search.direction.upper()]
            study = optuna.create_study(direction=direction, **given)
            study.set_user_attr("search", self._identity())
            self._enqueue_default(study)
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.load_study(**given)
        before = study.user_attrs.get("search", self._identity())
        for key, value in self._identity().items():
            if before.get(key) != value:
                raise OptionError(
                    f"the study {self.name} of {self.storage} was begun with other {key}: give "
                    "the same again, or begin another by --name"
                )
        return study

    def _identity(self) -> dict[str, Any]:
        """What all processes of a study must have in common, as JSON has it."""
        from xray_report.training.resume import MAY_CHANGE

        free = (*UNTOLD, *(one for one in MAY_CHANGE if one.startswith("data.")))
        names = ((one.partition("=")[0].lstrip("+"), one) for one in self.typed)
        plain = {
            "monitor": self.search.monitor,
            "direction": self.search.direction,
            "parameters": [one._asdict() for one in self.search.parameters],
            "overrides": self.search.overrides,
            "options": sorted(
                one
                for name, one in names
                if not any(name == way or name.startswith(f"{way}.") for way in free)
            ),
        }
        same: dict[str, Any] = json.loads(json.dumps(plain))
        return same

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """What draws the parameters of a trial: with its own seed, whoever runs it."""
        import optuna

        seed = (self.search.sampler["seed"] * 1_000_003 + number) % (1 << 32)
        if self.search.sampler["name"] == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        startup = self.search.sampler["startup"]
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)

    def _enqueue_default(self, study: optuna.Study) -> None:
        """Let the first trial be of the values in conf/, if the space holds them."""
        values: dict[str, Any] = {}
        groups = self.composed["hydra"]["runtime"]["choices"]
        for one in self.search.parameters:
            key = one.key.lstrip("+")
            found: Any = self.composed
            for part in key.split("."):
                found = found.get(part) if isinstance(found, Mapping) else None
            found = groups.get(key, found)
            if not one.holds(found):
                return
            values[one.key] = found
        study.enqueue_trial(values)
        typer.echo(f"trial 0 is of the values in conf/: {shown(values)}")

    def run(self) -> None:
        """Train trials until the study has all of them; then its results, also when stopped."""
        self.folder.mkdir(parents=True, exist_ok=True)
        typer.echo(
            f"study {self.name}: {self.search.trials} trials in {self.storage_shown()}, each with "
            f"seed={self.composed['seed']}, runs in {self.folder}"
        )
        try:
            while (trial := self._next()) is not None:
                self._train(trial)
        except Stopped as stopped:
            self._results()
            signalled = signal.Signals(int(str(stopped.code)) - 128)
            typer.echo(f"stopped by {NAMES[signalled]}: the same command goes on", err=True)
            raise
        self._results()

    def storage_shown(self) -> str:
        """The storage without a password."""
        from xray_report.training.callbacks import without_password

        return without_password(self.storage)

    # Trials.

    def _trials(self) -> list[FrozenTrial]:
        """All that count: not those that were stopped and are run again, nor any too many."""
        found = self.study.get_trials(deepcopy=False)
        return [one for one in found if not left_out(one)]

    def _next(self) -> optuna.Trial | None:
        """A trial to train; None if the study has all of them."""
        from optuna.trial import TrialState

        while True:
            self._take_up()
            counted = self._trials()
            waiting = any(one.state == TrialState.WAITING for one in counted)
            if not waiting and len(counted) >= self.search.trials:
                return None
            trial = self.study.ask()
            trial.set_user_attr("owner", [socket.gethostname(), os.getpid()])
            trial.set_user_attr("alive", time.time())
            self.study.sampler = self._sampler(trial.number)
            fixed = trial.params or self._frozen(trial.number).system_attrs.get("fixed_params")
            before = sum(one.number < trial.number for one in self._trials())
            if fixed or before < self.search.trials:
                return trial
            trial.set_user_attr("surplus", True)  # another process was faster
            self.study.tell(trial, state=TrialState.FAIL)

    def _take_up(self) -> None:
        """Have the trials of processes that are gone run again."""
        from optuna.trial import TrialState

        everything = self.study.get_trials(deepcopy=False)
        followed = {number for one in everything for number in one.user_attrs.get("earlier", ())}
        for one in everything:
            if one.state == TrialState.RUNNING and is_gone(one):
                typer.echo(f"trial {one.number} was stopped, and is run again")
                self._run_again(one)
            elif one.user_attrs.get("stopped") and one.state == TrialState.FAIL:
                ended = one.datetime_complete
                late = ended is not None and time.time() - ended.timestamp() > GONE_SECONDS
                if late and one.number not in followed:  # its process died while it was given up
                    self._enqueue_again(one)

    def _run_again(self, trial: FrozenTrial) -> None:
        """Give up a running trial, and have its parameters wait with the scores it has reached.

        Of several processes that try, the one that ends the trial has it wait.
        """
        import optuna

        try:
            optuna.Trial(self.study, trial._trial_id).set_user_attr("stopped", True)
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            return
        self._enqueue_again(trial)

    def _enqueue_again(self, trial: FrozenTrial) -> None:
        import optuna

        if not trial.params and "fixed_params" not in trial.system_attrs:
            return  # it had not begun
        self.study.add_trial(
            optuna.create_trial(
                state=optuna.trial.TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={"earlier": [*trial.user_attrs.get("earlier", ()), trial.number]},
                system_attrs=trial.system_attrs,
                intermediate_values=trial.intermediate_values,
            )
        )

    def _frozen(self, number: int) -> FrozenTrial:
        found = self.study.get_trials(deepcopy=False)
        return next(one for one in found if one.number == number)

    def _train(self, trial: optuna.Trial) -> None:
        """Train a trial in a process of its own, and tell the study how it ended."""
        values = {one.key: one.suggest(trial) for one in self.search.parameters}
        log = self.folder / f"{trial.number}.log"
        typed = arguments(self.search, values, self.typed)
        typed.append(f"hydra.run.dir={in_hydras_words(str(self.folder / str(trial.number)))}")
        if (checkpoint := self._goes_on_from(trial)) is not None:
            typed.append(f"resume={in_hydras_words(str(checkpoint))}")
        told = {
            "storage": self.storage, "study": self.name, "number": trial.number,
            "monitor": self.search.monitor, "pruner": self.search.pruner, "parent": os.getpid(),
        }  # fmt: skip
        process = start(typed, json.dumps(told), log)
        try:
            code = attended(process, lambda: trial.set_user_attr("alive", time.time()))
        except Stopped:
            self._run_again(self._frozen(trial.number))
            raise
        self._end(trial, values, code, log)

    def _goes_on_from(self, trial: optuna.Trial) -> Path | None:
        """The last checkpoint of the trial that this one repeats, if it lies here."""
        if "experiment" in {one.partition("=")[0] for one in (*self.search.overrides, *self.typed)}:
            return None  # resume takes its options from the run alone
        for number in reversed(trial.user_attrs.get("earlier", ())):
            path = self.folder / str(number) / "checkpoints" / "last.ckpt"
            if path.is_file():
                return path
        return None

    def _end(self, trial: optuna.Trial, values: dict[str, Any], code: int, log: Path) -> None:
        """Tell the study, and the screen in a line, how a trial ended.

        Raises `DataError` where training fails and never has succeeded in this study.
        """
        import optuna
        from optuna.trial import TrialState

        frozen = self._frozen(trial.number)
        if frozen.state != TrialState.RUNNING:
            typer.echo(f"trial {trial.number} was taken up by another process")
            return
        if code in (-signal.SIGTERM, *(128 + one for one in NAMES)):
            typer.echo(f"trial {trial.number} was stopped, and is run again")
            self._run_again(frozen)
            return
        scores = [one for one in frozen.intermediate_values.values() if math.isfinite(one)]
        best = (max if self.search.direction == "maximize" else min)(scores, default=None)
        pruned = frozen.user_attrs.get("pruned")
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        why = f"pruned after epoch {pruned}" if pruned else ""
        if code or (best is None and not pruned):
            state = TrialState.FAIL
            said = last_error(log.read_text(encoding="utf-8", errors="replace"))
            why = f"failed: {said}" if code > 0 else f"failed: ended by signal {-code}"
            why = why if code else f"failed: it has no finite {self.search.monitor}"
            ended = (TrialState.COMPLETE, TrialState.PRUNED)
            if code > 0 and not any(one.state in ended for one in self._trials()):
                self._run_again(frozen)
                raise DataError(f"trial {trial.number}: {said}; all that it said is in {log}")
            trial.set_user_attr("why", why)
        try:
            self.study.tell(trial, best if state == TrialState.COMPLETE else None, state)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            typer.echo(f"trial {trial.number} was taken up by another process")
            return
        score = why if best is None or state == TrialState.FAIL else f"{best:.4f} {why}".rstrip()
        leader = best_of(self.study)
        known = "" if leader is None else f"; best {leader.value:.4f} (trial {leader.number})"
        typer.echo(f"trial {trial.number}: {score}, {shown(values)}{known}")

    # Results.

    def _results(self) -> None:
        """The table, trials.csv, the plots and the winner's experiment file."""
        from optuna.trial import TrialState

        found = sorted(self._trials(), key=self._rank)
        print_table(self.search, found)
        write_trials(self.folder / "trials.csv", self.search, self.folder, found)
        typer.echo(f"written to {self.folder / 'trials.csv'}")
        running = sum(one.state == TrialState.RUNNING for one in found)
        if running:
            typer.echo(f"{running} trials still run elsewhere; once they end, run this again")
        if (winner := best_of(self.study)) is None:
            typer.echo("no trial has ended yet, so that there is no winner")
            return
        typer.echo(write_plots(self.study, self.folder / "plots"))
        name = f"tuned_{self.name}"
        path = self.folder / "experiment" / f"{name}.yaml"
        write_experiment(path, self.search, winner, self.typed, self.name)
        typer.echo(
            f"winner, trial {winner.number}: {path}; train with it by `python train.py "
            f"--config-dir {shlex.quote(str(self.folder))} experiment={name}`, or copy it to "
            "conf/experiment/"
        )

    def _rank(self, trial: FrozenTrial) -> tuple[bool, float, int]:
        value = trial.value if is_complete(trial) else None
        sign = -1 if self.search.direction == "maximize" else 1
        return value is None, sign * (value or 0.0), trial.number


def left_out(trial: FrozenTrial) -> bool:
    """Whether a trial does not count: stopped and run again as another, or one too many."""
    return bool(trial.user_attrs.get("stopped") or trial.user_attrs.get("surplus"))


def is_complete(trial: FrozenTrial) -> bool:
    """Whether a trial has trained to its end."""
    from optuna.trial import TrialState

    return trial.state == TrialState.COMPLETE


def is_gone(trial: FrozenTrial) -> bool:
    """Whether the process of a running trial is no more, or has been silent for too long."""
    begun = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    if time.time() - float(trial.user_attrs.get("alive", begun)) > GONE_SECONDS:
        return True
    host, process = trial.user_attrs.get("owner", (None, 0))
    if host != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def best_of(study: optuna.Study) -> FrozenTrial | None:
    """The best trial that has ended; None before any has."""
    try:
        return study.best_trial
    except ValueError:
        return None


def shown(values: Mapping[str, Any]) -> str:
    """Values in short, such as `lr=0.0041 dropout=0.3`."""
    texts = {key.rpartition(".")[2]: value for key, value in values.items()}
    return " ".join(
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={in_hydras_words(value)}"
        for key, value in texts.items()
    )


# Processes.


def start(typed: list[str], trial: str, log: Path) -> subprocess.Popen[bytes]:
    """Begin a training that tells the study its scores.

    In a session of its own, so that Ctrl-C reaches this process alone, which then has it save.

    Args:
        typed: options of train.py.
        trial: what `ReportToStudy` is told, as JSON.
        log: file of what it says.
    """
    from xray_report.training.callbacks import TRIAL

    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, str(program("train")), *typed],
            env={**os.environ, TRIAL: trial},
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


def attended(process: subprocess.Popen[bytes], alive: Callable[[], None]) -> int:
    """The exit code of a process, once it has ended; meanwhile `alive` is called now and then.

    If this process is stopped, so is that one, which is given time to save.
    """
    said = time.monotonic()
    try:
        while True:
            try:
                return process.wait(1.0)
            except subprocess.TimeoutExpired:
                if time.monotonic() - said > ALIVE_SECONDS:
                    said = time.monotonic()
                    alive()
    except BaseException:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except BaseException:
            process.kill()
            process.wait()
        raise


@contextmanager
def caught_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise `Stopped`."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in NAMES}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# What a study leaves.


def print_table(search: Search, found: list[FrozenTrial]) -> None:
    """Print the trials, in their order, a row each."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{len(found)} trials, best first", title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column(escape(search.monitor), no_wrap=True)
    table.add_column("epochs", justify="right")
    for one in search.parameters:
        table.add_column(escape(one.key.rpartition(".")[2]), overflow="fold")
    for trial in found:
        score = f"{trial.value:.4f}" if is_complete(trial) else trial.state.name.lower()
        values = [shown({"": trial.params[one.key]})[1:] if one.key in trial.params else "-"
                  for one in search.parameters]  # fmt: skip
        table.add_row(str(trial.number), score, str(epochs_of(trial)), *map(escape, values))
    Console().print(table)


def epochs_of(trial: FrozenTrial) -> int:
    """How many epochs a trial has trained and validated."""
    return max(trial.intermediate_values, default=-1) + 1


def write_trials(path: Path, search: Search, folder: Path, found: list[FrozenTrial]) -> None:
    """Write a CSV of trials, in their order: number, state, score, epochs, seconds, run, values."""
    import csv

    from xray_report.files import replacing

    keys = [one.key for one in search.parameters]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        head = ("trial", "state", search.monitor, "epochs", "seconds", "run", *keys, "note")
        writer.writerow(head)
        for trial in found:
            took = trial.duration
            pruned = trial.user_attrs.get("pruned")
            note = trial.user_attrs.get("why", f"pruned after epoch {pruned}" if pruned else "")
            writer.writerow(
                (trial.number, trial.state.name.lower(),
                 "" if trial.value is None else trial.value, epochs_of(trial),
                 "" if took is None else round(took.total_seconds()), folder / str(trial.number),
                 *(trial.params.get(key, "") for key in keys), note)
            )  # fmt: skip


PLOTS = (
    *("optimization_history", "intermediate_values", "slice", "parallel_coordinate"),
    "param_importances",
)


def write_plots(study: optuna.Study, folder: Path) -> str:
    """Write Optuna's plots as HTML pages, and say so; or say what they need."""
    from optuna import visualization

    from xray_report.files import replacing

    if not visualization.is_available():
        return "no plots: they need plotly (pip install plotly)"
    missing = []
    for name in PLOTS:
        try:
            figure = getattr(visualization, f"plot_{name}")(study)
        except (ImportError, ValueError, RuntimeError):  # too few trials, or needs another package
            missing.append(name)
            continue
        with replacing(folder / f"{name}.html") as temporary:
            figure.write_html(temporary)
    without = f" (but {', '.join(missing)}: too few trials, or it needs scikit-learn)"
    return f"plots in {folder}{without if missing else ''}"


def write_experiment(
    path: Path, search: Search, winner: FrozenTrial, typed: list[str], study: str
) -> None:
    """Write what the winner trains with as a file of conf/experiment/.

    Args:
        path: the file.
        search: its overrides are the winner's, too.
        winner: the best trial.
        typed: options that are named in a comment only: they are of a machine or a try.
        study: its name.
    """
    import yaml

    from xray_report.files import replacing

    groups = program("train").parent / "conf"
    chosen = {**search.overrides, **winner.params}
    defaults: list[Any] = []
    options: dict[str, Any] = {
        "model": {"monitor": search.monitor, "monitor_mode": DIRECTIONS[search.direction]}
    }
    for key, value in chosen.items():
        bare = key.lstrip("+")
        if bare == "experiment":
            defaults.insert(0, value)
        elif (groups / bare).is_dir() and not isinstance(value, dict):
            defaults.append({f"override /{bare}": value})
        else:
            *parents, last = bare.split(".")
            place = options
            for part in parents:
                place = place.setdefault(part, {})
            place[last] = value
    lines = [
        "# @package _global_",
        f"# The best of the study {study}: trial {winner.number}, {search.monitor} {winner.value}.",
    ]
    if typed:
        lines.append(f"# It also had, which is not in here: {shlex.join(typed)}")
    plain = ({"defaults": defaults} if defaults else {}) | options
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    with replacing(path) as temporary:
        temporary.write_text("\n".join((*lines, text)), encoding="utf-8")
