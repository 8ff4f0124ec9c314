"""Bad overrides of train.py and evaluate.py: one line each, no traceback, no hang, no lost file.

Each case gives a small training, or an evaluation of one, one or two arguments that it should not
have: values of another kind or out of range, misspelt keys, groups left out or replaced by a value,
keys that are not there, and what Hydra's grammar does not take. The whole program runs, forked; one
of 25 is a real `python train.py ...`. It may do its work, since not all of them are mistakes, or
refuse in one line, which for a misspelt key says what may have been meant. The user's own files
stand in the folder, and in places that the overrides name, and must be there afterwards.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.scripts import ROOT, TINY, command
from tests.trials.processes import Ended, Outcome, Process, chance, fault_of, must, script

BASE = (
    *TINY, "trainer.max_epochs=1", "callbacks.attention_pictures=null",
    "model.architecture.rnn_size=16", "model.embedding.size=8", "model.embedding.vectors=null",
)  # fmt: skip
REAL = 25
"""One of so many cases is a command as a user types it."""
LONGEST = 300.0
"""Seconds that a real command may take: its imports come before everything else."""

VALUES = (
    "null", "abc", "-1", "0", "1", "1e400", "1e-400", "nan", "inf", "-inf", "[]", "{}", "[1,2]",
    "{a:1}", "true", "false", "yes", "''", "1.5", "-0.5", "99999999999", "${seed}", "${nothing}",
    "???", "1,2", "[null]", "[[1]]", "{_target_:os.getcwd}", "x" * 300, "meta", "0x10", "'5'",
    "'true'", "${now:x}", "${oc.env:NOWHERE}", "os.getcwd", "nothing.Here", "cuda:99", "cpu",
)  # fmt: skip
PATHS = (
    "/proc/x", "/dev/null", "/dev/null/x", "logs", "logs/../logs", "notes.txt", "notes.txt/x", ".",
    "''", "~nobody/x", "a" * 300, "null", "'a b'", "model.ckpt",
)  # fmt: skip
JUNK = (
    "{key}=(", "{key}=a=b", "{key}={{", "={key}", "{key}", "--{key}", "-{key}", "{key}=ü",
    "ключ=1", "{key}='open", "a b=c", "@{key}=3", "{key}@=3", "{key}=$", "{key}=${{", "{key}=[1,",
    "{key}=a:b", "{key}= ", "", "{key}=\\", "{key}=a(b)", "{key}.x=1", "{key}.0=1", "+{key}=1",
    "~{key}=1", "{key}==", "++{key}", "{key}=a,b", "{key}=\N{EN DASH}1",
)  # fmt: skip
USERS = ("notes.txt", "logs/a.log", "logs/train.log.old", "data/table.csv", "model.ckpt")


def cases(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """One command line a case."""
    trained = folder / "trained"
    trained.mkdir()
    (trained / "logs").mkdir()
    (trained / "data").mkdir()
    must(script("train.py", *BASE), trained)
    must(script("evaluate.py", "device=cpu"), trained)  # its features are cached, too
    best = next(trained.glob("runs/train/*/checkpoints/best.ckpt"))
    for name in USERS:
        (trained / name).write_text(name)
    shutil.move(best, trained / "model.ckpt")
    shutil.rmtree(trained / "runs")
    must(partial(write_keys, folder / "keys.json"), folder)
    keys = json.loads((folder / "keys.json").read_text())
    for number in numbers:
        case = folder / str(number)
        shutil.copytree(trained, case)
        yield one(case, trained, keys, chance(seed, number), real=number % REAL == REAL - 1)
        shutil.rmtree(case)


def write_keys(path: Path) -> None:
    """The options of both programs: names of single ones, and of groups."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    found: dict[str, Any] = {}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for name in ("train", "evaluate"):
            plain = OmegaConf.to_container(compose(name, ["paths.output_dir=x"]))
            found[name] = [list(leaves(plain)), list(groups(plain))]
    path.write_text(json.dumps(found))


def leaves(options: Any, prefix: str = "") -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def groups(options: Any, prefix: str = "") -> Iterator[str]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield f"{prefix}{key}"
            yield from groups(value, f"{prefix}{key}.")


# One case.


def one(
    case: Path, trained: Path, keys: Mapping[str, Any], rng: random.Random, real: bool
) -> Outcome:
    program = rng.choice(("train", "train", "evaluate"))
    base = BASE if program == "train" else ("checkpoint=model.ckpt", "device=cpu")
    wrong = [argument(*keys[program], rng) for _ in range(rng.choice((1, 1, 2)))]
    arguments = [*base, *(given for given, _ in wrong)]
    said = f"{program}.py {' '.join(repr(given) for given, _ in wrong)}"
    working = False
    if real:
        try:
            done = command(f"{program}.py", *arguments, folder=case, seconds=LONGEST)
        except subprocess.TimeoutExpired:
            return Outcome(("hung",), f"{said}: not done after {LONGEST:.0f} s")
        ended = Ended(*done, 0)
    else:
        process = Process(script(f"{program}.py", *arguments), case)
        while process.is_running() and not process.hangs():
            time.sleep(0.01)
        working = process.is_running() and is_at_work(process.output())
        if process.is_running():
            process.kill_all()
        ended = process.wait()
    if fault := lost(case, trained):
        return Outcome(("lost a file",), f"{said}: {fault}")
    if working:
        return Outcome(("at work after 20 s of computing",))
    if fault := fault_of(ended):
        return Outcome(("ended wrongly",), f"{said}: {fault}")
    kind = "did its work" if ended.code == 0 else "refused"
    if ended.code and is_at_work(ended.out):
        kind = "refused at work"
    hinted = any(
        hint in ended.err for hint in ("did you mean", "Did you mean", "leaves out all of it")
    )
    if ended.code == 1 and len(wrong) == 1 and wrong[0][1] and not hinted:
        return Outcome(("no hint",), f"{said}: names nothing that was meant: {ended.err[-200:]!r}")
    return Outcome((kind, "as a command") if real else (kind,))


def is_at_work(out: str) -> bool:
    """Whether the checks are over: the data set has been read."""
    return "phantom: train" in out


def lost(case: Path, trained: Path) -> str:
    for name in USERS:
        path = case / name
        if not path.is_file() or path.read_bytes() != (trained / name).read_bytes():
            return f"the user's {name} is gone or another"
    return ""


# Arguments.


def argument(singles: list[str], grouped: list[str], rng: random.Random) -> tuple[str, bool]:
    """An argument that is probably wrong, and whether it is a key with one letter wrong."""
    key, draw = rng.choice(singles), rng.random()
    if draw < 0.5:
        return f"{key}={value_for(key, rng)}", False
    if draw < 0.6:
        slipped = misspelt(key, rng)
        return f"{slipped}={rng.choice(('1', 'true', 'abc'))}", slipped != key
    if draw < 0.7:
        return f"{rng.choice(grouped)}={rng.choice((*VALUES, 'nothing', 'defualt'))}", False
    if draw < 0.78:
        return f"~{rng.choice((key, rng.choice(grouped)))}", False
    if draw < 0.84:
        place = rng.choice((key, f"{rng.choice(grouped)}.more", f"more.{key}", f"{key}.more"))
        return f"{rng.choice(('+', '++'))}{place}={value_for(key, rng)}", False
    if draw < 0.88:
        where = rng.choice(("hydra.run.dir", "paths.runs_dir", "paths.cache_dir", "resume"))
        return f"{where}={rng.choice(PATHS)}", False
    return rng.choice(JUNK).format(key=key), False


def value_for(key: str, rng: random.Random) -> str:
    is_path = key.endswith(("dir", "dirpath", "resume", "weights", "vectors", "checkpoint"))
    return rng.choice(PATHS if is_path and rng.random() < 0.7 else VALUES)


def misspelt(key: str, rng: random.Random) -> str:
    """The key with a letter of its last part doubled, left out or exchanged with the next."""
    *group, last = key.split(".")
    if len(last) < 5:
        return key
    at = rng.randrange(1, len(last) - 1)
    made = rng.choice((
        last[:at] + last[at] + last[at:],
        last[:at] + last[at + 1 :],
        last[:at] + last[at + 1] + last[at] + last[at + 2 :],
    ))  # fmt: skip
    return ".".join((*group, made))
