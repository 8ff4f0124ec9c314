from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.inference.checkpoints import contents, save
from tests.inference.test_checkpoint import Malicious
from xray_report.errors import (
    CheckpointError,
    MissingExtraError,
    OptionError,
    OutputError,
    WeightsError,
    XrayReportError,
)
from xray_report.hub import is_hub_name
from xray_report.inference.beam import BeamSearch
from xray_report.inference.checkpoint import (
    CHECKPOINT_FORMAT,
    ReportCheckpoint,
    build_model,
    load_checkpoint,
)
from xray_report.inference.film_check import Films, FilmStatistics
from xray_report.inference.generator import ReportGenerator
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.load import check_weights, load_encoder
from xray_report.models.encoders.weights.files import FILMS_KEY
from xray_report.models.folder import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    check_writable,
    read_folder,
    write_folder,
)

DECODERS = ("attention", "transformer", "encoder_decoder")


def guided(path: Path) -> Path:
    """A checkpoint whose decoder is told labels, one of them never."""
    saved = contents(seed=3)
    plain = saved["hyper_parameters"]
    plain["guiding_labels"] = ["Edema", "Effusion"]
    torch.manual_seed(4)
    model = build_model(plain)
    state = model.state_dict()
    state["decoder.verdicts.weight"].normal_()
    state["decoder.verdicts.thresholds"].copy_(torch.tensor([-0.2, torch.inf]))
    saved["state_dict"] = {f"model.{key}": value for key, value in state.items()}
    torch.save(saved, path)
    return path


def shown(path: Path) -> Path:
    """A checkpoint whose decoder is shown evidence of findings."""
    saved = contents(seed=3)
    plain = saved["hyper_parameters"]
    plain["evidence"] = ["edema", "nodule", "nodule|small"]
    torch.manual_seed(4)
    state = build_model(plain).state_dict()
    state["decoder.detector.weight"].normal_()
    saved["state_dict"] = {f"model.{key}": value for key, value in state.items()}
    torch.save(saved, path)
    return path


GIVEN = {"guided": guided, "shown": shown}


def written(checkpoint: ReportCheckpoint, folder: Path, **options: Any) -> Path:
    about = {"kind": "report", "format": CHECKPOINT_FORMAT, "scores": checkpoint.scores}
    write_folder(
        folder, checkpoint.model, checkpoint.hyperparameters, about, checkpoint.epoch, "# card\n",
        **options,
    )  # fmt: skip
    return folder


def reports(checkpoint: ReportCheckpoint, size: int = 64) -> list[Any]:
    """From images on, so that the encoder counts too."""
    drawn = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (6, 2, size, size), dtype=torch.uint8, generator=drawn)
    mask = torch.tensor([[True, True], [True, False], [False, True]] * 2)
    generator = ReportGenerator(
        checkpoint.model.encoder, checkpoint.model.decoder, checkpoint.tokenizer,
        BeamSearch(beam_width=3, max_length=12),
    )  # fmt: skip
    found = generator.generate(images=images, view_mask=mask, study_ids=list("abcdef"))
    return [(one.text, one.hypotheses) for one in found]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    return written(load_checkpoint(save(folder / "model.ckpt")), folder / "model")


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "model"))


# A folder is its checkpoint.


def test_a_folder_remembers_the_training_films_of_its_checkpoint(tmp_path: Path) -> None:
    drawn = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (120, 64, 64), dtype=torch.uint8, generator=drawn)
    films = Films(pixels, torch.arange(120) % 2, torch.randn(120, 9, generator=drawn))
    learnt = FilmStatistics.learn(films, films)
    assert learnt is not None
    path = save(tmp_path / "model.ckpt")
    saved = torch.load(path, weights_only=True)
    torch.save({**saved, FILMS_KEY: learnt.to_plain()}, path)
    checkpoint = load_checkpoint(path)
    folder = written(checkpoint, tmp_path / "model", films=learnt.to_plain(), half=True)
    found = load_checkpoint(folder).films
    assert found is not None
    for name, tensor in found.to_plain().items():
        assert torch.equal(tensor, learnt.to_plain()[name])
    assert load_checkpoint(written(checkpoint, tmp_path / "none")).films is None


@pytest.mark.parametrize("name", ["frontal.thumbnails.basis", "lateral.features.mean"])
def test_films_of_another_shape_are_refused(name: str, tmp_path: Path) -> None:
    films = Films(torch.zeros(120, 64, 64, dtype=torch.uint8), torch.arange(120) % 2,
                  torch.randn(120, 9))  # fmt: skip
    learnt = FilmStatistics.learn(films, films)
    assert learnt is not None
    folder = written(
        load_checkpoint(save(tmp_path / "model.ckpt")), tmp_path / "model",
        films={**learnt.to_plain(), name: torch.zeros(3)},
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"statistics of films: .* has the shape"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", [*DECODERS, *GIVEN])
def test_a_folder_writes_the_reports_of_its_checkpoint(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    checkpoint = load_checkpoint(GIVEN[name](path) if name in GIVEN else save(path, name=name))
    loaded = load_checkpoint(written(checkpoint, tmp_path / "model"))
    assert reports(loaded) == reports(checkpoint)
    assert len({best.log_prob for _, (best, *_) in reports(loaded)}) > 1  # the images count
    assert loaded.hyperparameters == checkpoint.hyperparameters
    assert loaded.scores == checkpoint.scores
    assert loaded.model.encoder.identity == checkpoint.model.encoder.identity
    assert loaded.model.encoder.frozen
    assert loaded.tokenizer == checkpoint.tokenizer


def test_the_bundled_encoder_is_named_and_a_trained_one_is_written(tmp_path: Path) -> None:
    saved = contents()
    encoder = DenseNetEncoder.load("phantom", image_size=64)
    saved["hyper_parameters"]["encoder"] = encoder.describe()
    saved["state_dict"] |= {f"model.encoder.{k}": v for k, v in encoder.state_dict().items()}
    torch.save(saved, tmp_path / "own.ckpt")
    checkpoint = load_checkpoint(tmp_path / "own.ckpt")
    folder = written(checkpoint, tmp_path / "own")
    assert not any(name.startswith("encoder.") for name in load_file(folder / WEIGHTS))
    assert reports(load_checkpoint(folder)) == reports(checkpoint)

    saved["state_dict"]["model.encoder.features.conv0.weight"] *= 1.5  # trained on
    torch.save(saved, tmp_path / "tuned.ckpt")
    tuned = load_checkpoint(tmp_path / "tuned.ckpt")
    assert reports(tuned) != reports(checkpoint)
    folder = written(tuned, tmp_path / "tuned")
    assert any(name.startswith("encoder.") for name in load_file(folder / WEIGHTS))
    assert reports(load_checkpoint(folder)) == reports(tuned)


def test_another_bundled_encoder_than_it_was_trained_with_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = contents()
    encoder = DenseNetEncoder.load("phantom", image_size=64)
    saved["hyper_parameters"]["encoder"] = encoder.describe()
    saved["state_dict"] |= {f"model.encoder.{k}": v for k, v in encoder.state_dict().items()}
    torch.save(saved, tmp_path / "own.ckpt")
    folder = written(load_checkpoint(tmp_path / "own.ckpt"), tmp_path / "own")
    with torch.no_grad():
        encoder.features.norm5.bias += 1  # type: ignore[operator]
    monkeypatch.setattr(DenseNetEncoder, "load", lambda *_, **__: encoder)
    with pytest.raises(CheckpointError, match="another bundled encoder than this version's"):
        load_checkpoint(folder)


def test_half_is_half_as_large(exported: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(exported)
    folder = written(checkpoint, tmp_path / "half", half=True)
    sizes = [(one / WEIGHTS).stat().st_size for one in (folder, exported)]
    assert sizes[0] < 0.6 * sizes[1]
    theirs, ours = (load_checkpoint(one).model.state_dict() for one in (folder, exported))
    for name, tensor in ours.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-3, atol=1e-4)
    assert torch.float16 not in {one.dtype for one in theirs.values()}


def test_the_encoder_of_a_folder_is_an_encoder(exported: Path) -> None:
    encoder = load_encoder(weights=str(exported))
    assert encoder.identity == load_checkpoint(exported).model.encoder.identity
    assert encoder.source["format"] == "xray-report report folder"
    with pytest.raises(OptionError, match="is of encoder=densenet121, not of timm"):
        load_encoder(name="timm", architecture="resnet18", weights=str(exported))


# What is not a whole folder of ours.


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        plain = json.loads((folder / CONFIG).read_text())
        change(plain)
        (folder / CONFIG).write_text(json.dumps(plain))

    return edit


def flipped(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / WEIGHTS).write_bytes(data)


def renamed(folder: Path) -> None:
    """Weights of another shape, with their digest: all but the last check passes."""
    tensors = load_file(folder / WEIGHTS)
    tensors["decoder.vocabulary.weight"] = tensors["decoder.vocabulary.weight"][:, 1:].clone()
    save_file(tensors, folder / WEIGHTS)
    redigested(folder)


def pickled(folder: Path) -> None:
    torch.save({"a": Malicious()}, folder / WEIGHTS)
    redigested(folder)


def redigested(folder: Path) -> None:
    from xray_report.files import file_digest

    edited(lambda plain: plain["sha256"].update({WEIGHTS: file_digest(folder / WEIGHTS)}))(folder)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / CONFIG).unlink(), "there is no checkpoint"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "is missing or damaged"),
    "no tokenizer": (lambda f: (f / TOKENIZER).unlink(), "is missing or damaged"),
    "text": (lambda f: (f / CONFIG).write_text("hello"), r"config\.json is missing or damaged"),
    "bytes": (lambda f: (f / CONFIG).write_bytes(b"\xff\xfe\x00"), "missing or damaged"),
    "deep": (lambda f: (f / CONFIG).write_text("[" * 10**5), "missing or damaged"),
    "a list": (lambda f: (f / CONFIG).write_text("[]"), "it is no JSON object"),
    "foreign": (lambda f: (f / CONFIG).write_text('{"model_type": "bert"}'), "another project's"),
    "a flipped bit": (flipped, "it is not what config.json says"),
    "cut": (lambda f: (f / WEIGHTS).write_bytes(b"\x00" * 9), "it is not what config.json says"),
    "other words": (lambda f: (f / TOKENIZER).write_text("{}"), "it is not what config.json says"),
    "no digests": (edited(lambda p: p.pop("sha256")), "it is not what config.json says"),
    "later": (edited(lambda p: p["xray_report"].update(folder=9)), "folder format 9"),
    "older": (edited(lambda p: p["xray_report"].update(format=1)), "checkpoint format 1"),
    "chexnet": (edited(lambda p: p["xray_report"].update(kind="chexnet")), "is a chexnet"),
    "no encoder": (edited(lambda p: p.pop("encoder")), "missing or damaged"),
    "elsewhere": (edited(lambda p: p["encoder"].update(weights="/etc")), "unknown encoder weights"),
    "no parameters": (edited(lambda p: p.pop("hyper_parameters")), "config.json"),
    "another class": (
        edited(lambda p: p["hyper_parameters"]["decoder"].update(name="os.system")), "os.system",
    ),
    "another size": (
        edited(lambda p: p["hyper_parameters"]["decoder"].update(rnn_size=8)), "does not fit",
    ),
    "a shape": (renamed, r"decoder\.vocabulary\.weight"),
    "a pickle": (pickled, r"model\.safetensors is missing or damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_whole_folder_of_ours_is_refused_in_one_line(case: str, copy: Path) -> None:
    make, expected = BAD[case]
    make(copy)
    with pytest.raises(XrayReportError, match=expected) as caught:
        load_checkpoint(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_but_a_model_is_written_over(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(OutputError, match="holds other files"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="is a file"):
        check_writable(tmp_path / "thesis.tex")
    check_writable(exported)


def test_a_value_that_json_has_not_is_refused(exported: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(exported)
    plain = {**checkpoint.hyperparameters, "optimizer": {"lr": float("nan")}}
    about = {"kind": "report", "format": CHECKPOINT_FORMAT, "scores": {}}
    with pytest.raises(CheckpointError, match="JSON has no form for"):
        write_folder(tmp_path / "new", checkpoint.model, plain, about, 1, "# card\n")


# The hub.


def test_names_of_the_hub_are_told_from_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert is_hub_name("org/chest-model.v2")
    for path in ("runs/old", "checkpoints/best.ckpt", "a/b/c", "/a/b", "../b", "phantom", "a/"):
        assert not is_hub_name(path), path
    with pytest.raises(WeightsError, match="no weight file"):
        check_weights("checkpoints/best.ckpt")
    check_weights("org/chest-model")


def test_a_name_of_the_hub_is_fetched(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def snapshot_download(name: str, allow_patterns: list[str]) -> str:
        assert WEIGHTS in allow_patterns
        asked.append(name)
        return str(exported)

    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)  # type: ignore[arg-type]
    loaded = load_checkpoint("org/model")
    assert reports(loaded) == reports(load_checkpoint(exported))
    assert load_encoder(weights="org/model").identity == loaded.model.encoder.identity
    assert asked == ["org/model"] * 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["org/model: no such path here, asking the Hugging Face hub"] * 2


def test_a_hub_that_has_it_not_and_one_that_is_not_installed_are_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def snapshot_download(*_: object, **__: object) -> str:
        raise OSError("404 Client Error.\nRepository Not Found")

    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"404 Client Error\. Repository") as caught:
        load_checkpoint("org/model")
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"xray-report\[hub\]"):
        load_checkpoint("org/model")


def test_a_folder_that_is_no_model_has_no_encoder(copy: Path) -> None:
    flipped(copy)
    with pytest.raises(CheckpointError, match="it is not what config"):
        load_encoder(weights=str(copy))
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        read_folder(copy.parent)
