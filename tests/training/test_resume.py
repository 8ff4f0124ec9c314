"""A resumed run has the options of the run, and is refused where it would be another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from tests.test_config import composed
from tests.tiny_source import TinySource
from tests.training.test_options import options
from tests.training.test_report_module import fit
from xray_report import assemble
from xray_report.errors import CheckpointError, OptionError, XrayReportError
from xray_report.inference.checkpoint import state_digest
from xray_report.training.options import check_options
from xray_report.training.resume import check_resumed, going_on, resumed_options, saved_options
from xray_report.training.trainer import WholeFiles

RUN = ("model=encoder_decoder", "seed=3", "data.seed=5", "loader.images=exchanged",
       "text.max_tokens=40", "callbacks.early_stopping.patience=60", "trainer.max_epochs=7",
       "callbacks.attention_pictures=null")  # fmt: skip
STATE: dict[str, Any] = {
    "state_dict": {}, "optimizer_states": [], "lr_schedulers": [], "loops": {}, "callbacks": {}
}  # fmt: skip


def checkpoint(
    folder: Path, *overrides: str, change: Callable[[dict[str, Any]], None] = lambda _: None
) -> Path:
    """A file with what resuming reads of a run's checkpoint before anything is built."""
    saved = options(*(overrides or RUN))
    saved["paths"]["output_dir"] = "/old/run"
    saved["callbacks"]["checkpoint"]["dirpath"] = "/old/run/checkpoints"
    saved["callbacks"]["last"]["dirpath"] = "/old/run/checkpoints"
    saved["encoder"]["allow_pickle"] = True
    change(saved)
    content = STATE | {
        "epoch": 2,
        "hyper_parameters": {"about": {"options": saved}},
        "xray_report": {"kind": saved["model"]["kind"], "format": 2},
    }
    torch.save(content, folder / "last.ckpt")
    return folder / "last.ckpt"


def resumed(path: Path, *overrides: str) -> tuple[dict[str, Any], list[str]]:
    return resumed_options(path, options(*overrides, f"resume={path}"), overrides)


@pytest.mark.parametrize("name", [*STATE, "epoch"])
def test_a_state_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    path = checkpoint(tmp_path)
    torch.save({**torch.load(path), name: "7"}, path)
    with pytest.raises(CheckpointError, match=f"holds no {name}"):
        resumed(path)


def test_a_callbacks_state_of_another_kind_is_named(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    torch.save({**torch.load(path), "callbacks": {"EarlyStopping": 3}}, path)
    with pytest.raises(CheckpointError, match="state of the callback EarlyStopping is 3"):
        resumed(path)


def test_options_that_hold_themselves_many_times_are_refused_at_once(tmp_path: Path) -> None:
    def nest(saved: dict[str, Any]) -> None:
        nested: Any = ["x"]
        for _ in range(60):
            nested = [nested, nested]
        saved["data"] = nested

    with pytest.raises(CheckpointError, match="does not say with which options"):
        resumed(checkpoint(tmp_path, change=nest))


def test_the_options_are_those_of_the_run(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    found, changes = resumed(path)
    assert changes == []
    assert (found["seed"], found["data"]["seed"], found["loader"]["images"]) == (3, 5, "exchanged")
    assert found["model"]["architecture"]["name"] == "encoder_decoder"
    assert found["text"]["max_tokens"] == 40
    assert found["callbacks"]["early_stopping"]["patience"] == 60
    assert found["callbacks"]["attention_pictures"] is None
    assert found["trainer"]["max_epochs"] == 7
    assert found["resume"] == str(path)


def test_where_to_write_and_what_may_run_code_is_the_command_lines(tmp_path: Path) -> None:
    found, _ = resumed(checkpoint(tmp_path))
    assert found["paths"]["output_dir"] == "unused"
    assert found["callbacks"]["last"]["dirpath"] == "unused/checkpoints"
    assert found["encoder"]["allow_pickle"] is False


def test_the_command_line_changes_what_may_change_and_says_so(tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    found, changes = resumed(
        path, "trainer.max_epochs=24", "loader.workers=0", "~logger",
        "callbacks.early_stopping=null", "seed=3", "model=encoder_decoder",
    )  # fmt: skip
    assert found["trainer"]["max_epochs"] == 24  # the default, but not the run's
    assert (found["logger"], found["callbacks"]["early_stopping"]) == (None, None)
    assert "resume: trainer.max_epochs=24 (the run had 7)" in changes
    assert len(changes) == 4


def test_a_rewarded_run_goes_on_without_what_it_started_from(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "training=scst", "training.start=gone.ckpt", "training.samples=3")
    for typed in ((), ("training=scst",)):
        found, changes = resumed(path, *typed)
        assert (found["training"]["samples"], found["model"]["optimizer"]["lr"]) == (3, 2e-4)
        assert changes == []
        check_options(found)
    with pytest.raises(
        OptionError, match=r"training\.name=scst, which cannot become cross_entropy"
    ):
        resumed(path, "training=cross_entropy")
    with pytest.raises(OptionError, match=r"training\.samples=3, which cannot become 4"):
        resumed(path, "training=scst", "training.samples=4")


def test_a_run_of_before_rewards_was_trained_by_cross_entropy(tmp_path: Path) -> None:
    found, _ = resumed(checkpoint(tmp_path, change=lambda saved: saved.pop("training")))
    assert found["training"] == {"name": "cross_entropy"}


def test_a_run_brings_the_projects_own_loggers_and_the_bar_of_before(tmp_path: Path) -> None:
    bar = "pytorch_lightning.callbacks.TQDMProgressBar"

    def before(saved: dict[str, Any]) -> None:
        saved["callbacks"]["progress"]["_target_"] = bar
        saved["logger"]["folder"] = "/old/run"

    found, changes = resumed(checkpoint(tmp_path, *RUN, "logger=csv", change=before))
    assert changes == []
    assert found["callbacks"]["progress"]["_target_"] == bar
    assert found["logger"]["_target_"].endswith("csv_logger")
    assert found["logger"]["folder"] == "unused"
    check_options(found)


REFUSED = {
    "another seed": (["seed=4"], "has seed=3, which cannot become 4"),
    "another model": (["model=attention"], r"model\.architecture\.name=encoder_decoder.*attention"),
    "another size": (["model.architecture.rnn_size=8"], r"rnn_size=384, which cannot become 8"),
    "another stage": (["model=chexnet"], r"model\.kind=report, which cannot become chexnet"),
    "another data set": (["data=iu_xray", "data.root=x"], r"data\._target_=.*PhantomSource"),
    "another split": (["data.seed=6"], r"data\.seed=5, which cannot become 6"),
    "another encoder": (
        ["encoder=torchvision"], r"encoder\.name=densenet121, which cannot become torchvision",
    ),
    "other cleaning": (["text.tokenizer.cleaner.lower_case=false"], "lower_case=True"),
    "own images": (["loader.images=own"], r"loader\.images=exchanged"),
    "an experiment": (["experiment=original"], "leave out experiment="),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_must_not_change_is_refused(case: str, tmp_path: Path) -> None:
    overrides, message = REFUSED[case]
    with pytest.raises(OptionError, match=message) as caught:
        resumed(checkpoint(tmp_path), *overrides)
    assert "\n" not in str(caught.value)


def foreign_callback(saved: dict[str, Any]) -> None:
    saved["callbacks"]["mine"] = {"_target_": "os.system", "command": "true"}


def foreign_class_of_a_callback(saved: dict[str, Any]) -> None:
    saved["callbacks"]["last"]["_target_"] = "os.system"


def foreign_data(saved: dict[str, Any]) -> None:
    saved["data"]["_target_"] = "numpy.load"


def foreign_value(saved: dict[str, Any]) -> None:
    saved["data"]["cache_dir"] = {"_target_": "os.system"}


def foreign_value_in_a_list(saved: dict[str, Any]) -> None:
    saved["data"]["labels"] = [[{"_target_": "os.system"}]]


def foreign_trainer(saved: dict[str, Any]) -> None:
    saved["trainer"]["profiler"] = {"_target_": "os.system"}


@pytest.mark.parametrize(
    "change",
    [foreign_callback, foreign_class_of_a_callback, foreign_data, foreign_value,
     foreign_value_in_a_list, foreign_trainer],
)  # fmt: skip
def test_no_class_that_only_a_checkpoint_names_is_built(
    change: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"last\.ckpt") as caught:
        resumed(checkpoint(tmp_path, change=change))
    assert "\n" not in str(caught.value)


def test_a_data_set_of_the_project_need_not_be_named_again(tmp_path: Path) -> None:
    found, _ = resumed(checkpoint(tmp_path, "data=iu_xray", "data.root=x", "data.split=dedup"))
    assert found["data"]["split"] == "dedup"
    found, changes = resumed(
        checkpoint(tmp_path, "data=iu_xray", "data.root=x", "data.split=dedup"),
        "data=iu_xray", "data.root=/moved",
    )  # fmt: skip
    assert (found["data"]["split"], found["data"]["root"]) == ("dedup", "/moved")
    assert changes == ["resume: data.root=/moved (the run had x)"]


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "damaged or not a checkpoint"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:900]), "damaged or not"),
    "foreign": (lambda path: torch.save({"state_dict": {}}, path), "a foreign checkpoint"),
    "weights alone": (
        lambda path: torch.save({"xray_report": {"kind": "report", "format": 2}}, path),
        "holds no state_dict, so that no training",
    ),
    "no options": (
        lambda path: torch.save(
            {**torch.load(path, weights_only=True), "hyper_parameters": {"about": []}}, path
        ),
        "does not say with which options",
    ),
    "missing": (lambda path: path.unlink(), "there is no checkpoint"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_nothing_can_go_on_from_is_one_line(case: str, tmp_path: Path) -> None:
    path = checkpoint(tmp_path)
    DAMAGED[case][0](path)
    with pytest.raises(CheckpointError, match=DAMAGED[case][1]) as caught:
        resumed(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# What was built.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    trainer, _ = fit(folder, epochs=1)
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


def built(folder: Path, source: TinySource | None = None, **changes: Any) -> Any:
    from tests.training.test_report_module import options as small

    return assemble.training(source or TinySource((8, 4, 4)), small(folder, **changes)).module


def test_the_same_goes_on(trained: Path, tmp_path: Path) -> None:
    check_resumed(built(tmp_path), trained)


class Renamed(TinySource):
    """Other studies, of the same texts."""

    def studies(self) -> list[Any]:
        from dataclasses import replace

        found = super().studies()
        return [replace(found[0], study_id="other"), *found[1:]]


def other_cleaning(folder: Path) -> Any:
    text = {"name": "words", "max_tokens": 30, "tokenizer": {"cleaner": {"letters_only": False}}}
    return built(folder, text=text)


def other_words(folder: Path) -> Any:
    return built(folder, TinySource((2, 4, 4)))


def other_order_of_words(folder: Path) -> Any:
    module = built(folder)
    words = module.hparams["tokenizer"]["words"]
    words[-1], words[-2] = words[-2], words[-1]
    return module


def other_weights(folder: Path) -> Any:
    return built(folder, seed=1)


def other_length(folder: Path) -> Any:
    return built(folder, text={"name": "words", "max_tokens": 31, "tokenizer": {}})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (other_cleaning, "cleaning"),
        (other_words, "number of words"),
        (other_order_of_words, "word .* of the vocabulary is"),
        (other_weights, r"the encoder's weights are others .* encoder\.weights"),
        (other_length, "max tokens is 31"),
        (lambda folder: built(folder, Renamed((8, 4, 4))), "train split holds other studies"),
    ],
)
def test_what_differs_is_refused(
    make: Callable[[Path], Any], message: str, trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(XrayReportError, match=f"^resume: .*{message}") as caught:
        check_resumed(make(tmp_path), trained)
    assert "\n" not in str(caught.value)


def test_every_configuration_can_be_resumed(tmp_path: Path) -> None:
    for model in ("attention", "chexnet", "transformer"):
        path = checkpoint(tmp_path, f"model={model}")
        found, changes = resumed(path)
        assert (found["model"]["kind"], changes) == (
            composed("train", f"model={model}").model.kind, [],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("optimizer_states", [{"state": {}, "param_groups": []}]),
        ("loops", {"other_loop": {}}),
        ("callbacks", None),
    ],
)
def test_a_state_that_lightning_cannot_take_up_is_the_files_fault(
    tmp_path: Path, part: str, wrong: Any
) -> None:
    trainer, training = fit(tmp_path)
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)
    saved = torch.load(path, weights_only=True)
    stopping = pl.callbacks.EarlyStopping("val/loss")
    saved[part] = wrong or {
        stopping.state_key: {**stopping.state_dict(), "stopping_reason": "1000000"}
    }
    torch.save(saved, path)
    again = pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False,
        callbacks=[stopping], enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    with pytest.raises(CheckpointError, match=r"resume: .*last\.ckpt is damaged"), going_on(path):
        again.fit(training.module, training.datamodule, ckpt_path=path)


def test_what_training_raises_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="a bug"), going_on(tmp_path / "last.ckpt"):
        raise KeyError("a bug")


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["optimizer_states"][0]["state"][0].pop("exp_avg"),
        lambda saved: saved["optimizer_states"][0]["state"][0]["exp_avg"].view(-1)[:1].add_(1e-6),
        lambda saved: saved["lr_schedulers"][0]["base_lrs"].append(0.1),
        lambda saved: saved["loops"].clear(),
        lambda saved: saved["callbacks"].update(one={}),
    ],
)
def test_a_state_of_training_that_was_changed_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = tmp_path / "last.ckpt"
    trainer, _ = fit(tmp_path)
    trainer.save_checkpoint(path)
    WholeFiles().save_checkpoint(torch.load(path, weights_only=True), path)
    saved = torch.load(path, weights_only=True)
    assert saved["xray_report"]["training_state"] == state_digest(saved)
    change(saved)
    saved["hyper_parameters"]["about"]["options"] = options(*RUN)
    torch.save(saved, path)
    with pytest.raises(CheckpointError, match="its state of training is not as it was written"):
        saved_options(path)
