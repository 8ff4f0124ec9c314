from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.inference.checkpoints import WORDS, contents, save
from tests.inference.test_decoder_laws import every_search
from xray_report.errors import CheckpointError, OptionError, XrayReportError
from xray_report.inference.checkpoint import (
    chosen_checkpoints,
    joint_decoder,
    load_checkpoint,
    located,
    model_note,
    newest_checkpoint,
    newest_or_bundled,
)
from xray_report.inference.ensemble import Ensemble
from xray_report.inference.generator import ReportGenerator
from xray_report.models.folder import BUNDLED_MODEL


class Malicious:
    """Would run a command when unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, ("raise SystemExit('ran')",)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "damaged or not a checkpoint"),
    "text": (lambda path: path.write_text("hello\n"), "damaged or not a checkpoint"),
    "bytes": (lambda path: path.write_bytes(bytes(range(256)) * 40), "damaged or not"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "damaged or not"),
    "malicious": (lambda path: torch.save({"a": Malicious()}, path), "damaged or not"),
    "cut short": (lambda path: path.write_bytes(save(path).read_bytes()[:50000]), "damaged or not"),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), "not a checkpoint of this"),
    "foreign": (
        lambda path: torch.save({"state_dict": {}, "epoch": 3}, path), "is a foreign checkpoint",
    ),
    "chexnet": (
        lambda path: torch.save({"xray_report": {"kind": "chexnet"}, "state_dict": {}}, path),
        "is a chexnet checkpoint, not a report model's",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_report_checkpoint_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    make, expected = BAD[case]
    path = tmp_path / "model.ckpt"
    make(path)
    with pytest.raises(CheckpointError, match=expected) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["none.ckpt", "."])
def test_a_missing_file_or_a_folder_is_named(path: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / path)


@pytest.mark.parametrize("key", ["encoder", "tokenizer", "decoder", "embedding_size", "about"])
@pytest.mark.parametrize("value", [None, 3.5, "x"], ids=["gone", "number", "text"])
def test_damaged_hyperparameters_are_refused_in_one_line(
    key: str, value: object, tmp_path: Path
) -> None:
    saved = contents()
    saved["hyper_parameters"][key] = value
    if value is None:
        del saved["hyper_parameters"][key]
    torch.save(saved, tmp_path / "model.ckpt")
    with pytest.raises(XrayReportError, match=r"model\.ckpt") as caught:
        load_checkpoint(tmp_path / "model.ckpt")
    assert "\n" not in str(caught.value)


VAST = 10_000_000
"""A matrix of this side has 400 TB."""


def expanded(saved: dict[str, Any]) -> None:
    """Every weight claims to be of the described size, and has one number."""
    saved["hyper_parameters"]["embedding_size"] = VAST
    for name, tensor in saved["state_dict"].items():
        if "embedding" in name and tensor.dim() == 2:
            saved["state_dict"][name] = torch.zeros(1, 1).expand(len(tensor), VAST)


def repeated(saved: dict[str, Any]) -> None:
    """Many weights are the same megabyte."""
    same = torch.zeros(512, 512)
    saved["state_dict"] |= {f"model.{number}": same for number in range(1000)}


def many_times(value: Any) -> list[Any]:
    """A list that stands for 10 ** 12 values, in 13 short lists."""
    for _ in range(12):
        value = [value] * 10
    return [value]


CLAIMS: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "wide decoder": (
        "attention",
        lambda saved: saved["hyper_parameters"]["decoder"].update(rnn_size=VAST), "size mismatch",
    ),
    "wider than numbers go": (
        "attention",
        lambda saved: saved["hyper_parameters"]["decoder"].update(rnn_size=10**30), "TypeError",
    ),
    "long words": (
        "encoder_decoder",
        lambda saved: saved["hyper_parameters"].update(embedding_size=VAST), "size mismatch",
    ),
    "many layers": (
        "transformer",
        lambda saved: saved["hyper_parameters"]["decoder"].update(layers=VAST),
        "of a network of more than",
    ),
    "long tables": (
        "transformer",
        lambda saved: (
            saved["hyper_parameters"]["decoder"].update(positions="sinusoidal", max_positions=VAST),
            saved["state_dict"].pop("model.decoder.positions"),
        ),
        "640 MB of tables",
    ),
    "large images": (
        "attention",
        lambda saved: saved["hyper_parameters"]["encoder"]["preprocessing"].update(size=VAST),
        "input size must be 1 to 4096",
    ),
    "long reports": (
        "attention", lambda saved: saved["hyper_parameters"].update(max_tokens=10**9),
        "max_tokens must be an integer from 1 to 4096",
    ),
    "words in words": (
        "attention",
        lambda saved: saved["hyper_parameters"]["tokenizer"].update(words=many_times("a")),
        "not of at most 2000000 plain values",
    ),
    "expanded": ("attention", expanded, "claims more numbers than the file holds"),
    "repeated": ("attention", repeated, "the same numbers again and again"),
}  # fmt: skip


@pytest.mark.parametrize("case", CLAIMS)
def test_a_description_that_claims_more_than_the_file_holds_is_not_built(
    case: str, tmp_path: Path
) -> None:
    name, change, expected = CLAIMS[case]
    saved = contents(name)
    change(saved)
    torch.save(saved, tmp_path / "model.ckpt")
    with pytest.raises(XrayReportError, match=r"model\.ckpt") as caught:
        load_checkpoint(tmp_path / "model.ckpt")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_the_format_of_before_is_refused_in_one_line(tmp_path: Path) -> None:
    saved = {"state_dict": {}, "xray_report": {"kind": "report", "vocabulary": [], "about": {}}}
    torch.save(saved, tmp_path / "old.ckpt")
    expected = r"old\.ckpt has the checkpoint format 1, this version reads 2: train again, or use"
    with pytest.raises(CheckpointError, match=expected):
        load_checkpoint(tmp_path / "old.ckpt")


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_every_weight_must_land(change: str, tmp_path: Path) -> None:
    saved = contents()
    name = "model.decoder.vocabulary.weight"
    weight = saved["state_dict"].pop(name)
    if change == "shape":
        saved["state_dict"][name] = weight[:, 1:].clone()
    torch.save(saved, tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match=r"decoder\.vocabulary\.weight") as caught:
        load_checkpoint(tmp_path / "model.ckpt")
    assert "\n" not in str(caught.value)


def given(studies: int = 5) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(studies, 2, 1024, 2, 2, generator=generator)
    ids = [f"CXR{i}" for i in range(studies)]
    return {
        "features": features, "view_mask": torch.ones(studies, 2).bool(), "study_ids": ids,
    }  # fmt: skip


@every_search
def test_checkpoints_write_together_under_every_search(search, tmp_path: Path) -> None:
    first = load_checkpoint(save(tmp_path / "one.ckpt"))
    two = load_checkpoint(save(tmp_path / "two.ckpt", name="encoder_decoder", seed=1))
    three = load_checkpoint(save(tmp_path / "three.ckpt", name="transformer", seed=2))
    joint = joint_decoder([first, two, three])
    assert isinstance(joint, Ensemble)
    texts = [
        [one.text for one in ReportGenerator(None, d, first.tokenizer, search).generate(**given())]
        for d in (first.model.decoder, two.model.decoder, joint)
    ]  # fmt: skip
    assert texts[2] not in texts[:2]


def test_checkpoints_that_cannot_write_together_say_why(tmp_path: Path) -> None:
    one = load_checkpoint(save(tmp_path / "one.ckpt"))
    words = load_checkpoint(save(tmp_path / "words.ckpt", words=[*WORDS[:-1], "hazy"]))
    fewer = load_checkpoint(save(tmp_path / "fewer.ckpt", words=WORDS[:-1]))
    eyes = load_checkpoint(save(tmp_path / "eyes.ckpt", encoder_seed=1))
    with pytest.raises(OptionError, match="word 10 of the ensemble's model 2 is 'hazy'"):
        joint_decoder([one, words])
    with pytest.raises(OptionError, match="model 2 of the ensemble has 10 words"):
        joint_decoder([one, fewer])
    with pytest.raises(CheckpointError, match=r"eyes\.ckpt has another encoder than .*one\.ckpt"):
        joint_decoder([one, eyes])


def run(folder: Path, name: str, kind: str, age: int) -> Path:
    checkpoint = folder / "train" / name / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"xray_report": {"kind": kind}}, checkpoint)
    os.utime(checkpoint, (age, age))
    return checkpoint


def test_the_newest_report_models_best_is_taken(tmp_path: Path) -> None:
    run(tmp_path, "old", "report", 1)
    newest = run(tmp_path, "new", "report", 2)
    run(tmp_path, "newer", "chexnet", 3)
    assert newest_checkpoint(tmp_path) == newest
    assert chosen_checkpoints(None, tmp_path) == [newest]
    assert newest_or_bundled(tmp_path) == newest
    assert newest_or_bundled(tmp_path / "none") == BUNDLED_MODEL


@pytest.mark.parametrize("here", [True, False])
def test_the_bundled_model_has_a_name_that_a_path_takes_from_it(
    here: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if here:
        (tmp_path / "phantom").mkdir()
    assert located("phantom") == (Path("phantom") if here else BUNDLED_MODEL)


def test_a_damaged_newest_is_not_passed_over(tmp_path: Path) -> None:
    run(tmp_path, "old", "report", 1)
    run(tmp_path, "new", "report", 2).write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"new.checkpoints.best\.ckpt is damaged"):
        newest_checkpoint(tmp_path)


def test_where_there_is_none_it_says_where_it_looked_and_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"train; run `python train.py model=attention`"):
        newest_checkpoint(tmp_path)


def test_one_or_several_are_taken_as_given(tmp_path: Path) -> None:
    assert chosen_checkpoints("a.ckpt", tmp_path) == [Path("a.ckpt")]
    assert chosen_checkpoints(["a.ckpt", "b.ckpt"], tmp_path) == [Path("a.ckpt"), Path("b.ckpt")]


@pytest.mark.parametrize("given", [[], "", [""], [3], [None], [["a"]]])
def test_anything_else_is_refused_and_not_taken_for_the_newest(given, tmp_path: Path) -> None:
    run(tmp_path, "new", "report", 2)
    with pytest.raises(OptionError, match="checkpoint must be a path or a list of paths"):
        chosen_checkpoints(given, tmp_path)


# What must be said of a model.


@pytest.mark.parametrize(
    ("data", "trained_on", "words"),
    [
        ("phantom", [], "only ever seen drawn (phantom) studies"),
        ("phantom+iu_xray", ["phantom", "nih"], ""),
        ("iu_xray", ["phantom"], "encoder has only ever seen drawn"),
        ("iu_xray", [], ""),
    ],
)
def test_models_that_know_drawings_alone_are_told(
    data: str, trained_on: list[str], words: str, tmp_path: Path
) -> None:
    saved = contents()
    described = saved["hyper_parameters"]
    described["about"]["data"] = data
    described["encoder"]["source"] = {"weights": "x", "trained_on": trained_on}
    torch.save(saved, tmp_path / "model.ckpt")
    note = model_note([load_checkpoint(tmp_path / "model.ckpt")])
    assert words in note
    assert bool(words) == bool(note)
