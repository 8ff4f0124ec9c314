"""From plain options to the objects that train: the one place that knows how they fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from xray_report import __version__
from xray_report.data.augmentation import Augmentation
from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, TextOptions
from xray_report.data.sources.union import ids_by_collection
from xray_report.data.splits import record_split
from xray_report.data.study import DrawnSource, StudySource
from xray_report.errors import OptionError
from xray_report.models.decoders.build import build_decoder, check_architecture, portable
from xray_report.models.decoders.guided import GuidedDecoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.extractor import FeatureExtractor, keep_freed_memory
from xray_report.models.encoders.load import check_encoder, check_weights, load_encoder
from xray_report.models.encoders.protocol import Encoder
from xray_report.models.encoders.weights.leak import check_studies, note_training
from xray_report.models.report_model import ReportModel
from xray_report.options import check_flag
from xray_report.text.facts import CHEXPERT_CLASSES
from xray_report.text.tokenizer import Tokenizer
from xray_report.text.vectors import load_vectors
from xray_report.training.chexnet import (
    CheXNet,
    CheXNetModule,
    Heads,
    balance,
    read_heads,
    start_at_prior,
    take_heads,
)
from xray_report.training.labels import (
    EVIDENCE,
    Labelling,
    ReportFindings,
    ReportLabels,
    say_one_sided,
)
from xray_report.training.report_module import ReportModule
from xray_report.training.resume import start_from
from xray_report.training.rewards import self_critical_options


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
    check_weights(options["encoder"]["weights"])
    keep_freed_memory()
    return builders[kind](source, options, device)


def encoder_of(options: Mapping[str, Any], data_name: str) -> Encoder:
    """The encoder that `options["encoder"]` describes, frozen unless it is to be trained."""
    return load_encoder(**options["encoder"], seed=options["seed"], data_name=data_name)


def report_training(
    source: StudySource, options: Mapping[str, Any], device: str | torch.device
) -> Training:
    """A report model on cached features, or on images where the encoder is trained too.

    With rewards it starts from another training's weights, unless a run of its own is resumed.
    """
    model, chosen, stage = options["model"], options["encoder"], options.get("training")
    rewarded = None if stage is None else self_critical_options(stage)
    check_architecture(model["architecture"])
    text = TextOptions(**options["text"], target=source.target)
    loader, augment = LoaderOptions(**options["loader"]), Augmentation(**options["augmentation"])
    check_copies(augment, frozen=not chosen["trainable"])
    check_lengths(text.max_tokens, model["architecture"])
    loader.check_exchange(cached=not chosen["trainable"])
    guiding_labels, heads = guidance(options, source)
    shows = model.get("label_guidance") == EVIDENCE
    told = ReportLabels(guiding_labels) if guiding_labels else None
    datamodule = ChestDataModule(
        source,
        loader,
        text=text,
        relabel=ReportFindings() if shows else told,
        augment=augment,
        seed=options["seed"],
    )
    datamodule.setup("fit")  # a mistake in the data is told before weights are fetched
    encoder, extractor = encoder_of(options, source.name), None
    if not chosen["trainable"]:
        extractor = FeatureExtractor(encoder, device, chosen["precision"])
    datamodule.make_ready(encoder.preprocessing, extractor)
    check_and_note(encoder, datamodule, chosen)
    tokenizer = datamodule.tokenizer
    assert tokenizer is not None
    embedding = embedding_of(tokenizer, model["embedding"])
    evidence = datamodule.label_names if shows else ()
    decoder = build_decoder(
        model["architecture"], tokenizer.special, embedding, encoder.map_shape,
        told=guiding_labels, shown=evidence,
    )  # fmt: skip
    check_studies(decoder.seen, tested(datamodule), chosen["allow_leak"])
    if heads is not None and isinstance(decoder, GuidedDecoder):
        decoder.verdicts.load(heads.state["classifier.weight"], heads.state["classifier.bias"])
    module = ReportModule(
        encoder=encoder.describe(),
        tokenizer=tokenizer.to_plain(),
        decoder=portable(model["architecture"]),
        embedding_size=embedding.dimension,
        optimizer=model["optimizer"],
        trainable_encoder=chosen["trainable"],
        label_smoothing=model["label_smoothing"],
        max_tokens=text.max_tokens,
        guiding_labels=list(guiding_labels),
        evidence=list(evidence),
        rewards=None if rewarded is None else asdict(rewarded),
        about={
            **provenance(datamodule, options),
            "target": text.target,
            "precision": extractor.precision if extractor else "float32",
        },
        model=ReportModel(encoder, decoder),
    )
    if stage is not None and rewarded is not None and options.get("resume") is None:
        start_from(module, stage["start"])
    return Training(module, datamodule)


def check_copies(augment: Augmentation, frozen: bool) -> None:
    """Raise `OptionError` where augmentation and its copies do not go with the encoder."""
    if frozen and bool(augment) != bool(augment.copies):
        raise OptionError(
            "augmentation of films for a frozen encoder needs augmentation.copies, and these an "
            "augmentation: set both, leave both 0, or set encoder.trainable=true"
        )
    if augment.copies and not frozen:
        raise OptionError(
            "augmentation.copies is for a frozen encoder; one that is trained sees each film "
            "changed anew each time: leave it 0"
        )


def guidance(
    options: Mapping[str, Any], source: StudySource
) -> tuple[tuple[str, ...], Heads | None]:
    """Names of the labels that the decoder is told, none where it is told none, and the encoder's
    own classifier of them, where it has one; else training begins with a linear probe.

    Raises `OptionError` where training would make either stale.
    """
    told, trained = options["model"].get("label_guidance", False), options["encoder"]["trainable"]
    if told == "auto":
        told = not trained and not isinstance(source, DrawnSource)
    if told != EVIDENCE and not check_flag("model.label_guidance", told):
        return (), None
    if trained:
        said = EVIDENCE if told == EVIDENCE else "true"
        raise OptionError(
            f"model.label_guidance={said} needs a frozen encoder: encoder.trainable=false"
        )
    if told == EVIDENCE:
        return (), None
    heads = read_heads(options["encoder"]["weights"])
    return (CHEXPERT_CLASSES, None) if heads is None else (heads.label_names, heads)


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
    """CheXNet on images and labels; studies need no report where they have labels."""
    model = options["model"]
    if not options["encoder"]["trainable"]:
        raise OptionError("encoder.trainable must be true for model=chexnet, which trains it")
    labelling = Labelling(model["labels"], model["uncertain"], model["soft_targets"])
    loader, augment = LoaderOptions(**options["loader"]), Augmentation(**options["augmentation"])
    loader.check_exchange(cached=False)
    check_copies(augment, frozen=False)
    datamodule = ChestDataModule(
        source,
        loader,
        text=None,
        relabel=labelling,
        regions=model["locator"],
        augment=augment,
        seed=options["seed"],
    )
    datamodule.setup("fit")  # a mistake in the data is told before weights are fetched
    encoder = encoder_of(options, source.name)
    datamodule.make_ready(encoder.preprocessing)
    check_and_note(encoder, datamodule, options["encoder"])
    encoder.freeze_blocks(model["frozen_blocks"])
    names = datamodule.label_names
    classifier = CheXNet(encoder, len(names), model["locator"])
    labels = datamodule.dataset("train").image_labels()
    say_one_sided(names, labels)
    if not take_heads(classifier, options["encoder"]["weights"], names):
        start_at_prior(classifier, labels)
    module = CheXNetModule(
        encoder=encoder.describe(),
        label_names=list(names),
        locator=model["locator"],
        optimizer=model["optimizer"],
        pos_weight=balance(labels, model["highest_pos_weight"]).tolist(),
        region_weight=model["region_weight"],
        min_positives=model["min_positives"],
        about=provenance(datamodule, options),
        model=classifier,
    )
    return Training(module, datamodule)


def check_and_note(encoder: Encoder, data: ChestDataModule, options: Mapping[str, Any]) -> None:
    """Refuse weights that have seen test studies; those to be trained remember what they see.

    Raises `WeightsError` unless `encoder.allow_leak`.
    """
    check_studies(encoder.source, tested(data), options["allow_leak"])
    if options["trainable"]:
        note_training(encoder.source, ids_by_collection(data.source, data.split("train")))


def tested(data: ChestDataModule) -> dict[str, list[str]]:
    """Ids of the test studies by collection."""
    return ids_by_collection(data.source, data.split("test"))


def check_lengths(max_tokens: int, architecture: Mapping[str, Any]) -> None:
    """Raise `OptionError` for a decoder that has no place for reports of `max_tokens`."""
    positions = architecture.get("max_positions")
    if isinstance(positions, int) and max_tokens > positions:
        raise OptionError(
            f"text.max_tokens={max_tokens} is longer than model.architecture.max_positions="
            f"{positions}: raise that one, or shorten reports"
        )


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
