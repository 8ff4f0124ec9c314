"""What the composed options build, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from tests.test_config import composed
from tests.tiny_source import TinySource
from xray_report.assemble import Training, encoder_of, training
from xray_report.data.sources.iu_xray import IUXRay
from xray_report.data.sources.union import Union
from xray_report.data.study import Study, StudySource
from xray_report.errors import DataError, OptionError, WeightsError
from xray_report.models.encoders.load import load_encoder
from xray_report.text.facts import CHEXPERT_CLASSES
from xray_report.training import labels


class OpenI(TinySource):
    """Passes for the real collection."""

    name = "iu_xray"


def options(*overrides: str) -> dict[str, Any]:
    config = composed("train", "loader.workers=0", *overrides)
    return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]


def saved(made: Training, path: Path) -> Path:
    """A checkpoint of CheXNet, as far as its encoder is concerned."""
    plain = {"encoder": made.module.model.encoder.describe()}  # type: ignore[union-attr]
    torch.save({"state_dict": made.module.state_dict(), "xray_report": plain}, path)
    return path


def test_weights_trained_here_are_refused_where_they_have_seen_test_studies(tmp_path: Path) -> None:
    made = training(OpenI(), options("model=chexnet", "encoder.weights=random"))
    choice = f"encoder.weights={saved(made, tmp_path / 'best.ckpt')}"
    training(OpenI(), options(choice))  # of the same split
    with pytest.raises(WeightsError, match=r"best.ckpt' were trained on 4 of the 8 test studies"):
        training(OpenI((2, 2, 8)), options(choice))
    training(OpenI((2, 2, 8)), options(choice, "encoder.allow_leak=true"))


def test_all_that_a_union_has_shown_is_remembered(tmp_path: Path) -> None:
    both = Union({"a": TinySource(), "b": OpenI()})
    made = training(both, options("model=chexnet", "encoder.weights=random"))
    source = made.module.model.encoder.source  # type: ignore[union-attr]
    assert source["trained_on"] == ["tiny", "iu_xray"]  # type: ignore[index]
    shown = [f"tiny-{number:03d}" for number in range(8)]
    assert source["studies"] == {"tiny": shown, "iu_xray": shown}  # type: ignore[index]
    choice = f"encoder.weights={saved(made, tmp_path / 'best.ckpt')}"
    with pytest.raises(WeightsError, match=r"trained on 4 of the 8 test studies of iu_xray"):
        training(OpenI((2, 2, 8)), options(choice))


def test_an_encoder_trained_beside_the_decoder_remembers_what_it_has_seen() -> None:
    made = training(OpenI(), options("encoder.trainable=true", "encoder.weights=random"))
    source = made.module.model.encoder.source  # type: ignore[union-attr]
    assert source["trained_on"] == ["iu_xray"]  # type: ignore[index]
    assert len(source["studies"]["iu_xray"]) == 8  # type: ignore[index]


@pytest.mark.parametrize("model", ["chexnet", "attention"])
def test_a_run_on_fewer_studies_says_which_it_has_seen(model: str) -> None:
    fewer = options(f"model={model}", "encoder.weights=random", "loader.train_studies=3",
                    "encoder.trainable=true")  # fmt: skip
    made = training(OpenI((12, 4, 4)), fewer)
    about = made.module.hparams["about"]
    assert [about["split"][name]["studies"] for name in ("train", "val", "test")] == [3, 4, 4]
    assert about["options"]["loader"]["train_studies"] == 3
    source = made.module.model.encoder.source  # type: ignore[union-attr]
    shown = [study.study_id for study in made.datamodule.split("train")]
    assert source["studies"] == {"iu_xray": shown}  # type: ignore[index]


@pytest.mark.parametrize("alone", ["augmentation.shift=0.1", "augmentation.copies=2"])
def test_a_frozen_encoder_sees_augmented_films_in_copies_alone(alone: str) -> None:
    with pytest.raises(OptionError, match=r"for a frozen encoder needs augmentation\.copies"):
        training(Unread(), options(alone))
    both = options("augmentation.shift=0.1", "augmentation.copies=2", "encoder.weights=random")
    assert training(TinySource(), both).datamodule.augment.copies == 2
    trained = ("encoder.trainable=true", "encoder.weights=random")
    with pytest.raises(OptionError, match=r"augmentation\.copies is for a frozen encoder"):
        training(Unread(), options("augmentation.copies=2", *trained))
    with pytest.raises(OptionError, match=r"augmentation\.copies is for a frozen encoder"):
        training(Unread(), options("model=chexnet", "augmentation.copies=2"))
    made = training(TinySource(), options("augmentation.shift=0.1", *trained))
    assert made.datamodule.augment


class Films:
    """The studies of `TinySource` as of a collection, whose images nothing has to make."""

    name, label_names, target, strict = "films", TinySource.label_names, "findings", False

    def studies(self) -> list[Study]:
        return TinySource().studies()


@pytest.mark.parametrize(
    ("source", "overrides", "told"),
    [
        (Films(), [], True),
        (TinySource(), [], False),
        (Films(), ["model.label_guidance=false"], False),
        (TinySource(), ["model.label_guidance=true"], True),
        (Films(), ["encoder.trainable=true"], False),
        (Films(), ["experiment=original"], False),
    ],
)
def test_decoders_of_films_are_told_labels(
    source: StudySource, overrides: list[str], told: bool
) -> None:
    made = training(source, options("encoder.weights=random", *overrides))
    names = made.module.hparams["guiding_labels"]  # type: ignore[union-attr]
    assert names == (list(CHEXPERT_CLASSES) if told else [])


def test_a_decoder_is_shown_what_training_reports_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "LEAST_NAMED", 2)
    chosen = options("encoder.weights=random", "model.label_guidance=evidence")
    module: Any = training(TinySource((8, 4, 4)), chosen).module
    expected = [
        *("cardiomegaly", "opacity", "opacity|left", "opacity|lower"),
        *("pleural_effusion", "pleural_effusion|large", "pleural_effusion|right"),
    ]
    assert module.hparams["evidence"] == expected
    assert module.hparams["guiding_labels"] == []
    assert module.model.decoder.decoder.maps.channels == len(expected)


def test_any_encoder_becomes_a_chexnet() -> None:
    choice = ["encoder=torchvision", "encoder.architecture=shufflenet_v2_x0_5"]
    made = training(TinySource(), options("model=chexnet", *choice, "encoder.image_size=64"))
    encoder = made.module.model.encoder  # type: ignore[union-attr]
    assert (encoder.name, encoder.map_shape) == ("torchvision", (1024, 2, 2))  # type: ignore[union-attr]
    with torch.no_grad():
        output = made.module.model(torch.zeros(2, 3, 64, 64))  # type: ignore[operator]
    assert output.cell_logits.shape[2:] == (2, 2)
    with pytest.raises(OptionError, match=r"model\.frozen_blocks must be 0 to 0"):
        training(TinySource(), options("model=chexnet", *choice, "model.frozen_blocks=1"))


def test_the_section_to_write_is_the_data_sets() -> None:
    source = TinySource()
    source.target = "both"
    made = training(source, options("encoder.weights=random"))
    assert made.datamodule.text is not None
    assert made.datamodule.text.target == made.module.hparams["about"]["target"] == "both"  # type: ignore[union-attr]


class Unread(TinySource):
    """Must not be asked for its studies."""

    def studies(self) -> list[Study]:
        raise AssertionError("the data were read")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["encoder.image_size=0"], r"encoder\.image_size must be a positive integer"),
        (["encoder.trainable=yes"], r"encoder\.trainable must be true or false"),
        (["model=chexnet", "encoder.trainable=false"], r"encoder\.trainable must be true"),
        (["augmentation.rotation=90"], r"augmentation\.rotation must be a finite number"),
        (["model=chexnet", "model.labels=mesh"], r"model\.labels must be one of annotators"),
        (["model=transformer", "text.max_tokens=300"], r"text\.max_tokens=300 .*max_positions=256"),
        (["text.tokenizer.cleaner.lower_case=no"], r"lower_case must be true or false"),
        (["encoder.trainable=true", "encoder.precision=bfloat16"], r"precision=bfloat16 .* auto"),
    ],
)
def test_options_without_effect_are_refused_before_data_are_read(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        training(Unread(), options(*overrides))


def test_a_missing_weight_file_is_told_before_data_are_read() -> None:
    for path in ("nothing.pt", "folder/nothing.pt"):
        with pytest.raises(WeightsError, match=f"no weight file {path}"):
            training(Unread(), options(f"encoder.weights={path}"))


@pytest.mark.parametrize("model", ["attention", "chexnet"])
def test_a_mistake_in_the_data_is_told_before_weights_are_fetched(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetched(**_: object) -> None:
        raise AssertionError("weights were fetched")

    monkeypatch.setattr("xray_report.assemble.load_encoder", fetched)
    missing = IUXRay("nowhere")
    with pytest.raises(DataError, match="nowhere: no such folder"):
        training(missing, options(f"model={model}"))
    with pytest.raises(DataError, match="no usable study in split val"):
        training(TinySource((4, 0, 4)), options(f"model={model}"))
    with pytest.raises(AssertionError, match="weights were fetched"):
        training(TinySource(), options(f"model={model}"))


def test_a_random_encoder_is_of_the_seed() -> None:
    def identity(seed: int) -> str:
        return encoder_of(options("encoder.weights=random", f"seed={seed}"), "tiny").identity

    assert identity(0) == load_encoder(weights="random").identity
    assert len({identity(seed) for seed in range(3)}) == 3
