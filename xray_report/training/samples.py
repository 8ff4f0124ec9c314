"""Callbacks that show, in TensorBoard, what the model writes and where it looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

from xray_report.inference.attention_picture import overlay, telling_words
from xray_report.inference.protocol import Hypothesis
from xray_report.training.report_module import ReportModule


class SampleReports(pl.Callback):
    """Writes a few validation reports beside their references as text, after each validation.

    Args:
        studies: how many; the first by study id, so that they are the same every time.
    """

    def __init__(self, studies: int = 5) -> None:
        self.studies = studies

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write one table."""
        writer = tensorboard(trainer)
        if writer is None or not isinstance(pl_module, ReportModule):
            return
        lines = ["| study | generated | reference |", "|---|---|---|"]
        for one in sorted(pl_module.generated)[: self.studies]:
            lines.append(f"| {one.study_id} | {one.hypothesis} | {one.reference} |")
        writer.add_text("samples/reports", "\n".join(lines), trainer.global_step)


class AttentionPictures(pl.Callback):
    """Draws the attention of the most telling words over the image pairs, when training ends.

    Args:
        studies: how many validation studies.
        words: how many words of each.
    """

    def __init__(self, studies: int = 4, words: int = 3) -> None:
        self.studies, self.words = studies, words

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Decode a few studies with attention and draw them."""
        writer = tensorboard(trainer)
        if writer is None or not isinstance(pl_module, ReportModule):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        batch = pl_module.transfer_batch_to_device(data.sample(self.studies), pl_module.device, 0)
        search = replace(pl_module.search, return_attention=True)
        pl_module.eval()
        with torch.inference_mode():
            features = pl_module.features(batch)
            ranked = search(pl_module.model.decoder, features, batch.view_mask)
        for study_id, hypotheses, images in zip(
            batch.study_ids, ranked, data.pictures(self.studies), strict=True
        ):
            self._draw(writer, pl_module, study_id, hypotheses[0], images, trainer.global_step)

    def _draw(
        self,
        writer: SummaryWriter,
        module: ReportModule,
        study_id: str,
        hypothesis: Hypothesis,
        images: torch.Tensor,
        step: int,
    ) -> None:
        words = [module.vocabulary.words[i] for i in hypothesis.token_ids]
        attention = np.array(hypothesis.attention[: len(words)], np.float32)
        if not attention.size:
            return
        for at in telling_words(words, attention, self.words):
            weights = torch.from_numpy(attention[at]).view(2, 7, 7)
            picture = overlay(images, weights, f"{at}: {words[at]}")
            writer.add_image(f"attention/{study_id}/{at:02d}_{words[at]}", picture, step)


def tensorboard(trainer: pl.Trainer) -> SummaryWriter | None:
    """The run's TensorBoard writer, on the process that has one."""
    if isinstance(trainer.logger, TensorBoardLogger) and trainer.is_global_zero:
        writer: SummaryWriter = trainer.logger.experiment
        return writer
    return None
