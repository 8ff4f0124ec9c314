"""The CheXNet stage: training the encoder as a multi-label classifier of single images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss  # type: ignore[import-untyped]

from xray_report.data.dataset import Batch
from xray_report.errors import CheckpointError, OptionError
from xray_report.inference.checkpoint import CHECKPOINT_FORMAT, check_claims, read_file
from xray_report.metrics.auroc import Auroc, auroc
from xray_report.metrics.study_scores import RESAMPLES
from xray_report.models.encoders.protocol import Encoder, build_encoder
from xray_report.models.encoders.weights.files import DESCRIPTION_KEY, our_description
from xray_report.training.report_module import gathered, nothing_to_learn
from xray_report.training.schedule import adam

# The classifier.


class CheXNetOutput(NamedTuple):
    """Logits of `CheXNet` for N images.

    Args:
        logits: float [N, C], one a label.
        cell_logits: float [N, C, h, w], one a label and cell of the feature map, or None
            without a locator.
    """

    logits: Tensor
    cell_logits: Tensor | None


class CheXNet(nn.Module):
    """CheXNet (Rajpurkar et al. 2017): an encoder, average pooling, one logit a label.

    In the paper the encoder is DenseNet121; any will do.

    Args:
        encoder: the feature extractor that is trained and later exported.
        labels: number C of labels, at least 1.
        locator: add a 1x1 convolution that gives each cell of the map its own logits, for data
            that know where a finding lies (after Li et al. 2018, "Thoracic disease identification
            and localization with limited supervision").
    """

    def __init__(self, encoder: Encoder, labels: int, locator: bool = False) -> None:
        super().__init__()
        if labels < 1:
            raise OptionError(f"CheXNet needs at least one label to learn, got {labels}")
        self.encoder = encoder
        self.classifier = nn.Linear(encoder.channels, labels)
        self.locator = nn.Conv2d(encoder.channels, labels, 1) if locator else None

    def forward(self, images: Tensor) -> CheXNetOutput:
        """Classify normalised images float [N, 3, S, S]."""
        maps = self.encoder(images)
        logits = self.classifier(maps.mean(dim=(2, 3)))
        return CheXNetOutput(logits, None if self.locator is None else self.locator(maps))


def _classifier(described: Mapping[str, Any]) -> CheXNet:
    """The classifier that hyper-parameters describe, its weights still to be loaded."""
    encoder = build_encoder(described["encoder"])
    return CheXNet(encoder, len(described["label_names"]), described["locator"])


# Training it.


class ImageProbabilities(NamedTuple):
    """Probability of each label on one image, in slot `view` of a study."""

    study_id: str
    view: int
    probabilities: dict[str, float]


class SplitAurocs(NamedTuple):
    """AUROCs of one split.

    Args:
        labels: by label, of those that occur and do not always.
        min_positives: images that a label must be positive on to count in the mean.
    """

    labels: dict[str, Auroc]
    min_positives: int

    @property
    def mean(self) -> float:
        """Mean AUROC of the labels that are positive often enough; 0 where none is."""
        counted = [one.value for one in self.labels.values() if one.positives >= self.min_positives]
        return sum(counted) / max(1, len(counted))


class CheXNetModule(pl.LightningModule):
    """Trains `CheXNet` on every present view of every study.

    All arguments but `model` are plain types and stand in checkpoints as hyper-parameters, so that
    `CheXNetModule.load_from_checkpoint(path)` needs nothing else.

    Args:
        encoder: description of the encoder, as `Encoder.describe` gives it.
        label_names: names of the C labels.
        locator: whether the model also has logits for each cell of the map.
        optimizer: keyword arguments of `schedule.adam`.
        pos_weight: C weights of positives; None weighs all alike.
        region_weight: weight of the region loss, where the data know regions.
        min_positives: labels with fewer positive images in a split are left out of its mean AUROC.
        about: plain facts of the training (data set, split, options, ...), kept in checkpoints.
        model: the classifier itself where it exists already, such as with a pre-trained encoder.

    Attributes:
        aurocs: of the last validation (`val`) and test (`test`).
    """

    def __init__(
        self,
        encoder: Mapping[str, Any],
        label_names: Sequence[str],
        locator: bool,
        optimizer: Mapping[str, Any],
        pos_weight: Sequence[float] | None = None,
        region_weight: float = 1.0,
        min_positives: int = 1,
        about: Mapping[str, Any] | None = None,
        model: CheXNet | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["model"], logger=False)
        if model is None:
            model = _classifier(self.hparams)
        self.model = model.to(memory_format=torch.channels_last)  # faster convolutions
        self.label_names = tuple(label_names)
        self.pos_weight: Tensor
        weights = torch.ones(len(label_names)) if pos_weight is None else torch.tensor(pos_weight)
        self.register_buffer("pos_weight", weights, persistent=False)
        # Of each image, by study and view, its logits and labels [2, C].
        self.scored: dict[tuple[str, int], NDArray[np.float32]] = {}
        # Of each batch, by its first image, how many images it has and its losses by name.
        self.costs: dict[tuple[str, int], tuple[int, dict[str, float]]] = {}
        self.aurocs: dict[str, SplitAurocs] = {}

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning names each of its options
        cls, checkpoint_path: str | Path, *args: Any, **options: Any
    ) -> CheXNetModule:
        """Lightning's; but a file that is not ours, is damaged or claims a model that it does not
        hold is refused by `CheckpointError` before anything is built."""
        path = Path(checkpoint_path)
        check_claims(path, "chexnet", options, _classifier)
        return super().load_from_checkpoint(path, *args, **options)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of one batch; 0 if no image of it could be read."""
        if not batch.study_ids:
            return nothing_to_learn(self)
        losses, logits, _ = self._losses(batch)
        for name, loss in losses.items():
            self.log(f"train/{name}", loss, batch_size=len(logits), prog_bar=name == "loss")
        return losses["loss"]

    def predict_step(self, batch: Batch, index: int) -> list[ImageProbabilities]:
        """Probabilities of every present view of the batch."""
        if not batch.study_ids:
            return []
        assert batch.images is not None
        images = batch.images[batch.view_mask].contiguous(memory_format=torch.channels_last)
        rows = self.model(images).logits.float().sigmoid().tolist()
        return [
            ImageProbabilities(
                batch.study_ids[study], view, dict(zip(self.label_names, row, strict=True))
            )
            for (study, view), row in zip(batch.view_mask.nonzero().tolist(), rows, strict=True)
        ]

    def validation_step(self, batch: Batch, index: int) -> None:
        """Collect logits for the AUROC of the whole split."""
        self._collect(batch)

    def test_step(self, batch: Batch, index: int) -> None:
        """Collect logits for the AUROC of the whole split."""
        self._collect(batch)

    def on_validation_epoch_end(self) -> None:
        """Log losses and AUROCs, these with intervals where it is no part of training."""
        self._log_losses("val")
        self._log_auroc("val", 0 if self.trainer.state.fn == "fit" else RESAMPLES)

    def on_test_epoch_end(self) -> None:
        """Log losses, AUROC per label and the mean of those."""
        self._log_losses("test")
        self._log_auroc("test", RESAMPLES)

    def _losses(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Losses by name, whose sum is `loss`, and logits and labels [M, C] of present views."""
        assert batch.images is not None
        # Indices once: each boolean mask would make the host wait for the device by itself.
        present = batch.view_mask.nonzero(as_tuple=True)
        images = batch.images[present].contiguous(memory_format=torch.channels_last)
        output = self.model(images)
        labels = batch.labels[present]
        loss = label_loss(output.logits.float(), labels, self.pos_weight)
        losses = {"label_loss": loss}
        if output.cell_logits is not None and batch.regions is not None:
            where = region_loss(output.cell_logits.float(), batch.regions[present])
            losses["region_loss"] = where
            loss = loss + self.hparams["region_weight"] * where
        return {**losses, "loss": loss}, output.logits, labels

    def _collect(self, batch: Batch) -> None:
        if not batch.study_ids:
            return
        losses, logits, labels = self._losses(batch)
        images = [(batch.study_ids[row], view) for row, view in batch.view_mask.nonzero().tolist()]
        both = torch.stack([logits.float(), labels], dim=1).cpu().numpy()
        self.scored.update(zip(images, both, strict=True))
        self.costs[images[0]] = (len(images), {name: float(one) for name, one in losses.items()})

    def _log_losses(self, stage: str) -> None:
        """Mean losses of a split's images, each batch counted once, by whom it was seen or not."""
        costs = list(gathered(self.costs).values())
        self.costs = {}
        total = max(1, sum(count for count, _ in costs))
        for name in costs[0][1] if costs else ():
            mean = sum(count * losses[name] for count, losses in costs) / total
            self.log(f"{stage}/{name}", mean, prog_bar=name == "loss")

    def _log_auroc(self, stage: str, resamples: int) -> None:
        images = gathered(self.scored)
        self.scored = {}
        self.aurocs[stage] = self._aurocs(list(images.values()), resamples)
        for name, score in self.aurocs[stage].labels.items():
            self.log(f"{stage}_auroc/{name}", score.value)
        self.log(f"{stage}/auroc", self.aurocs[stage].mean, prog_bar=True)
        studies = self._aurocs(of_whole_studies(images), 0)
        self.log(f"{stage}/study_auroc", studies.mean)

    def _aurocs(self, scored: Sequence[NDArray[np.float32]], resamples: int) -> SplitAurocs:
        """Of logits and labels [2, C] each."""
        logits, labels = np.reshape(scored, (-1, 2, len(self.label_names))).transpose(1, 2, 0)
        columns = zip(self.label_names, logits, labels, strict=True)
        scores = {name: auroc(s, truth, resamples=resamples) for name, s, truth in columns}
        known = {name: score for name, score in scores.items() if not math.isnan(score.value)}
        return SplitAurocs(known, self.hparams["min_positives"])

    def configure_optimizers(self) -> Any:
        """AdamW over all parameters."""
        return adam(self, self.model.parameters(), **self.hparams["optimizer"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what `load_encoder` reads: the kind of checkpoint and its encoder's description."""
        checkpoint[DESCRIPTION_KEY] = {
            "kind": "chexnet",
            "format": CHECKPOINT_FORMAT,
            "encoder": self.model.encoder.describe(),
            "label_names": list(self.label_names),
        }


def of_whole_studies(
    images: Mapping[tuple[str, int], NDArray[np.float32]],
) -> list[NDArray[np.float32]]:
    """Logits and labels [2, C] of studies, from those of their images by study and view.

    A study's logits are the mean of its images'; it has a label that one of them has.
    """
    views: dict[str, list[NDArray[np.float32]]] = {}
    for (study, _), scored in images.items():
        views.setdefault(study, []).append(scored)
    return [
        np.stack([np.mean([logits for logits, _ in one], 0), np.fmax.reduce([y for _, y in one])])
        for one in views.values()
    ]


def start_at_prior(model: CheXNet, labels: Tensor) -> None:
    """Set the biases so that a new model predicts each label's share of known `labels` [M, C].

    Without it the first steps only learn that findings are rare (Lin et al. 2017, section 3.3).
    A finding is taken to cover four cells of the map.
    """
    known = (~labels.isnan()).sum(0).clamp(min=1)
    share = (labels.nan_to_num().sum(0) / known).clamp(1e-3, 0.9)
    with torch.no_grad():
        model.classifier.bias.copy_(torch.logit(share))
        if model.locator is not None:
            nn.init.normal_(model.locator.weight, std=0.01)
            assert model.locator.bias is not None
            covered = 4 / model.encoder.map_shape.locations
            model.locator.bias.copy_(torch.logit(share * covered))


class Heads(NamedTuple):
    """What a CheXNet checkpoint holds beside its encoder.

    Args:
        label_names: names of the C labels.
        state: tensors by name, of `CheXNet`.
    """

    label_names: tuple[str, ...]
    state: dict[str, Tensor]


def read_heads(weights: str | None) -> Heads | None:
    """The heads of a checkpoint of this module; None of any other weights, which have none.

    Raises `CheckpointError` if it is damaged.
    """
    path = Path(weights or "")
    if path.suffix != ".ckpt" or not path.is_file():
        return None
    names = (our_description(path) or {}).get("label_names")
    if names is None:
        return None
    state = read_file(path).get("state_dict")
    named_so = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not (named_so and isinstance(state, Mapping)):
        raise CheckpointError(f"{path} does not hold the heads that it describes: train it again")
    named = {str(name).removeprefix("model."): part for name, part in state.items()}
    return Heads(tuple(names), {k: v for k, v in named.items() if not k.startswith("encoder.")})


def take_heads(model: CheXNet, weights: str | None, label_names: Sequence[str]) -> bool:
    """Go on with the heads of a CheXNet checkpoint too, if it had these labels and heads.

    Args:
        weights: where the encoder came from; anything but a checkpoint of this module has none.

    Returns:
        Whether it had.
    """
    heads = read_heads(weights)
    if heads is None or heads.label_names != tuple(label_names):
        return False
    if heads.state.keys() != {k for k in model.state_dict() if not k.startswith("encoder.")}:
        return False
    model.load_state_dict(heads.state, strict=False)
    return True


# Losses: of image labels, and of the cells that findings cover where the data set knows them.

COVERED = 0.05
"""Share of a cell that a finding must cover for the cell to be a positive."""


def label_loss(logits: Tensor, labels: Tensor, pos_weight: Tensor) -> Tensor:
    """Binary cross-entropy over known labels, positives weighted by class balance.

    Args:
        logits, labels: float [M, C]; NaN labels are unknown and cost nothing, those between 0 and
            1 are another model's probabilities.
        pos_weight: float [C], weight of a positive (Rajpurkar et al. 2017, eq. 1).
    """
    known = ~labels.isnan()
    loss = functional.binary_cross_entropy_with_logits(
        logits, labels.nan_to_num(), pos_weight=pos_weight, reduction="none"
    )
    return (loss * known).sum() / known.sum().clamp(min=1)


def region_loss(cell_logits: Tensor, regions: Tensor) -> Tensor:
    """Focal loss (Lin et al. 2017) of the cells in which each label lies.

    Args:
        cell_logits: float [M, C, h, w].
        regions: float [M, C, G, G], the share of each cell covered, NaN unknown.
    """
    size = cell_logits.shape[-2:]
    known = ~regions.isnan().flatten(2).any(-1)[..., None, None]
    covered = functional.adaptive_max_pool2d(regions.nan_to_num(), size)
    target = (covered > COVERED).to(cell_logits)
    loss: Tensor = sigmoid_focal_loss(cell_logits, target, alpha=0.5, gamma=2.0)
    places: Tensor = (target * known).sum().clamp(min=1)
    return (loss * known).sum() / places


def balance(labels: Tensor, highest: float) -> Tensor:
    """Weight [C] of a positive: known negatives over positives of `labels` [M, C], 1..highest.

    A soft label is so much of a positive, and the rest of a negative.
    """
    positive = labels.nan_to_num().sum(0)
    negative = (~labels.isnan()).sum(0) - positive
    return (negative / positive.clamp(min=1)).clamp(1.0, highest).to(torch.float32)
