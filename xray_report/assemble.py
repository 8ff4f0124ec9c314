"""From plain options to the objects that train: the one place that knows how they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch

from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.data.study import StudySource
from xray_report.errors import OptionError
from xray_report.inference.greedy import GreedySearch
from xray_report.models.allocator import keep_freed_memory
from xray_report.models.chexnet import CheXNet
from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.protocol import GRID
from xray_report.models.densenet import STRIDE, DenseNetEncoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.extractor import build_extractor
from xray_report.models.report_model import ReportModel
from xray_report.models.weights.leak import check_leak
from xray_report.models.weights.load import load_encoder
from xray_report.text.cleaning import Cleaner
from xray_report.text.vectors import load_vectors
from xray_report.text.vocabulary import Vocabulary
from xray_report.training.chexnet import CheXNetModule, balance, start_at_prior, take_heads
from xray_report.training.report_module import ReportModule


@dataclass(frozen=True)
class Training:
    """What `Trainer.fit` takes."""

    module: pl.LightningModule
    datamodule: ChestDataModule


def training(source: StudySource, options: Mapping[str, Any]) -> Training:
    """Module and DataModule of the stage that `options["model"]["kind"]` names."""
    builders = {"report": report_training, "chexnet": chexnet_training}
    kind = options["model"]["kind"]
    if kind not in builders:
        raise OptionError(f"model.kind must be one of {', '.join(builders)}: {kind!r}")
    keep_freed_memory()
    return builders[kind](source, options)


def encoder_of(options: Mapping[str, Any], data_name: str) -> DenseNetEncoder:
    """The encoder that `options["encoder"]` names, at its image size."""
    chosen = options["encoder"]
    weights = chosen["weights"] or ("phantom" if data_name == "phantom" else "imagenet")
    encoder = load_encoder(str(weights), allow_pickle=chosen["allow_pickle"], seed=options["seed"])
    check_leak(encoder.source, data_name, chosen["allow_leak"])
    encoder.preprocessing = replace(encoder.preprocessing, size=chosen["image_size"])
    return encoder


def report_training(source: StudySource, options: Mapping[str, Any]) -> Training:
    """A report model on cached features, or on images where the encoder is trained too."""
    model, chosen = options["model"], options["encoder"]
    trainable = chosen["trainable"]
    if chosen["image_size"] // STRIDE != GRID:
        raise OptionError(
            f"encoder.image_size must be {GRID * STRIDE} for a report model, which reads maps of "
            f"{GRID} x {GRID}, got {chosen['image_size']}"
        )
    if trainable:
        refuse_cache_options(chosen)
    text = text_options(options["text"], source.target)
    encoder = encoder_of(options, source.name)
    extractor = (
        None if trainable else build_extractor(encoder, chosen["backend"], chosen["precision"])
    )
    datamodule = ChestDataModule(
        source,
        LoaderOptions(**options["loader"]),
        text=text,
        encode=extractor,
        preprocess=encoder.preprocessing,
        seed=options["seed"],
    )
    vocabulary = datamodule.vocabulary
    assert vocabulary is not None
    decoder = build_decoder(
        model["architecture"], len(vocabulary), embedding_of(vocabulary, model["embedding"])
    )
    if trainable:
        note_training(encoder, source.name)
    else:
        encoder.freeze()
    module = ReportModule(
        ReportModel(encoder, decoder),
        architecture=model["architecture"],
        vocabulary=vocabulary,
        cleaner=text.cleaner,
        search=GreedySearch(max_length=text.max_words),
        optimizer=model["optimizer"],
        label_smoothing=model["label_smoothing"],
        about={
            "data": source.name,
            "target": text.target,
            "seed": options["seed"],
            "backend": chosen["backend"],
            "precision": chosen["precision"],
        },
    )
    return Training(module, datamodule)


def chexnet_training(source: StudySource, options: Mapping[str, Any]) -> Training:
    """CheXNet on images and labels; studies need no report."""
    model = options["model"]
    if not options["encoder"]["trainable"]:
        raise OptionError("encoder.trainable must be true for model=chexnet, which trains it")
    refuse_cache_options(options["encoder"])
    encoder = encoder_of(options, source.name)
    datamodule = ChestDataModule(
        source,
        LoaderOptions(**options["loader"]),
        text=None,
        preprocess=encoder.preprocessing,
        regions=model["locator"],
        seed=options["seed"],
    )
    note_training(encoder, source.name)
    encoder.freeze_blocks(model["frozen_blocks"])
    classifier = CheXNet(encoder, len(source.label_names), model["locator"])
    labels = datamodule.dataset("train").image_labels()
    if not take_heads(classifier, options["encoder"]["weights"], source.label_names):
        start_at_prior(classifier, labels)
    module = CheXNetModule(
        classifier,
        source.label_names,
        balance(labels, model["highest_pos_weight"]),
        model["optimizer"],
        model["region_weight"],
    )
    return Training(module, datamodule)


def refuse_cache_options(encoder: Mapping[str, Any]) -> None:
    """Raise OptionError for options of the feature cache: an encoder in training has none."""
    for name, fitting in (("backend", ("torch",)), ("precision", ("auto", "float32"))):
        if encoder[name] not in fitting:
            raise OptionError(
                f"encoder.{name}={encoder[name]} is for cached features, which an encoder that is "
                f"trained has not; leave it {fitting[0]}"
            )


def note_training(encoder: DenseNetEncoder, data_name: str) -> None:
    """Add a data set to what the weights have seen, so that no later training forgets a leak."""
    seen = [*encoder.source.get("trained_on", ()), data_name]
    encoder.source["trained_on"] = list(dict.fromkeys(seen))


def text_options(options: Mapping[str, Any], target: str) -> TextOptions:
    """Text options from plain ones, for the section `target`."""
    return TextOptions(**{**options, "target": target, "cleaner": Cleaner(**options["cleaner"])})


def embedding_of(vocabulary: Vocabulary, options: Mapping[str, Any]) -> WordEmbedding:
    """Word embedding that starts from word vectors, or from random ones of `size`."""
    trainable = options["trainable"]
    if options["vectors"] is None:
        if not isinstance(options["size"], int):
            raise OptionError("model.embedding.size must be set where vectors are null")
        return WordEmbedding(len(vocabulary), options["size"], trainable=trainable)
    if options["size"] is not None:
        raise OptionError("model.embedding.size is given by the vectors; leave it null")
    vectors = load_vectors(str(options["vectors"]), vocabulary.words)
    matrix, known = torch.from_numpy(vectors.matrix), torch.from_numpy(vectors.known)
    return WordEmbedding(len(vocabulary), matrix.shape[1], matrix, known, trainable)
