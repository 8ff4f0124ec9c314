"""From plain options to the objects that train: the one place that knows how they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from xray_report import __version__
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.data.split_record import record_split
from xray_report.data.study import StudySource
from xray_report.errors import OptionError
from xray_report.models.chexnet import CheXNet
from xray_report.models.decoders.build import build_decoder, check_architecture
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.extractor import FeatureExtractor, keep_freed_memory
from xray_report.models.encoders.load import check_encoder, load_encoder
from xray_report.models.encoders.protocol import Encoder
from xray_report.models.report_model import ReportModel
from xray_report.text.tokenizer import Tokenizer
from xray_report.text.vectors import load_vectors
from xray_report.training.chexnet import CheXNetModule, balance, start_at_prior, take_heads
from xray_report.training.report_module import ReportModule


@dataclass(frozen=True)
class Training:
    """What `Trainer.fit` takes."""

    module: pl.LightningModule
    datamodule: ChestDataModule


def training(
    source: StudySource, options: Mapping[str, Any], device: str | torch.device = "auto"
) -> Training:
    """Module and DataModule of the stage that `options["model"]["kind"]` names.

    Args:
        source: the data set.
        options: those of train.py, plain types.
        device: where a frozen encoder runs.
    """
    builders = {"report": report_training, "chexnet": chexnet_training}
    kind = options["model"]["kind"]
    if kind not in builders:
        raise OptionError(f"model.kind must be one of {', '.join(builders)}: {kind!r}")
    check_encoder(options["encoder"])
    keep_freed_memory()
    return builders[kind](source, options, device)


def encoder_of(options: Mapping[str, Any], data_name: str) -> Encoder:
    """The encoder that `options["encoder"]` describes, frozen unless it is to be trained."""
    return load_encoder(**options["encoder"], seed=options["seed"], data_name=data_name)


def report_training(
    source: StudySource, options: Mapping[str, Any], device: str | torch.device
) -> Training:
    """A report model on cached features, or on images where the encoder is trained too."""
    model, chosen = options["model"], options["encoder"]
    check_architecture(model["architecture"])
    text = TextOptions(**options["text"], target=source.target)
    loader = LoaderOptions(**options["loader"])
    encoder, extractor = encoder_of(options, source.name), None
    if chosen["trainable"]:
        note_training(encoder, source.name)
    else:
        extractor = FeatureExtractor(encoder, device, chosen["precision"])
    datamodule = ChestDataModule(
        source,
        loader,
        text=text,
        encode=extractor,
        preprocess=encoder.preprocessing,
        seed=options["seed"],
    )
    tokenizer = datamodule.tokenizer
    assert tokenizer is not None
    embedding = embedding_of(tokenizer, model["embedding"])
    decoder = build_decoder(model["architecture"], tokenizer.special, embedding, encoder.map_shape)
    module = ReportModule(
        encoder=encoder.describe(),
        tokenizer=tokenizer.to_plain(),
        decoder=model["architecture"],
        embedding_size=embedding.dimension,
        optimizer=model["optimizer"],
        trainable_encoder=chosen["trainable"],
        label_smoothing=model["label_smoothing"],
        max_tokens=text.max_tokens,
        about={
            **provenance(datamodule, options),
            "target": text.target,
            "precision": extractor.precision if extractor else "float32",
        },
        model=ReportModel(encoder, decoder),
    )
    return Training(module, datamodule)


def provenance(datamodule: ChestDataModule, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of where it comes from: data set, its split, options, version."""
    return {
        "data": datamodule.source.name,
        "split": record_split(datamodule.studies),
        "seed": options["seed"],
        "version": __version__,
        "options": options,
    }


def chexnet_training(
    source: StudySource, options: Mapping[str, Any], device: str | torch.device
) -> Training:
    """CheXNet on images and labels; studies need no report."""
    model = options["model"]
    if not options["encoder"]["trainable"]:
        raise OptionError("encoder.trainable must be true for model=chexnet, which trains it")
    loader = LoaderOptions(**options["loader"])
    encoder = encoder_of(options, source.name)
    datamodule = ChestDataModule(
        source,
        loader,
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
        encoder=encoder.describe(),
        label_names=list(source.label_names),
        locator=model["locator"],
        optimizer=model["optimizer"],
        pos_weight=balance(labels, model["highest_pos_weight"]).tolist(),
        region_weight=model["region_weight"],
        about=provenance(datamodule, options),
        model=classifier,
    )
    return Training(module, datamodule)


def note_training(encoder: Encoder, data_name: str) -> None:
    """Add a data set to what the weights have seen, so that no later training forgets a leak."""
    seen = [*encoder.source.get("trained_on", ()), data_name]
    encoder.source["trained_on"] = list(dict.fromkeys(seen))


def embedding_of(tokenizer: Tokenizer, options: Mapping[str, Any]) -> WordEmbedding:
    """Token embedding that starts from word vectors, or from random ones of `size`."""
    trainable = options["trainable"]
    if options["vectors"] is None:
        if not isinstance(options["size"], int):
            raise OptionError("model.embedding.size must be set where vectors are null")
        return WordEmbedding(len(tokenizer), options["size"], trainable=trainable)
    if options["size"] is not None:
        raise OptionError("model.embedding.size is given by the vectors; leave it null")
    special = tokenizer.special
    words = ["" if id in special else word for id, word in enumerate(tokenizer.words)]
    vectors = load_vectors(str(options["vectors"]), words)
    matrix, known = torch.from_numpy(vectors.matrix), torch.from_numpy(vectors.known)
    return WordEmbedding(len(tokenizer), matrix.shape[1], matrix, known, trainable)
