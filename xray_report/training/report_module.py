"""Training a report model with teacher forcing, watched by decoding the validation studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from xray_report.data.dataset import Batch
from xray_report.inference.greedy import GreedySearch
from xray_report.metrics.bleu import corpus_bleu
from xray_report.metrics.cider import cider
from xray_report.metrics.findings.scores import fact_scores, finding_scores
from xray_report.models.loss import masked_cross_entropy
from xray_report.models.report_model import ReportModel
from xray_report.text.cleaning import Cleaner
from xray_report.text.vocabulary import Vocabulary
from xray_report.tokens import PAD_ID
from xray_report.training.gathering import gathered
from xray_report.training.schedule import adam


class ReportModule(pl.LightningModule):
    """LightningModule of both report models.

    Args:
        model: encoder and decoder; a frozen encoder is skipped where batches hold features.
        architecture: what `build_decoder` built the decoder from, kept for the checkpoint.
        vocabulary, cleaner: text side of the model, kept for the checkpoint.
        search: decodes the validation studies after each epoch.
        optimizer: keyword arguments of `schedule.adam`.
        label_smoothing: share of each target spread over the vocabulary, 0..1.
        about: plain facts for the checkpoint (data set, target, seed).
    """

    def __init__(
        self,
        model: ReportModel,
        *,
        architecture: Mapping[str, Any],
        vocabulary: Vocabulary,
        cleaner: Cleaner,
        search: GreedySearch,
        optimizer: Mapping[str, Any],
        label_smoothing: float = 0.0,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.architecture, self.search = model, dict(architecture), search
        self.vocabulary, self.cleaner = vocabulary, cleaner
        self.optimizer_options, self.label_smoothing = dict(optimizer), label_smoothing
        self.about = dict(about or {})
        self.generated: list[Generated] = []

    def features(self, batch: Batch) -> Tensor:
        """Feature maps [B, 2, 1024, 7, 7] of a batch, encoded now unless they came cached."""
        if batch.features is not None:
            return batch.features
        assert batch.images is not None
        return self.model.encode(batch.images, batch.view_mask)

    def training_step(self, batch: Batch, index: int) -> Tensor | None:
        """Masked cross-entropy of one batch; None if no image of it could be read."""
        if not batch.study_ids:
            return None
        logits = self.model(self.features(batch), batch.view_mask, batch.tokens)
        loss = masked_cross_entropy(logits, batch.tokens[:, 1:], self.label_smoothing)
        self.log("train/loss", loss, batch_size=len(batch.study_ids), prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Loss, and the greedy report of every study."""
        if not batch.study_ids:  # no image of it could be read
            return
        features, targets = self.features(batch), batch.tokens[:, 1:]
        logits = self.model(features, batch.view_mask, batch.tokens)
        ranked = self.search(self.model.decoder, features, batch.view_mask)
        for i, study_id in enumerate(batch.study_ids):
            text = self.vocabulary.decode(list(ranked[i][0].token_ids))
            loss = float(masked_cross_entropy(logits[i : i + 1], targets[i : i + 1]))
            words = int((targets[i] != PAD_ID).sum())
            self.generated.append(Generated(study_id, text, batch.references[i], loss, words))

    def on_validation_epoch_end(self) -> None:
        """Score all processes' studies, each once: loss, BLEU-4, findings, distinct reports."""
        self.generated = gather(self.generated)
        for name, value in validation_scores(self.generated, self.cleaner).items():
            self.log(f"val/{name}", value, prog_bar=name in ("loss", "bleu4", "facts_f1"))

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's reports; until then callbacks may show them."""
        self.generated = []

    def configure_optimizers(self) -> Any:
        """AdamW over everything that is not frozen."""
        slow = self.model.decoder.feature_parameters()
        return adam(self, self.model.parameters(), slow=slow, **self.optimizer_options)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add all that `inference.checkpoint` needs, as plain types."""
        scores = self.trainer.callback_metrics
        checkpoint["xray_report"] = {
            "kind": "report",
            "architecture": self.architecture,
            "vocabulary": list(self.vocabulary.words),
            "cleaner": asdict(self.cleaner),
            "encoder": self.model.encoder.describe(),
            "about": self.about,
            "scores": {name: float(value) for name, value in scores.items()},
        }


# ------------------------------------------------------------------------------
# Reports decoded during validation, gathered from all processes.


class Generated(NamedTuple):
    """One decoded report beside its reference as published.

    Args:
        loss: mean cross-entropy of the reference's words, nats a word.
        words: how many those are.
    """

    study_id: str
    hypothesis: str
    reference: str
    loss: float = 0.0
    words: int = 0


def gather(local: Sequence[Generated]) -> list[Generated]:
    """All processes' reports, each study once, ordered by study id."""
    return list(gathered({one.study_id: one for one in local}).values())


# ------------------------------------------------------------------------------
# The few scores that are worth computing after every epoch.

SCORES = ("loss", "bleu4", "cider", "facts_f1", "findings_f1", "distinct")


def validation_scores(
    generated: Sequence[Generated], clean: Callable[[str], str]
) -> dict[str, float]:
    """Loss (nats a word), BLEU-4, CIDEr, F1 of facts and findings, share of distinct reports."""
    hypotheses = [one.hypothesis for one in generated]
    references = [clean(one.reference) for one in generated]
    words = sum(one.words for one in generated)
    return {
        "loss": sum(one.loss * one.words for one in generated) / max(1, words),
        "bleu4": corpus_bleu(hypotheses, references)["bleu4"],
        "cider": float(np.mean(cider(hypotheses, references))) if hypotheses else 0.0,
        "facts_f1": fact_scores(hypotheses, references)["facts/f1"],
        "findings_f1": finding_scores(hypotheses, references)["findings/micro_f1"],
        "distinct": len(set(hypotheses)) / max(1, len(hypotheses)),
    }
