"""Training a report model, by cross-entropy or rewards, watched by decoding validation studies."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn
from torch.nn import functional as F

from xray_report.data.datamodule import ChestDataModule, some_rows
from xray_report.data.dataset import Batch, StudyDataset, load_gray
from xray_report.data.study import Split
from xray_report.inference.checkpoint import CHECKPOINT_FORMAT, build_model, check_claims
from xray_report.inference.ensemble import Ensemble
from xray_report.inference.film_check import MOST_STUDIES, Films, FilmStatistics, pooled
from xray_report.inference.generator import Report, ReportGenerator
from xray_report.inference.greedy import GreedySearch
from xray_report.inference.search import Search
from xray_report.metrics.bleu import corpus_bleu
from xray_report.metrics.cider import cider
from xray_report.metrics.diagnostics import NO_FINDING
from xray_report.metrics.findings.scores import fact_scores, finding_scores
from xray_report.metrics.protocols import clean_tokens
from xray_report.models.decoders.guided import (
    Detector,
    EvidenceDecoder,
    GuidedDecoder,
    Labelled,
    LabelledMaps,
    average_maps,
    mean_of_views,
)
from xray_report.models.decoders.protocol import StepModel
from xray_report.models.encoders.weights.files import DESCRIPTION_KEY, FILMS_KEY
from xray_report.models.report_model import ReportModel, masked_cross_entropy, report_losses
from xray_report.text.tokenizer import tokenizer_from_plain
from xray_report.training.rewards import SelfCritical, SelfCriticalOptions
from xray_report.training.schedule import adam


class Generated(NamedTuple):
    """One decoded report beside its reference as published.

    Args:
        loss: mean cross-entropy of the reference's tokens, nats a token.
        tokens: how many those are.
    """

    study_id: str
    hypothesis: str
    reference: str
    loss: float = 0.0
    tokens: int = 0


class ReportModule(pl.LightningModule):
    """LightningModule of every report model.

    All arguments but `model` are plain types and stand in checkpoints as hyper-parameters, so that
    `ReportModule.load_from_checkpoint(path)` needs nothing else.

    Args:
        encoder: description of the encoder, as `Encoder.describe` gives it.
        tokenizer: the tokenizer, as `Tokenizer.to_plain` gives it.
        decoder: {"name": ..., option: value ...}, what `build_decoder` builds.
        embedding_size: length of a token's vector.
        optimizer: keyword arguments of `schedule.adam`.
        trainable_encoder: whether the encoder is trained too; otherwise it is frozen here.
        label_smoothing: share of each target spread over the vocabulary, 0..1.
        max_tokens: longest report, tokens with the end counted: training has cut the references
            to it, and no search writes longer ones unless its own max_length says so.
        guiding_labels: names of the labels that the decoder is told; while training they are
            those of the batch, whose names these must be, then what a classifier sees.
        evidence: names of the findings that the decoder is shown in place of the maps; a detector
            learns them from the batches' labels, whose names these must be, before training.
        rewards: keyword arguments of `SelfCriticalOptions`; None trains by cross-entropy.
        about: plain facts of the training (data set, split, target, precision of features,
            options, ...), kept in checkpoints.
        model: the model itself where it exists already, such as with a pre-trained encoder.

    Attributes:
        search: how `test_step` and `predict_step` decode; greedy unless another is set.
        generated: the reports of the last validation or test, of all processes.
        reports: those of the last test with all hypotheses, by study id.
        films: what checkpoints keep of the training films, once training has begun.
    """

    def __init__(
        self,
        encoder: Mapping[str, Any],
        tokenizer: Mapping[str, Any],
        decoder: Mapping[str, Any],
        embedding_size: int,
        optimizer: Mapping[str, Any],
        trainable_encoder: bool = False,
        label_smoothing: float = 0.0,
        max_tokens: int = 100,
        guiding_labels: Sequence[str] = (),
        evidence: Sequence[str] = (),
        rewards: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
        model: ReportModel | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["model"], logger=False)
        self.tokenizer = tokenizer_from_plain(tokenizer)
        self.model = build_model(self.hparams) if model is None else model
        if not trainable_encoder:
            self.model.encoder.freeze()
        self.greedy = GreedySearch(max_length=max_tokens)
        self.search: Search = self.greedy
        self.rewarded = None if rewards is None else SelfCriticalOptions(**rewards)
        self._self_critical: SelfCritical | None = None
        self._ensemble: Ensemble | None = None
        self.generated: list[Generated] = []
        self.reports: dict[str, Report] = {}
        self.films: FilmStatistics | None = None

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning names each of its options
        cls, checkpoint_path: str | Path, *args: Any, **options: Any
    ) -> ReportModule:
        """Lightning's; but a file that is not ours, is damaged or claims a model that it does not
        hold is refused by `CheckpointError` before anything is built."""
        path = Path(checkpoint_path)
        check_claims(path, "report", options, build_model)
        return super().load_from_checkpoint(path, *args, **options)

    def decode_with(self, decoder: StepModel, search: Search) -> None:
        """Decode tests and predictions by `search`, and with `decoder` where it is an ensemble."""
        self.search = search
        if isinstance(decoder, Ensemble):
            self._ensemble = decoder
            members = (one for one in decoder.models if isinstance(one, nn.Module))
            self.members = nn.ModuleList(members)  # so that they move to the device with this one

    def generator(self) -> ReportGenerator:
        """Writes reports from features as tests and predictions do."""
        decoder = self._ensemble or self.model.decoder
        longest = self.hparams["max_tokens"]
        return ReportGenerator(None, decoder, self.tokenizer, self.search, max_length=longest)

    def features(self, batch: Batch) -> Tensor:
        """Feature maps [B, 2, C, h, w] of a batch, encoded now unless they came cached."""
        if batch.features is not None:
            return batch.features
        assert batch.images is not None
        return self.model.encode(batch.images, batch.view_mask)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of one batch: cross-entropy or of rewards; 0 if no image of it could be read."""
        if not batch.study_ids:
            return nothing_to_learn(self)
        features, size = self.features(batch), len(batch.study_ids)
        if self._self_critical is None:
            loss = self._cross_entropy(batch, features)
        else:
            loss, logged = self._self_critical(
                self.model, features, batch.view_mask, batch.study_ids, batch.references,
                self.global_step,
            )  # fmt: skip
            if weight := self._self_critical.options.cross_entropy:
                logged["cross_entropy"] = usual = self._cross_entropy(batch, features)
                loss = loss + weight * usual
            for name, value in logged.items():
                shown = name == "reward"
                self.log(f"train/{name}", value, batch_size=size, prog_bar=shown)
        self.log("train/loss", loss, batch_size=size, prog_bar=True)
        return loss

    def _cross_entropy(self, batch: Batch, features: Tensor) -> Tensor:
        """Masked cross-entropy of the batch's reports."""
        labels = of_studies(batch) if self.hparams["guiding_labels"] else None
        logits = self.model(features, batch.view_mask, batch.tokens, labels)
        pad, smoothing = self.tokenizer.special.pad, self.hparams["label_smoothing"]
        return masked_cross_entropy(logits, batch.tokens[:, 1:], pad, smoothing)

    def on_fit_start(self) -> None:
        """Remember the training films; count their reports' n-grams where these are rewarded."""
        data = getattr(self.trainer, "datamodule", None)
        if self.trainer.is_global_zero and isinstance(data, ChestDataModule):
            train, held = (some_films(data, one) for one in ("train", data.loader.validate_on))
            self.films = FilmStatistics.learn(train, held)
        if self.rewarded is not None:
            datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
            self._self_critical = SelfCritical(
                self.rewarded, self.tokenizer, self.hparams["max_tokens"],
                datamodule.references("train"), datamodule.seed,
            )  # fmt: skip

    def on_train_start(self) -> None:
        """Learn what the decoder is to be shown or told, before it learns to write.

        A detector of evidence; or when a guided decoder is told a label, on all validation
        studies, and before that a linear probe where the encoder has no classifier of its own.
        """
        decoder = self.model.decoder
        if isinstance(decoder, EvidenceDecoder) and not decoder.detector.known:
            self._learn_evidence(decoder.detector)
        if not isinstance(decoder, GuidedDecoder):
            return
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        verdicts, held = decoder.verdicts, labelled(datamodule.validation())
        if not verdicts.known:
            train = labelled(datamodule.some_of_train(MOST_PROBED))
            verdicts.learn(train, held)
            rank_zero_info(probe_line(len(train.labels)))
        labels = held.labels.to(self.device)
        logits = F.linear(held.pooled.to(self.device), verdicts.weight, verdicts.bias)
        names = self.hparams["guiding_labels"]
        apart = [number for number, name in enumerate(names) if name == NO_FINDING]
        verdicts.choose_thresholds(logits, labels, apart)
        told = logits > verdicts.thresholds
        rank_zero_info(told_line(names, told, labels == 1))

    def _learn_evidence(self, detector: Detector) -> None:
        """From training studies, and say what it sees of validation studies."""
        datamodule: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        names, train = self.hparams["evidence"], labelled_maps(datamodule.some_of_train(MOST_SEEN))
        rank_zero_info(
            f"evidence: a detector learns to see {len(names)} findings from {len(train.labels)} "
            "training studies"
        )
        detector.learn(train, datamodule.seed)
        here = copy.deepcopy(detector).cpu()
        rows = [
            (here.logits(batch.features, batch.view_mask) > 0, of_studies(batch) == 1)
            for batch in datamodule.validation()
            if batch.features is not None
        ]
        seen, there = (torch.cat(part) for part in zip(*rows, strict=True))
        rank_zero_info(told_line(names, seen, there, what="findings", verb="seen"))

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's reports; until then callbacks may show them."""
        self.generated = []

    def validation_step(self, batch: Batch, index: int) -> None:
        """Loss, and the greedy report of every study."""
        if not batch.study_ids:  # no image of it could be read
            return
        features = self.features(batch)
        logits = self.model(features, batch.view_mask, batch.tokens)
        ranked = self.greedy(self.model.decoder, features, batch.view_mask)
        losses = report_losses(logits, batch.tokens[:, 1:], self.tokenizer.special.pad)
        self.generated += [
            Generated(study_id, self.tokenizer.decode(best.token_ids), reference, loss, int(tokens))
            for study_id, reference, (best, *_), (loss, tokens) in zip(
                batch.study_ids, batch.references, ranked, losses.tolist(), strict=True
            )
        ]

    def on_validation_epoch_end(self) -> None:
        """Score all processes' studies, each once: loss, BLEU-4, findings, distinct reports."""
        self.generated = _of_all_processes(self.generated)
        for name, value in validation_scores(self.generated).items():
            self.log(f"val/{name}", value, prog_bar=name in ("loss", "bleu4", "cider"))

    def predict_step(self, batch: Batch, index: int) -> list[Report]:
        """The report of every study of the batch, decoded by `search`."""
        if not batch.study_ids:
            return []
        return self.generator().generate(
            features=self.features(batch), view_mask=batch.view_mask, study_ids=batch.study_ids
        )

    def on_test_epoch_start(self) -> None:
        """Forget the reports of an earlier test."""
        self.generated, self.reports = [], {}

    def test_step(self, batch: Batch, index: int) -> None:
        """Write the report of every study."""
        reports = self.predict_step(batch, index)
        for report, reference in zip(reports, batch.references, strict=True):
            self.reports[report.study_id] = report
            self.generated.append(Generated(report.study_id, report.text, reference))

    def on_test_epoch_end(self) -> None:
        """Score all processes' reports, each study once."""
        self.reports = gathered(self.reports)
        self.generated = _of_all_processes(self.generated)
        scores = validation_scores(self.generated)
        for name in scores.keys() - {"loss"}:
            self.log(f"test/{name}", scores[name])

    def configure_optimizers(self) -> Any:
        """AdamW over everything that is not frozen."""
        return adam(
            self,
            self.model.parameters(),
            slow=self.model.decoder.feature_parameters(),
            encoder=self.model.encoder.parameters(),
            **self.hparams["optimizer"],
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the kind and format of the checkpoint, and its validation scores."""
        scores = self.trainer.callback_metrics
        checkpoint[DESCRIPTION_KEY] = {
            "kind": "report",
            "format": CHECKPOINT_FORMAT,
            "scores": {name: float(value) for name, value in scores.items()},
        }
        if self.films is not None:
            checkpoint[FILMS_KEY] = self.films.to_plain()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over what is known of the training films."""
        self.films = FilmStatistics.from_plain(checkpoint.get(FILMS_KEY))


def some_films(data: ChestDataModule, split: Split) -> Films:
    """Films of at most `MOST_STUDIES` studies of a split, as good as drawn by lot."""
    dataset = data.dataset(split)
    return films_of(dataset, some_rows(dataset, MOST_STUDIES))[0]


def films_of(dataset: StudyDataset, rows: Sequence[int]) -> tuple[Films, list[int]]:
    """Films of the examples `rows`, and of which of them each is; unreadable ones are left out."""
    examples = [dataset.examples[row] for row in rows]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # files are read meanwhile
        size = dataset.image_size
        loaded = list(pool.map(lambda one: load_gray([one.views], size), examples))
    pixels = torch.cat([one.gray for one in loaded])
    mask, means = torch.cat([one.view_mask for one in loaded]), None
    if dataset.features is not None:
        at = [one.row for one in examples]
        mask = mask & torch.from_numpy(dataset.features.view_mask[at])
        maps = (torch.from_numpy(dataset.features.read([row])[0]) for row in at)
        means = torch.stack([pooled(both) for both in maps])[mask]
    of, slots = mask.nonzero(as_tuple=True)
    return Films(pixels[mask], slots, means), [rows[n] for n in of.tolist()]


def of_studies(batch: Batch) -> Tensor:
    """Labels float [B, K] of studies, which are those of their first present view."""
    frontal = batch.view_mask[:, :1]
    return torch.where(frontal, batch.labels[:, 0], batch.labels[:, 1])


MOST_PROBED = 20_000
"""Training studies that a linear probe learns from, at most."""


def labelled(batches: Iterable[Batch]) -> Labelled:
    """Pooled maps and labels of all studies of the batches, on the processor."""
    rows = [
        (mean_of_views(average_maps(batch.features), batch.view_mask), of_studies(batch))
        for batch in batches
        if batch.features is not None
    ]
    maps, labels = zip(*rows, strict=True)
    return Labelled(torch.cat(maps), torch.cat(labels))


MOST_SEEN = 4_000
"""Training studies that a detector of evidence learns from, at most: their maps are in memory."""


def labelled_maps(batches: Iterable[Batch]) -> LabelledMaps:
    """Maps and labels of all studies of the batches, on the processor."""
    rows = [
        (batch.features, batch.view_mask, of_studies(batch))
        for batch in batches
        if batch.features is not None
    ]
    return LabelledMaps(*(torch.cat(part) for part in zip(*rows, strict=True)))


def probe_line(studies: int) -> str:
    """Where a guided decoder's verdicts come from, where no classifier came with the encoder."""
    return (
        f"labels are told by a linear probe of the encoder's maps, learnt from {studies} training "
        "studies; model.label_guidance=false tells none"
    )


def told_line(
    names: Sequence[str], told: Tensor, present: Tensor, what: str = "labels", verb: str = "told"
) -> str:
    """How often a decoder is told or shown each label, for people; both bool [M, K].

    Findings of a side, zone or size (`opacity|left`) are counted together: those of the left, ...
    """
    counts = torch.stack([(told & present).sum(0), told.sum(0), present.sum(0)], 1)
    groups: dict[str, Tensor] = {}
    for name, own in sorted(zip(names, counts, strict=True), key=lambda one: "|" in one[0]):
        group = name.rpartition("|")[2]
        groups[group] = groups.get(group, torch.zeros_like(own)) + own
    said = ", ".join(f"{name} {'/'.join(map(str, own.tolist()))}" for name, own in groups.items())
    return f"{what} {verb} rightly / {verb} / there, of {len(told)} validation studies: {said}"


def _of_all_processes(local: Sequence[Generated]) -> list[Generated]:
    """All processes' reports, each study once, ordered by study id."""
    return list(gathered({one.study_id: one for one in local}).values())


SCORES = ("loss", "bleu4", "cider", "facts_f1", "findings_f1", "distinct")
"""The few scores that are worth computing after every epoch."""


def validation_scores(generated: Sequence[Generated]) -> dict[str, float]:
    """Loss (nats a token), BLEU-4, CIDEr, F1 of facts and findings, share of distinct reports.

    All but the loss on the tokens of protocol `clean`, so that models of every text compare.
    """
    hypotheses = [clean_tokens(one.hypothesis) for one in generated]
    references = [clean_tokens(one.reference) for one in generated]
    tokens = sum(one.tokens for one in generated)
    return {
        "loss": sum(one.loss * one.tokens for one in generated) / max(1, tokens),
        "bleu4": corpus_bleu(hypotheses, references)["bleu4"],
        "cider": float(np.mean(cider(hypotheses, references))) if hypotheses else 0.0,
        "facts_f1": fact_scores(hypotheses, references)["facts/f1"],
        "findings_f1": finding_scores(hypotheses, references)["findings/micro_f1"],
        "distinct": len(set(hypotheses)) / max(1, len(hypotheses)),
    }


# Several processes, here and where CheXNet is trained.

Key = TypeVar("Key", bound=Any)
Item = TypeVar("Item")


def gathered(mine: Mapping[Key, Item]) -> dict[Key, Item]:
    """The items of all processes, ordered by their keys.

    Samplers repeat studies to give every process equally many; scored twice they would count
    twice.
    """
    parts: list[Mapping[Key, Item]] = [mine]
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        parts = [{} for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(parts, dict(mine))
    merged = {key: item for part in parts for key, item in part.items()}
    return {key: merged[key] for key in sorted(merged)}


def nothing_to_learn(module: nn.Module) -> Tensor:
    """A loss of 0 that gives every trainable weight a gradient of 0.

    With several processes, one whose batch holds nothing must take part in the step all the same.
    """
    weights = [weight.sum() for weight in module.parameters() if weight.requires_grad]
    return torch.stack(weights).sum() * 0.0
