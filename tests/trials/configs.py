"""What a checkpoint says of its run, mutated: one line, or an evaluation or training that works.

Each case changes the plain values that a checkpoint carries (the options of its run, what describes
its encoder, words and decoder, the state of its training) or the config.yaml of its run folder:
values of another kind, missing or foreign names, other lengths, texts cut or bits flipped. Then
evaluate.py decodes with it, train.py goes on from it, or train.py takes the changed config.yaml as
its configuration. One of several is enough to know: it may work, or be refused in one line.
"""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.scripts import TINY
from tests.trials.damage import damaged
from tests.trials.processes import Outcome, Process, chance, fault_of, must, script

BASE = (
    *TINY, "trainer.max_epochs=1", "callbacks.attention_pictures=null",
    "model.architecture.rnn_size=16", "model.embedding.size=8", "model.embedding.vectors=null",
)  # fmt: skip
LONGEST = 60.0
"""Seconds: what is changed may be more epochs, but not many."""
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 2, 10**6, 10**30, 0.5, -0.5, float("nan"), float("inf"), "", "abc",
    "\0", "../x", "${seed}", "???", [], {}, [1], [None], {"a": 1}, {"_target_": "os.getcwd"},
    "os.getcwd", "numpy.load", "xray_report.data.sources.csv.CSVSource", "x" * 5000,
)  # fmt: skip
PARTS = (
    "hyper_parameters.about.options", "hyper_parameters.about", "hyper_parameters.encoder",
    "hyper_parameters.tokenizer", "hyper_parameters.decoder", "hyper_parameters", "xray_report",
    "loops", "callbacks", "optimizer_states", "lr_schedulers", "",
)  # fmt: skip
WAYS = ("evaluated", "evaluated", "resumed", "resumed", "as configuration")


def cases(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """One changed file and one command a case."""
    trained = folder / "trained"
    trained.mkdir()
    must(script("train.py", *BASE, "hydra.run.dir=runs/train/whole"), trained)
    must(script("evaluate.py", "device=cpu"), trained)
    shutil.rmtree(trained / "runs" / "evaluate")
    for number in numbers:
        case = folder / str(number)
        shutil.copytree(trained, case)
        yield one(case, chance(seed, number))
        shutil.rmtree(case)


def one(case: Path, rng: random.Random) -> Outcome:
    way = rng.choice(WAYS)
    run = case / "runs" / "train" / "whole"
    last = run / "checkpoints" / "last.ckpt"
    if way == "as configuration":
        config = run / ".hydra" / "config.yaml"
        config.write_bytes(damaged(config.read_bytes(), rng))
        said = "a damaged config.yaml"
        work = script("train.py", "--config-path", str(config.parent), "--config-name", "config")
    else:
        said = must(partial(change, last, rng.random()), case).out.strip()
        work = script("evaluate.py", f"checkpoint={last}", "device=cpu")
        if way == "resumed":
            work = script("train.py", f"resume={last}", "trainer.max_epochs=2")
    before = {path: path.stat().st_size for path in run.rglob("*.ckpt")}
    process = Process(work, case)
    ended = process.wait(LONGEST)
    if {path: path.stat().st_size for path in run.rglob("*.ckpt")} != before:
        return Outcome((way, "lost a file"), f"{way}, {said}: its checkpoints are others")
    if fault := fault_of(ended):
        return Outcome((way, "ended wrongly"), f"{way}, {said}: {fault}")
    return Outcome((way, "worked" if ended.code == 0 else "refused"))


def change(path: Path, draw: float) -> None:
    """Change one to three of a checkpoint's values, and say which on stdout."""
    rng = random.Random(draw)
    saved = torch.load(path, weights_only=True)
    said = [changed(saved, rng) for _ in range(rng.choice((1, 1, 2, 3)))]
    torch.save(saved, path)
    print("; ".join(said))


def changed(saved: dict[str, Any], rng: random.Random) -> str:
    """Change a value somewhere below one of `PARTS`, which stays plain; says what."""
    name = rng.choice(PARTS)
    node: Any = saved
    for part in name.split(".") if name else ():
        node = node.get(part) if isinstance(node, dict) else None
    while isinstance(node, (dict, list)) and node:
        key = rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
        deeper = node[key]
        name = f"{name}.{key}".lstrip(".")
        if not (isinstance(deeper, (dict, list)) and deeper and rng.random() < 0.8):
            return alter(node, key, name, rng)
        node = deeper
    return f"{name} untouched"


def alter(node: Any, key: Any, name: str, rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.2:
        del node[key]
        return f"{name} left out"
    if draw < 0.3 and isinstance(node, dict):
        node[f"{key}x"] = node.pop(key)
        return f"{name}x for {name}"
    if draw < 0.4 and isinstance(node[key], (list, str)) and node[key]:
        node[key] = node[key][:-1]
        return f"{name} cut"
    if draw < 0.5 and isinstance(node, list):
        node.append(copy.deepcopy(node[key]))
        return f"{name} twice"
    node[key] = copy.deepcopy(rng.choice(VALUES))
    return f"{name}={str(node[key])[:60]!r}"
