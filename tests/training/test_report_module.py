from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from tests.tiny_source import TinySource
from xray_report import assemble
from xray_report.errors import CheckpointError, OptionError
from xray_report.inference import film_check
from xray_report.inference.checkpoint import load_checkpoint
from xray_report.inference.greedy import GreedySearch
from xray_report.models.decoders.guided import EvidenceDecoder
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.load import export_encoder
from xray_report.text.facts import CHEXPERT_CLASSES
from xray_report.training import labels as training_labels
from xray_report.training.report_module import ReportModule, told_line


def options(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """What conf/train.yaml composes, at a size for tests."""
    plain: dict[str, Any] = {
        "seed": 0,
        "augmentation": {},
        "text": {"name": "words", "max_tokens": 30, "tokenizer": {"min_count": 1, "cleaner": {}}},
        "encoder": {
            "name": "densenet121",
            "weights": "random",
            "image_size": 224,
            "trainable": False,
            "precision": "float32",
            "allow_pickle": False,
            "allow_leak": False,
        },
        "loader": {"batch_size": 4, "cache_dir": str(tmp_path / "cache")},
        "model": {
            "kind": "report",
            "architecture": {
                "name": "attention",
                "rnn_size": 32,
                "attention_size": 16,
                "value_size": 32,
                "dropout": 0.0,
                "compile": False,
            },
            "embedding": {"vectors": None, "size": 16, "trainable": False},
            "label_smoothing": 0.0,
            "optimizer": {"lr": 1e-2, "weight_decay": 0.0, "warmup": 0.0, "cosine": False},
        },
    }
    return {**plain, **changes}


def fit(tmp_path: Path, epochs: int = 1, **changes: Any) -> tuple[pl.Trainer, assemble.Training]:
    pl.seed_everything(0)
    training = assemble.training(TinySource((8, 4, 4)), options(tmp_path, **changes))
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
    )
    trainer.fit(training.module, training.datamodule)
    return trainer, training


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.Trainer, assemble.Training, Path]:
    folder = tmp_path_factory.mktemp("trained")
    trainer, training = fit(folder, epochs=2)
    path = folder / "best.ckpt"
    trainer.save_checkpoint(path)
    return trainer, training, path


Trained = tuple[pl.Trainer, assemble.Training, Path]


def test_validation_scores_are_logged(trained: Trained) -> None:
    scores = trained[0].callback_metrics
    for name in ("loss", "bleu4", "cider", "facts_f1", "findings_f1", "distinct"):
        assert f"val/{name}" in scores


def test_checkpoint_alone_rebuilds_the_model(trained: Trained) -> None:
    _, training, path = trained
    loaded = load_checkpoint(path)
    batch = training.datamodule.sample(3)
    assert batch.features is not None
    module: Any = training.module
    search = GreedySearch(max_length=30)
    features = batch.features.float()
    expected = search(module.model.eval().decoder, features, batch.view_mask)
    assert search(loaded.model.decoder, features, batch.view_mask) == expected
    assert loaded.tokenizer == training.datamodule.tokenizer
    assert loaded.about["data"] == "tiny"
    assert loaded.about["precision"] == "float32"
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_frozen_encoder_does_not_move(tmp_path: Path) -> None:
    before = assemble.training(TinySource(), options(tmp_path)).module.model.encoder.identity  # type: ignore[union-attr,operator]
    _, training = fit(tmp_path)
    module: Any = training.module
    assert module.model.encoder.identity == before


@pytest.mark.parametrize("trainable", [False, True])
def test_lightning_loads_a_checkpoint_with_its_encoder_as_it_was(
    tmp_path: Path, trainable: bool
) -> None:
    small = {"trainable": trainable, "image_size": 32}
    trainer, training = fit(tmp_path, encoder=options(tmp_path)["encoder"] | small)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = ReportModule.load_from_checkpoint(tmp_path / "last.ckpt")
    assert loaded.hparams == training.module.hparams
    saved = training.module.state_dict()
    assert loaded.state_dict().keys() == saved.keys()
    assert all(torch.equal(part, saved[name]) for name, part in loaded.state_dict().items())
    encoder = loaded.train().model.encoder
    assert encoder.frozen is not trainable
    assert encoder.training is trainable
    assert all(weight.requires_grad is trainable for weight in encoder.parameters())


def test_lightning_loads_no_model_that_a_checkpoint_only_claims(tmp_path: Path) -> None:
    trainer, _ = fit(tmp_path)
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)
    saved = torch.load(path, weights_only=True)
    saved["hyper_parameters"]["decoder"]["rnn_size"] = 10**7  # 100s of TB if it were built
    torch.save(saved, path)
    with pytest.raises(CheckpointError, match=r"last\.ckpt does not fit"):
        ReportModule.load_from_checkpoint(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="is damaged"):
        ReportModule.load_from_checkpoint(path)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        ReportModule.load_from_checkpoint(tmp_path / "none.ckpt")


def test_encoder_can_be_trained_along(tmp_path: Path) -> None:
    chosen = options(tmp_path)["encoder"] | {"trainable": True}
    before = assemble.training(TinySource(), options(tmp_path)).module.model.encoder.identity  # type: ignore[union-attr,operator]
    _, training = fit(tmp_path, encoder=chosen)
    module: Any = training.module
    assert module.model.encoder.identity != before


def test_same_seed_trains_the_same_model(tmp_path: Path) -> None:
    states = [fit(tmp_path)[1].module.state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_kind_of_model_is_checked(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"model\.kind"):
        assemble.training(TinySource(), options(tmp_path, model={"kind": "detector"}))


def test_random_embedding_needs_a_size(tmp_path: Path) -> None:
    model = options(tmp_path)["model"]
    model["embedding"] = {"vectors": None, "size": None, "trainable": False}
    with pytest.raises(OptionError, match=r"model\.embedding\.size"):
        assemble.training(TinySource(), options(tmp_path, model=model))


def test_a_classifier_remembers_all_that_its_encoder_has_seen(tmp_path: Path) -> None:
    path = tmp_path / "seen.safetensors"
    encoder = DenseNetEncoder(source={"weights": "x", "trained_on": ["openi"]})
    export_encoder(encoder, path)
    chosen = options(tmp_path)["encoder"] | {"weights": str(path), "trainable": True}
    model = {
        "kind": "chexnet",
        "labels": "published",
        "uncertain": "negative",
        "soft_targets": None,
        "min_positives": 1,
        "locator": False,
        "frozen_blocks": 0,
        "region_weight": 1.0,
        "highest_pos_weight": 5.0,
        "optimizer": options(tmp_path)["model"]["optimizer"],
    }
    module: Any = assemble.training(
        TinySource(), options(tmp_path, encoder=chosen, model=model)
    ).module
    assert module.model.encoder.source["trained_on"] == ["openi", "tiny"]


def test_the_told_labels_are_counted_by_name() -> None:
    told = torch.tensor([[True, False], [True, True], [False, False]])
    present = torch.tensor([[True, False], [False, True], [True, False]])
    sides = ["edema|left", "mass", "mass|left"]
    three = torch.tensor([[True, True, True], [True, False, False]])
    assert told_line(sides, three, three.flip(0), "findings", "seen") == (
        "findings seen rightly / seen / there, of 2 validation studies: mass 0/1/1, left 2/3/3"
    )
    assert told_line(["Edema", "Fracture"], told, present) == (
        "labels told rightly / told / there, of 3 validation studies: Edema 1/2/2, Fracture 1/1/1"
    )


@pytest.mark.parametrize("trainable", [False, True])
def test_checkpoints_remember_the_training_films(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainable: bool
) -> None:
    monkeypatch.setattr(film_check, "LEAST_FILMS", 6)  # of eight frontal and five lateral ones
    small = {"trainable": trainable, "image_size": 32}
    trainer, training = fit(tmp_path, encoder=options(tmp_path)["encoder"] | small)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    films = load_checkpoint(tmp_path / "last.ckpt").films
    again = ReportModule.load_from_checkpoint(tmp_path / "last.ckpt").films
    assert films is not None
    assert again is not None
    assert films.to_plain().keys() == again.to_plain().keys()
    (frontal, lateral), (feature, _) = films.thumbnails, films.features
    assert lateral is None
    assert frontal is not None
    dataset = training.datamodule.dataset("train")
    pixels = dataset.gray(range(8))[:, 0]
    torch.testing.assert_close(frontal.mean, film_check.thumbnails(pixels).mean(0))
    assert (feature is None) == trainable  # its features would be others by now
    if feature is not None:
        maps = dataset.__getitems__(range(8)).features
        assert maps is not None
        means = film_check.pooled(maps[:, 0]).mean(0)
        torch.testing.assert_close(feature.mean, means, rtol=1e-4, atol=1e-5)


def test_a_small_training_is_no_measure_of_films(trained: Trained) -> None:
    assert load_checkpoint(trained[2]).films is None


def test_an_encoder_without_a_classifier_is_probed_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    changes = options(tmp_path)["model"] | {"label_guidance": True}
    trainer, training = fit(tmp_path, model=changes)
    module: Any = training.module
    verdicts = module.model.decoder.verdicts
    assert verdicts.known
    assert "a linear probe of the encoder's maps, learnt from 8 training studies" in caplog.text
    assert module.hparams["guiding_labels"] == list(CHEXPERT_CLASSES)
    features = next(iter(training.datamodule.val_dataloader()))
    logits = verdicts.logits(features.features, features.view_mask)
    assert logits.isfinite().all()
    path = tmp_path / "guided.ckpt"
    trainer.save_checkpoint(path)
    again = load_checkpoint(path).model.decoder
    assert torch.equal(again.verdicts.weight, verdicts.weight)  # type: ignore[union-attr]
    verdicts.bias.add_(1)  # as of a run that goes on: what it has learnt stays
    before = verdicts.weight.clone(), verdicts.bias.clone()
    module.on_train_start()
    assert torch.equal(verdicts.weight, before[0])
    assert torch.equal(verdicts.bias, before[1])


def test_a_detector_of_evidence_is_learnt_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(training_labels, "LEAST_NAMED", 1)
    changes = options(tmp_path)["model"] | {"label_guidance": "evidence"}
    trainer, training = fit(tmp_path, model=changes)
    module: Any = training.module
    decoder = module.model.decoder
    assert isinstance(decoder, EvidenceDecoder)
    assert decoder.detector.known
    names = module.hparams["evidence"]
    said = f"evidence: a detector learns to see {len(names)} findings from 8 training studies"
    assert said in caplog.text
    assert "findings seen rightly / seen / there, of 4 validation studies" in caplog.text
    assert names == list(training.datamodule.label_names)
    assert not module.hparams["guiding_labels"]
    path = tmp_path / "shown.ckpt"
    trainer.save_checkpoint(path)
    again: Any = load_checkpoint(path).model.decoder
    assert torch.equal(again.detector.weight, decoder.detector.weight)
    decoder.detector.bias.add_(1)  # as of a run that goes on: what it has learnt stays
    before = decoder.detector.bias.clone()
    module.on_train_start()
    assert torch.equal(decoder.detector.bias, before)


@pytest.mark.parametrize("guidance", [True, "evidence"])
def test_a_trained_encoder_cannot_be_probed(tmp_path: Path, guidance: bool | str) -> None:
    changes = options(tmp_path)
    changes["encoder"]["trainable"] = True
    changes["model"]["label_guidance"] = guidance
    said = rf"model\.label_guidance={str(guidance).lower()} needs a frozen encoder"
    with pytest.raises(OptionError, match=said):
        assemble.training(TinySource((8, 4, 4)), changes)
