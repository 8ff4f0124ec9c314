"""From plain options to the objects that train: the one place that knows how they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.data.study import StudySource
from xray_report.errors import OptionError
from xray_report.inference.greedy import GreedySearch
from xray_report.models.chexnet import CheXNet
from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.protocol import GRID
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.extractor import FeatureExtractor, keep_freed_memory
from xray_report.models.encoders.load import check_encoder, load_encoder
from xray_report.models.encoders.protocol import Encoder
from xray_report.models.report_model import ReportModel
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
    check_encoder(options["encoder"])
    keep_freed_memory()
    return builders[kind](source, options)


def encoder_of(options: Mapping[str, Any], data_name: str) -> Encoder:
    """The encoder that `options["encoder"]` describes, frozen unless it is to be trained."""
    return load_encoder(**options["encoder"], seed=options["seed"], data_name=data_name)


def report_training(source: StudySource, options: Mapping[str, Any]) -> Training:
    """A report model on cached features, or on images where the encoder is trained too."""
    model, chosen = options["model"], options["encoder"]
    trainable = chosen["trainable"]
    text = text_options(options["text"], source.target)
    # The data set first: a mistake in it should not wait for a download of weights.
    datamodule = ChestDataModule(
        source, LoaderOptions(**options["loader"]), text=text, seed=options["seed"]
    )
    encoder = encoder_of(options, source.name)
    if encoder.grid != (GRID, GRID):
        raise OptionError(
            f"encoder.image_size={encoder.preprocessing.size} gives maps of {encoder.grid}: the "
            f"report models read {GRID} x {GRID}"
        )
    extractor = (
        None if trainable else FeatureExtractor(encoder, "auto", chosen.get("precision", "auto"))
    )
    datamodule.read_images_by(encoder.preprocessing, encoder.preprocessing.size, extractor)
    vocabulary = datamodule.vocabulary
    assert vocabulary is not None
    decoder = build_decoder(
        model["architecture"], len(vocabulary), embedding_of(vocabulary, model["embedding"])
    )
    if trainable:
        note_training(encoder, source.name)
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
            "precision": extractor.precision if extractor else "float32",
        },
    )
    return Training(module, datamodule)


def chexnet_training(source: StudySource, options: Mapping[str, Any]) -> Training:
    """CheXNet on images and labels; studies need no report."""
    model = options["model"]
    if not options["encoder"]["trainable"]:
        raise OptionError("encoder.trainable must be true for model=chexnet, which trains it")
    datamodule = ChestDataModule(
        source,
        LoaderOptions(**options["loader"]),
        text=None,
        regions=model["locator"],
        seed=options["seed"],
    )
    encoder = encoder_of(options, source.name)
    datamodule.read_images_by(encoder.preprocessing, encoder.preprocessing.size)
    note_training(encoder, source.name)
    encoder.freeze_blocks(model["frozen_blocks"])
    classifier = CheXNet(encoder, len(source.label_names), model["locator"])
    labels = datamodule.dataset("train").image_labels()
    if not take_heads(classifier, options["encoder"]["weights"], source.label_names):
        start_at_prior(classifier, labels, encoder.map_shape.locations)
    module = CheXNetModule(
        classifier,
        source.label_names,
        balance(labels, model["highest_pos_weight"]),
        model["optimizer"],
        model["region_weight"],
    )
    return Training(module, datamodule)


def note_training(encoder: Encoder, data_name: str) -> None:
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
