"""From a checkpoint to scores: decode a split, score the reports, write what a person can read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from rich.console import Console
from rich.progress import track

from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, StudyDataset, TextOptions
from xray_report.data.study import SPLITS, Split, StudySource, pair_views
from xray_report.errors import OptionError, one_line
from xray_report.evaluation.image_baselines import image_baselines
from xray_report.evaluation.processes import first_goes_first, gathered, share
from xray_report.inference.checkpoint import ReportCheckpoint
from xray_report.inference.generator import Report, ReportGenerator
from xray_report.metrics.bleu import corpus_bleu
from xray_report.metrics.diagnostics import exchange, with_warnings
from xray_report.metrics.evaluation import evaluate_texts
from xray_report.metrics.files import (
    METRICS_FILE,
    REPORTS_FILE,
    ReportRecord,
    write_metrics,
    write_reports,
)
from xray_report.models.encoders.extractor import FeatureExtractor
from xray_report.options import check_count
from xray_report.tokens import SPECIAL_WORDS

IMAGES = ("own", "shuffled")
LEAST = {"batch_size": 1, "workers": 0, "seed": 0, "resamples": 1, "page_studies": 0}


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated, and how.

    Args:
        split: `train`, `val` or `test`.
        images: `own`, or `shuffled` to give every study another study's images.
        batch_size: studies decoded at a time.
        workers: processes that decode images while features are cached.
        cache_dir: folder of the feature cache.
        device: such as `cpu` or `cuda`; `auto` takes a GPU where there is one.
        seed: of the exchange of images.
        resamples: of the bootstrap behind the intervals.
        image_baselines: also score the nearest training study's report and two constants, which
            takes the training studies' features.
        page_studies: how many studies report.html shows, the worst first.
    """

    split: Split = "test"
    images: str = "own"
    batch_size: int = 64
    workers: int = 2
    cache_dir: str = ".cache"
    device: str = "auto"
    seed: int = 0
    resamples: int = 1000
    image_baselines: bool = True
    page_studies: int = 40

    def __post_init__(self) -> None:
        if self.images not in IMAGES:
            raise OptionError(f"images must be one of {', '.join(IMAGES)}: {self.images!r}")
        if self.split not in SPLITS:
            raise OptionError(f"split must be one of {', '.join(SPLITS)}: {self.split!r}")
        for name, least in LEAST.items():
            check_count(f"evaluation.{name}", getattr(self, name), least)
        if not isinstance(self.image_baselines, bool):
            raise OptionError(
                f"evaluation.image_baselines must be true or false, got {self.image_baselines!r}"
            )
        for name, such in (("cache_dir", "a folder"), ("device", "cpu, cuda or auto")):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:
                raise OptionError(f"evaluation.{name} must be {such}, got {value!r}")
        try:
            torch.empty(0, device=self.torch_device)
        except (RuntimeError, AssertionError) as error:
            raise OptionError(
                f"device={self.device} cannot be used here: {one_line(error, 120)}"
            ) from error

    @property
    def torch_device(self) -> torch.device:
        """The device to run on."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)


def evaluation_options(given: Mapping[str, Any]) -> EvaluationOptions:
    """The options of these names. Raises `OptionError`, also for a name that is none."""
    known = [field.name for field in fields(EvaluationOptions)]
    for name in given:
        if name not in known:
            raise OptionError(f"evaluation.{name} is no option; choose from {', '.join(known)}")
    return EvaluationOptions(**given)


# ------------------------------------------------------------------------------
# From a checkpoint to scores: decode a split, score the reports, write what a person can read.


def system_name(checkpoint: ReportCheckpoint, options: EvaluationOptions) -> str:
    """What a table calls the model: its data set, and whether its images were exchanged."""
    exchanged = ", images exchanged" if options.images == "shuffled" else ""
    return f"model ({checkpoint.about['data']}{exchanged})"


@runtime_checkable
class Rephrasing(Protocol):
    """A source that knows the truth of a study and can put it in other words."""

    def rephrase(self, study_id: str, salt: int) -> str:
        """Another report of the same facts."""
        ...


def data_note(source: StudySource) -> str:
    """What must be said wherever numbers or pictures of a data set are shown; "" for real data."""
    if not isinstance(source, Rephrasing):
        return ""
    return f"The {source.name} studies are drawn, not real: no number here speaks of patients."


@dataclass(frozen=True)
class Decoded:
    """Reports of one split, in the order of its studies, beside their references.

    Args:
        dataset: the split.
        rows: whose images each study's report was written from: its own, unless exchanged.
        reports: one a study.
        device: where the model is.
    """

    dataset: StudyDataset
    rows: list[int]
    reports: list[Report]
    device: torch.device

    @property
    def references(self) -> list[str]:
        """Reference texts as published."""
        return [example.reference for example in self.dataset.examples]


def data_of(
    checkpoint: ReportCheckpoint, source: StudySource, options: EvaluationOptions
) -> ChestDataModule:
    """The source's studies, prepared exactly as in the checkpoint's training."""
    encoder = checkpoint.model.encoder
    target = checkpoint.about["target"]
    if source.target != target:
        print(f"note: the checkpoint writes {target}, so data.target={source.target} has no say")
    return ChestDataModule(
        source,
        LoaderOptions(
            batch_size=options.batch_size, workers=options.workers, cache_dir=options.cache_dir
        ),
        text=TextOptions(target=target, cleaner=checkpoint.cleaner),
        vocabulary=checkpoint.vocabulary,
        # As in training, so that it reads the same features.
        encode=FeatureExtractor(encoder, options.device, checkpoint.about["precision"]),
        image_size=encoder.preprocessing.size,
    )


def decode(
    generator: ReportGenerator, data: ChestDataModule, options: EvaluationOptions
) -> Decoded:
    """Write the report of every study of the split; processes started together share the work."""
    with first_goes_first():
        dataset = data.dataset(options.split)
    rows = list(range(len(dataset)))
    if options.images == "shuffled":
        rows = exchange(rows, options.seed)
    first, step = share()
    mine, size = range(first, len(dataset), step), options.batch_size
    reports: dict[int, Report] = {}
    starts = range(0, len(mine), size)
    said, screen = f"decoding {options.split}", Console(stderr=True)
    for start in track(starts, description=said, transient=True, console=screen):
        chosen = mine[start : start + size]
        batch = dataset.__getitems__([rows[i] for i in chosen])
        assert batch.features is not None
        written = generator.generate(
            features=batch.features.float().to(options.torch_device),
            view_mask=batch.view_mask.to(options.torch_device),
            study_ids=[dataset.examples[i].study.study_id for i in chosen],
        )
        reports |= zip(chosen, written, strict=True)
    return Decoded(dataset, rows, gathered(reports), options.torch_device)


def score(decoded: Decoded, data: ChestDataModule, options: EvaluationOptions) -> dict[str, float]:
    """All scores of decoded reports, beside baselines and, where it is known, the ceiling."""
    examples = decoded.dataset.examples
    studies = [example.study for example in examples]
    vocabulary = data.vocabulary
    assert vocabulary is not None
    metrics = evaluate_texts(
        [study.study_id for study in studies],
        [report.text for report in decoded.reports],
        decoded.references,
        train_texts=data.references("train"),
        val_texts=data.references("val"),
        vocabulary_words=vocabulary.words[len(SPECIAL_WORDS) :],
        views=[sum(image is not None for image in pair_views(study)) for study in studies],
        labels=[study.labels for study in studies],
        baselines=_image_baselines(decoded, data) if options.image_baselines else None,
        reliance=options.images == "own",  # exchanging what is exchanged costs nothing
        resamples=options.resamples,
    )
    return metrics | ceiling(decoded, data)


def _image_baselines(decoded: Decoded, data: ChestDataModule) -> dict[str, list[str]]:
    if not (data.split("train") and data.split("val")):
        return {}
    train, val = data.dataset("train"), data.dataset("val")
    return image_baselines(train, val, decoded.dataset, decoded.rows)


def ceiling(decoded: Decoded, data: ChestDataModule) -> dict[str, float]:
    """BLEU of the truth in other words: what paraphrase leaves to a perfect reader."""
    if not isinstance(data.source, Rephrasing):
        return {}
    clean = data.text.cleaner if data.text else str
    ids = [example.study.study_id for example in decoded.dataset.examples]
    other_words = [clean(data.source.rephrase(study_id, 1)) for study_id in ids]
    truth = [clean(reference) for reference in decoded.references]
    return {f"ceiling/clean/{k}": v for k, v in corpus_bleu(other_words, truth).items()}


def write(folder: Path, metrics: Mapping[str, float], decoded: Decoded, note: str = "") -> None:
    """Write metrics.json (with its warnings, and a note on the data) and reports.jsonl."""
    records = [
        ReportRecord(
            study_id=report.study_id,
            reference=reference,
            hypothesis=report.text,
            score=report.hypotheses[0].score,
            log_prob=report.hypotheses[0].log_prob,
        )
        for report, reference in zip(decoded.reports, decoded.references, strict=True)
    ]
    about = {"note": note} if note else {}
    write_metrics(folder / METRICS_FILE, {**with_warnings(metrics), **about})
    write_reports(folder / REPORTS_FILE, records)
