"""Files from a stranger that name code: none of it runs, whoever reads them.

Each case puts code that would leave a mark (a pickle's call, a `_target_`, a module beside a model,
a YAML tag) into a file, hands it to one of the programs that read such files, and looks for the
mark. An archive's members must not land outside its folder either. The program may do its work or
refuse in one line. A twin of each pickle is unpickled as Python does it, which must leave the mark:
otherwise the case would prove nothing.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.scripts import TINY
from tests.training.test_resume import checkpoint as resumable
from tests.trials.processes import Outcome, chance, console, fault_of, must, run, script
from xray_report.data.download import unpack
from xray_report.errors import one_line_errors

BASE = (*TINY, "trainer.max_epochs=1", "callbacks.attention_pictures=null",
        "model.architecture.rnn_size=16", "model.embedding.size=8",
        "model.embedding.vectors=null")  # fmt: skip


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.made = (function, arguments)

    def __reduce__(self) -> Any:
        return self.made


def calls(mark: Path) -> list[Call]:
    """Different ways to make the mark."""
    line = f"open({str(mark)!r}, 'w').close()"
    return [
        Call(os.mkdir, str(mark)),
        Call(os.system, f"mkdir '{mark}'"),
        Call(subprocess.call, ["mkdir", str(mark)]),
        Call(exec, line),
        Call(eval, line),
        Call(os.makedirs, str(mark)),
        Call(shutil.copytree, str(mark.parent / "empty"), str(mark)),
        Call(pickle.loads, pickle.dumps(Call(os.mkdir, str(mark)))),
        Call(torch.save, torch.zeros(1), str(mark)),
        Call(np.save, str(mark), np.zeros(1)),
    ]


TARGETS = (
    "os.system", "os.mkdir", "builtins.exec", "builtins.eval", "subprocess.call", "shutil.rmtree",
    "torch.utils.collect_env.run", "torch.load", "numpy.load", "numpy.save", "runpy.run_path",
    "hydra.utils.instantiate", "importlib.import_module", "pickle.load", "pathlib.Path.mkdir",
)  # fmt: skip
ARGUMENTS = ("command", "path", "name", "file", "args", "_args_", "root", "obj", "source")
PLACES = (
    "data", "data.cache_dir", "data.sources.mine", "callbacks.mine", "callbacks.last", "logger",
    "trainer.profiler", "trainer.plugins", "encoder", "encoder.weights", "model.architecture",
    "model.optimizer", "text.tokenizer", "loader", "augmentation",
)  # fmt: skip


def cases(numbers: range, seed: int, folder: Path) -> Iterator[Outcome]:
    """One file of a stranger a case."""
    trained = folder / "trained"
    (trained / "empty").mkdir(parents=True)
    must(script("train.py", *BASE, "hydra.run.dir=runs/train/whole"), trained)
    shutil.move(trained / "runs" / "train" / "whole" / "checkpoints" / "last.ckpt", trained)
    shutil.rmtree(trained / "runs")
    for number in numbers:
        case = folder / str(number)
        shutil.copytree(trained, case)
        yield one(list(KINDS)[number % len(KINDS)], case, chance(seed, number))
        shutil.rmtree(case)


def one(name: str, case: Path, rng: random.Random) -> Outcome:
    mark, draw = case / "mark", rng.random()
    must(lambda: KINDS[name](case, mark, random.Random(draw)), case)
    mark_is_left(case, mark)
    work, said = rng.choice(readers(case, name))
    ended = run(work, case, 120)
    if mark.exists() or (case / "mark.npy").exists():
        return Outcome((name, "code ran"), f"{name}, {said}: code from the file ran")
    if outside := [path.name for path in case.parent.glob("outside*")]:
        return Outcome((name, "wrote outside"), f"{name}, {said}: wrote {outside}")
    usage = ended.code == 2 and "Usage" in ended.said
    if not usage and (fault := fault_of(ended)):
        return Outcome((name, "ended wrongly"), f"{name}, {said}: {fault}")
    return Outcome((name, "refused" if ended.code else "did its work"))


def mark_is_left(case: Path, mark: Path) -> None:
    """Prove that the code that a case holds would leave its mark, and take the mark away."""
    twin = case / "twin.pickle"
    if not twin.exists():
        return
    must(lambda: pickle.loads(twin.read_bytes()), case)
    made = [path for path in (mark, case / "mark.npy") if path.exists()]
    assert made, "a trial's own code leaves no mark"
    for path in made:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# What a stranger sends: each writes the file that `readers` names.

FILE = "sent.ckpt"


def with_call(case: Path, mark: Path, rng: random.Random) -> Call:
    call = rng.choice(calls(mark))
    (case / "twin.pickle").write_bytes(pickle.dumps(call))
    return call


def bare_pickle(case: Path, mark: Path, rng: random.Random) -> None:
    call = with_call(case, mark, rng)
    (case / FILE).write_bytes(pickle.dumps(call, protocol=rng.randrange(6)))


def torch_file(case: Path, mark: Path, rng: random.Random) -> None:
    content = {"state_dict": {"features.conv0.weight": with_call(case, mark, rng)}}
    torch.save(content, case / FILE, _use_new_zipfile_serialization=rng.random() < 0.5)


def module_file(case: Path, mark: Path, rng: random.Random) -> None:
    module = torch.nn.Linear(1, 1)
    module.extra = with_call(case, mark, rng)  # type: ignore[assignment]
    torch.save(module, case / FILE, _use_new_zipfile_serialization=rng.random() < 0.5)


def good_checkpoint(case: Path, mark: Path, rng: random.Random) -> None:
    """One of ours, with a call in one of its places."""
    saved = torch.load(case / "last.ckpt", weights_only=True)
    place: Any = rng.choice((saved, saved["hyper_parameters"], saved["xray_report"],
                             saved["hyper_parameters"]["about"], saved["callbacks"],
                             saved["state_dict"]))  # fmt: skip
    place[rng.choice([*place, "more"])] = with_call(case, mark, rng)
    torch.save(saved, case / FILE, _use_new_zipfile_serialization=rng.random() < 0.7)


def target(mark: Path, rng: random.Random) -> dict[str, Any]:
    argument = rng.choice((str(mark), f"mkdir {mark}", f"open({str(mark)!r}, 'w')"))
    value: Any = [argument] if rng.random() < 0.3 else argument
    return {"_target_": rng.choice(TARGETS), rng.choice(ARGUMENTS): value}


def foreign_target(case: Path, mark: Path, rng: random.Random) -> None:
    """A whole checkpoint whose options name other code than ours."""
    saved = torch.load(case / "last.ckpt", weights_only=True)
    node: Any = saved["hyper_parameters"]["about"]["options"]
    *groups, last = rng.choice(PLACES).split(".")
    for group in groups:
        node = node.setdefault(group, {}) if isinstance(node.get(group, {}), dict) else node
    old = node.get(last)
    made = target(mark, rng)
    node[last] = {**old, **made} if isinstance(old, dict) and rng.random() < 0.5 else made
    torch.save(saved, case / FILE)


def foreign_target_alone(case: Path, mark: Path, rng: random.Random) -> None:
    """The same in a small file that holds no more than resuming reads first."""

    def change(saved: dict[str, Any]) -> None:
        saved[rng.choice(("data", "callbacks", "logger", "trainer"))] = target(mark, rng)

    resumable(case, change=change).replace(case / FILE)


def foreign_encoder(case: Path, mark: Path, rng: random.Random) -> None:
    """A checkpoint that describes its encoder, words or decoder by code."""
    saved = torch.load(case / "last.ckpt", weights_only=True)
    described = saved["hyper_parameters"]
    part = rng.choice(("encoder", "tokenizer", "decoder"))
    kind = rng.choice(("name", "kind", "options", "preprocessing"))
    described[part][kind] = rng.choice((target(mark, rng), rng.choice(TARGETS), f"{mark}"))
    torch.save(saved, case / FILE)


def module_beside(case: Path, mark: Path, rng: random.Random) -> None:
    """A Hugging Face model whose configuration points to a Python file beside it."""
    folder = case / "model"
    folder.mkdir()
    line = f"import os\nos.mkdir({str(mark)!r})\nclass Evil: pass\n"
    (folder / "evil.py").write_text(line)
    (folder / "configuration_evil.py").write_text(line)
    kinds = ("AutoConfig", "AutoModel", "AutoImageProcessor")
    plain = {"auto_map": dict.fromkeys(kinds, "evil.Evil"), "architectures": ["Evil"]}
    plain["model_type"] = rng.choice(("evil", "vit", "resnet"))
    (folder / "config.json").write_text(json.dumps(plain))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"size": 64, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, **plain})
    )


def yaml_tag(case: Path, mark: Path, rng: random.Random) -> None:
    """A config.yaml whose tags call Python."""
    tag = rng.choice(("!!python/object/apply:os.mkdir", "!!python/object/new:os.mkdir"))
    (case / "config.yaml").write_text(f"seed: {tag} [{str(mark)!r}]\n")


def array_file(case: Path, mark: Path, rng: random.Random) -> None:
    """Objects in the file of drawn pictures."""
    objects = np.empty((10, 2, 64, 64), object)
    objects[...] = with_call(case, mark, rng)
    for path in (case / ".cache").glob("*.npy"):
        np.save(path, objects[:1, :1, :1, :1], allow_pickle=True)


def climbing_archive(case: Path, mark: Path, rng: random.Random) -> None:
    """Members that lie outside, or links that lead there."""
    name = rng.choice(("../outside.txt", "a/../../outside.txt", str(case.parent / "outside.txt"),
                       "link/outside.txt", "link"))  # fmt: skip
    with tarfile.open(case / "sent.tgz", "w:gz") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)), "../.."
        if name.startswith("link"):
            archive.addfile(link)
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))


KINDS: dict[str, Callable[[Path, Path, random.Random], None]] = {
    "bare pickle": bare_pickle,
    "torch file": torch_file,
    "module": module_file,
    "call in a good checkpoint": good_checkpoint,
    "foreign target": foreign_target,
    "foreign target alone": foreign_target_alone,
    "foreign encoder": foreign_encoder,
    "module beside a model": module_beside,
    "YAML tag": yaml_tag,
    "array of objects": array_file,
    "climbing archive": climbing_archive,
}


def readers(case: Path, name: str) -> list[tuple[Callable[[], object], str]]:
    """Programs that read what a kind of stranger's file is, and what to call them."""
    sent, epochs = str(case / FILE), "trainer.max_epochs=2"
    if name == "module beside a model":
        given = ("encoder=huggingface", f"encoder.weights={case / 'model'}")
        return [(script("train.py", *BASE, *given), "train.py encoder=huggingface")]
    if name == "YAML tag":
        given = ("--config-path", str(case), "--config-name", "config")
        programs = ("train.py", "evaluate.py")
        return [(script(one, *given), f"{one} --config-path") for one in programs]
    if name == "array of objects":
        evaluated = script("evaluate.py", "checkpoint=last.ckpt", "device=cpu")
        return [(script("train.py", *BASE), "train.py"), (evaluated, "evaluate.py")]
    if name == "climbing archive":
        return [(partial(unpacking, case), "unpack")]
    film = case / "film.png"
    film.write_bytes(b"no film")  # weights are read first
    return [
        (script("evaluate.py", f"checkpoint={sent}", "device=cpu"), "evaluate.py checkpoint="),
        (script("train.py", f"resume={sent}", epochs), "train.py resume="),
        (script("train.py", *BASE, f"encoder.weights={sent}"), "train.py encoder.weights="),
        (script("train.py", *BASE, "model=chexnet", f"encoder.weights={sent}"), "model=chexnet"),
        (console("predict", "--checkpoint", sent, "--frontal", str(film)), "predict"),
        (console("convert-weights", sent, str(case / "w.safetensors")), "convert-weights"),
    ]


def unpacking(case: Path) -> None:
    with one_line_errors():
        unpack(case / "sent.tgz", case / "unpacked")
