"""From a checkpoint to scores: decode a split, score the reports, write what a person can read."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.strategies import DDPStrategy
from torch.nn import functional

from xray_report.data.datamodule import ChestDataModule
from xray_report.data.dataset import LoaderOptions, StudyDataset, TextOptions
from xray_report.data.incoming import tag_warnings
from xray_report.data.sources.registry import source_name, source_named
from xray_report.data.sources.union import ids_by_collection
from xray_report.data.splits import changed, overlapping
from xray_report.data.study import SPLITS, Split, StudySource, View, pair_views
from xray_report.errors import CheckpointError, DataError, OptionError
from xray_report.files import replacing
from xray_report.inference.checkpoint import (
    ReportCheckpoint,
    joint_decoder,
    longest_report,
    model_note,
)
from xray_report.inference.consensus import MOST_REPORTS, ConsensusSearch
from xray_report.inference.film_check import VIEWS, FilmStatistics, check_films
from xray_report.inference.generator import Report, text_warnings
from xray_report.inference.search import Search
from xray_report.metrics.baselines import nearest_reports, two_constants
from xray_report.metrics.bleu import corpus_bleu
from xray_report.metrics.diagnostics import with_warnings
from xray_report.metrics.evaluation import evaluate_texts
from xray_report.metrics.files import (
    METRICS_FILE,
    REPORTS_FILE,
    TABLE_FILE,
    ReportRecord,
    write_metrics,
    write_reports,
    write_table,
)
from xray_report.metrics.findings.scores import abnormal_reports
from xray_report.metrics.protocols import clean_tokens
from xray_report.models.encoders.extractor import FeatureExtractor, resolve_device
from xray_report.models.encoders.weights.leak import seen_studies
from xray_report.options import (
    as_path,
    check_choice,
    check_count,
    check_flag,
    check_known,
    check_set,
    check_target,
)
from xray_report.training.report_module import ReportModule, films_of

EVALUATED_IMAGES = ("own", "shuffled")
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
        page_studies: of how many studies report.html shows films and attention, the worst ones;
            it shows the texts of all.
        allow_overlap: also evaluate studies that have ids of the checkpoint's training.
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
    page_studies: int = 600
    allow_overlap: bool = False

    def __post_init__(self) -> None:
        check_choice("images", self.images, EVALUATED_IMAGES)
        check_choice("split", self.split, SPLITS)
        for name, least in LEAST.items():
            check_count(f"evaluation.{name}", getattr(self, name), least)
        for name in ("image_baselines", "allow_overlap"):
            check_flag(f"evaluation.{name}", getattr(self, name))
        if not isinstance(self.cache_dir, str) or not self.cache_dir:
            raise OptionError(f"evaluation.cache_dir must be a folder, got {self.cache_dir!r}")
        resolve_device(self.device)

    @property
    def torch_device(self) -> torch.device:
        """The device to run on."""
        return resolve_device(self.device)


def check_groups(config: object) -> None:
    """Raise `OptionError` unless evaluate.py's groups are there, whatever they hold."""
    known = config if isinstance(config, Mapping) else {}
    for name in ("paths", "evaluation", "decode", "data"):
        group = known.get(name)
        if not isinstance(group, Mapping) and not (name == "data" and group is None):
            raise OptionError(f"{name} must be a group of options, got {group!r}: leave it in")
    if "checkpoint" not in known:
        raise OptionError("checkpoint is not set: leave it null, or give a path")


def checked_options(given: Mapping[str, Any]) -> EvaluationOptions:
    """The options of an evaluation, all others that evaluate.py was given checked, too.

    Args:
        given: plain types, with all groups.

    Raises `OptionError` for a value that something could not be built with.
    """
    for name in ("runs_dir", "output_dir"):
        as_path(f"paths.{name}", given["paths"].get(name))
    check_set(given)
    check_flag("verbose", given.get("verbose", False))
    check_target("decode", given["decode"])
    if "_target_" in (given.get("data") or {}):
        check_target("data", given["data"])
    return evaluation_options(given["evaluation"])


def evaluation_options(given: Mapping[str, Any]) -> EvaluationOptions:
    """The options of these names. Raises `OptionError`, also for a name that is none."""
    check_known("evaluation", given, [field.name for field in fields(EvaluationOptions)])
    return EvaluationOptions(**given)


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


def said_note(checkpoints: Sequence[ReportCheckpoint], source: StudySource) -> str:
    """What must be said of the data and of the model wherever its scores or reports are shown."""
    return " ".join(filter(None, (data_note(source), model_note(checkpoints))))


# The data set: the checkpoint's own, unless another is named.


def source_of(
    checkpoint: ReportCheckpoint, changes: Mapping[str, Any], options: EvaluationOptions
) -> StudySource:
    """The data set that the checkpoint was trained on, as its own options say.

    What it was trained with is data: one of the project's own data sets is built, and nothing
    that the checkpoint names is imported.

    Args:
        checkpoint: of the model.
        changes: data options to be other than in training, such as `root`; said in a line each.
        options: of the evaluation, whose cache is used.

    Raises:
        CheckpointError: the checkpoint does not say, or it was no data set of the project.
        OptionError: an option that the data set does not have, or a bad value.
    """
    trained = checkpoint.about.get("options")
    saved = trained.get("data") if isinstance(trained, Mapping) else None
    cure = "name the data set to evaluate on, such as data=phantom"
    if not isinstance(saved, Mapping):
        raise CheckpointError(f"{checkpoint.path} does not say how its data were read: {cure}")
    try:
        name = source_name(saved.get("_target_"))
    except OptionError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error
    own = {key: value for key, value in saved.items() if key != "_target_"}
    if "cache_dir" in own:  # a place to write to, which is not for a checkpoint to choose
        own["cache_dir"] = options.cache_dir
    for key, value in changes.items():
        if value != own.get(key):
            print(f"data.{key}={value} (at training: {own.get(key)})")
    return source_named(name, {**own, **changes})


def check_split(
    checkpoints: Sequence[ReportCheckpoint], data: ChestDataModule, options: EvaluationOptions
) -> None:
    """Refuse to test on what a checkpoint was trained on; say what else is not as in training.

    Raises `DataError` if studies of the evaluated split, other than train itself, were among a
    checkpoint's training studies, or patients of theirs, unless `options.allow_overlap`.
    """
    studies = data.split(options.split)
    for checkpoint in checkpoints:
        recorded = checkpoint.about.get("split")
        if not isinstance(recorded, Mapping):
            print(
                f"note: {checkpoint.path} does not say which studies it was trained on, so it is "
                f"not known whether the {options.split} split holds some of them"
            )
            continue
        if difference := changed(studies, recorded.get(options.split, {})):
            print(f"note: the {options.split} split is not the checkpoint's own: {difference}")
        seen = overlapping(studies, recorded.get("train", {}))
        if not seen or options.split == "train":
            continue
        said = (
            f"{len(seen)} of the {len(studies)} {options.split} studies, such as {seen[0]}, or "
            f"their patients were in the training of {checkpoint.path}"
        )
        if not options.allow_overlap:
            raise DataError(
                f"{said}: leave out data=... to evaluate the checkpoint's own split, or if they "
                "are others of the same ids, evaluation.allow_overlap=true"
            )
        print(f"note: {said}")


@dataclass(frozen=True)
class Decoded:
    """Reports of one split, in the order of its studies, beside their references.

    Args:
        dataset: the split.
        rows: whose images each study's report was written from: its own, unless exchanged.
        reports: one a study.
        device: what the model runs on.
        warnings: what is wrong with films and reports: study id -> kind of warning -> sentence.
    """

    dataset: StudyDataset
    rows: list[int]
    reports: list[Report]
    device: torch.device
    warnings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def references(self) -> list[str]:
        """Reference texts as published."""
        return [example.reference for example in self.dataset.examples]


def module_of(checkpoints: Sequence[ReportCheckpoint], search: Search) -> ReportModule:
    """The LightningModule of a checkpoint, or of several that write together, under `search`."""
    first = checkpoints[0]
    module = ReportModule(**first.hyperparameters, model=first.model)
    tokenizer, longest = first.tokenizer, longest_report(checkpoints)
    resolved = search.resolve(tokenizer.words, longest, tokenizer.decode)
    decoder = joint_decoder(checkpoints)
    resolved.check(decoder)
    module.decode_with(decoder, resolved)
    module.films = first.films
    return module


def with_reports(
    search: Search, checkpoints: Sequence[ReportCheckpoint], data: ChestDataModule, split: Split
) -> Search:
    """`search`, given the data's training reports if it chooses among reports; says which.

    Raises `DataError` if there are none.
    """
    if not isinstance(search, ConsensusSearch) or search.candidates != "reports":
        return search
    texts = data.references("train")
    if not texts:
        raise DataError(
            f"candidates=reports chooses among training reports, and {data.source.name} has no "
            "training study: take another data.split, or candidates=samples"
        )
    chosen = search.choosing_among(texts, checkpoints[0].tokenizer, longest_report(checkpoints))
    drawn = ", drawn by lot" if len(chosen.reports) == MOST_REPORTS else ""
    print(
        f"consensus chooses among {len(chosen.reports):,} reports, the different ones of "
        f"{len(texts):,} training studies that the model could have written{drawn}"
    )
    if split == "train":
        print("note: a study's own report is among them, so no score speaks of new studies")
    return chosen


def data_of(
    checkpoint: ReportCheckpoint, source: StudySource, options: EvaluationOptions
) -> ChestDataModule:
    """The source's studies, prepared exactly as in the checkpoint's training."""
    encoder, about = checkpoint.model.encoder, checkpoint.about
    if source.target != about["target"]:
        print(
            f"note: the checkpoint writes {about['target']}, so data.target={source.target} "
            "is not used"
        )
    data = ChestDataModule(
        source,
        LoaderOptions(
            batch_size=options.batch_size,
            workers=options.workers,
            cache_dir=options.cache_dir,
            train_studies=_train_studies(checkpoint, source),
        ),
        text=TextOptions(
            target=about["target"],
            name=checkpoint.tokenizer.name,
            max_tokens=checkpoint.hyperparameters["max_tokens"],
        ),
        tokenizer=checkpoint.tokenizer,
        # In the precision of training, so that it reads the same features.
        encode=FeatureExtractor(encoder, options.device, about["precision"]),
        test_split=options.split,
        exchange_seed=options.seed if options.images == "shuffled" else None,
    )
    for name, ids in ids_by_collection(source, data.split(options.split)).items():
        if seen := seen_studies(encoder.source, name, ids):
            print(f"note: the encoder was trained on {seen} of these {len(ids)} studies of {name}")
    return data


def _train_studies(checkpoint: ReportCheckpoint, source: StudySource) -> int | None:
    """How many of the source's training studies baselines may know: as many as the model did."""
    trained = checkpoint.about.get("options")
    loader = trained.get("loader") if isinstance(trained, Mapping) else None
    if not isinstance(loader, Mapping) or source.name != checkpoint.about["data"]:
        return None
    most: int | None = loader.get("train_studies")
    return most


PATIENCE = timedelta(hours=12)
"""How long other processes wait while the first encodes the images."""


def evaluation_trainer(options: EvaluationOptions) -> pl.Trainer:
    """A Trainer that tests on `options.device`; under torchrun, one of its processes."""
    device = options.torch_device
    together = torch.distributed.is_torchelastic_launched()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if together else 1
    index = [device.index or 0] if device.type == "cuda" else 1
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=local if together else index,
        num_nodes=int(os.environ.get("WORLD_SIZE", "1")) // local if together else 1,
        strategy=DDPStrategy(timeout=PATIENCE) if together else "auto",
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )


def decode(
    trainer: pl.Trainer, module: ReportModule, data: ChestDataModule, options: EvaluationOptions
) -> Decoded:
    """Write the report of every study of the split; processes started together share the work."""
    trainer.test(module, datamodule=data, verbose=False)
    module.to(options.torch_device)  # the Trainer has moved it to the CPU
    dataset = data.dataset(options.split)
    reports = [module.reports[example.study.study_id] for example in dataset.examples]
    rows = data.image_rows(options.split)
    warnings = {one.study_id: text_warnings(one, module.tokenizer) for one in reports}
    if options.images == "own" and trainer.is_global_zero:  # others' films are no studies' own
        for study_id, found in film_warnings(dataset, module.films):
            warnings[study_id] |= found
    return Decoded(dataset, rows, reports, options.torch_device, warnings)


def score(decoded: Decoded, data: ChestDataModule, options: EvaluationOptions) -> dict[str, float]:
    """All scores of decoded reports, beside baselines and, where it is known, the ceiling."""
    examples = decoded.dataset.examples
    studies = [example.study for example in examples]
    tokenizer = data.tokenizer
    assert tokenizer is not None
    metrics = evaluate_texts(
        [study.study_id for study in studies],
        [report.text for report in decoded.reports],
        decoded.references,
        train_texts=data.references("train"),
        val_texts=data.references("val"),
        vocabulary_words=[
            word for id, word in enumerate(tokenizer.words) if id not in tokenizer.special
        ],
        views=[sum(image is not None for image in pair_views(study)) for study in studies],
        labels=[study.labels for study in studies],
        baselines=_image_baselines(decoded, data) if options.image_baselines else None,
        reliance=options.images == "own",  # exchanging what is exchanged costs nothing
        resamples=options.resamples,
    )
    return metrics | ceiling(decoded, data) | warning_counts(decoded.warnings)


CHECKED_AT_ONCE = 64
"""Studies whose films are in memory at a time, to be checked."""


def film_warnings(
    dataset: StudyDataset, known: FilmStatistics | None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Study and warnings (kind -> sentence) of each film, of its pixels and of its DICOM tags.

    Where nothing is known of the films of training, that is printed.
    """
    if known is None:
        print("note: the checkpoint keeps no statistics of its training films: none is compared")
    for start in range(0, len(dataset), CHECKED_AT_ONCE):
        films, rows = films_of(dataset, range(len(dataset))[start : start + CHECKED_AT_ONCE])
        for row, slot, found in zip(
            rows, films.slots.tolist(), check_films(films, known), strict=True
        ):
            example, view = dataset.examples[row], VIEWS[slot]
            path = getattr(getattr(example.views[slot], "pixels", None), "path", None)
            tagged = tag_warnings(path, View(view), f"the {view} image") if path else {}
            found.pop("unchecked", None)  # true of a whole view, and no news of a film
            yield example.study.study_id, tagged | found


def warning_counts(found: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """Studies with any warning, `warned/studies`, and with each kind, `warned/KIND`."""
    kinds = Counter(kind for one in found.values() for kind in one)
    counts = {"studies": sum(map(bool, found.values())), **kinds}
    return {f"warned/{kind}": float(count) for kind, count in sorted(counts.items())}


def _image_baselines(decoded: Decoded, data: ChestDataModule) -> dict[str, list[str]]:
    if not (data.split("train") and data.split("val")):
        return {}
    train, val = data.dataset("train"), data.dataset("val")
    return image_baselines(train, val, decoded.dataset, decoded.rows, decoded.device)


def ceiling(decoded: Decoded, data: ChestDataModule) -> dict[str, float]:
    """BLEU of the truth in other words: what paraphrase leaves to a perfect reader."""
    if not isinstance(data.source, Rephrasing):
        return {}
    ids = [example.study.study_id for example in decoded.dataset.examples]
    other_words = [clean_tokens(data.source.rephrase(study_id, 1)) for study_id in ids]
    truth = [clean_tokens(reference) for reference in decoded.references]
    return {f"ceiling/clean/{k}": v for k, v in corpus_bleu(other_words, truth).items()}


# What is left of an evaluation: its scores, its reports, and what was evaluated.

RECORD_FILE = "evaluation.json"
WARNINGS_FILE = "warnings.json"


def record(
    checkpoints: Sequence[ReportCheckpoint],
    source: StudySource,
    given: Mapping[str, Any],
    options: EvaluationOptions,
    version: str,
) -> dict[str, Any]:
    """What is evaluated, and how: enough to do it again, and to see whether it is the same.

    Args:
        checkpoints: path, SHA-256, epoch and data set of each are kept.
        source: the data set that is evaluated.
        given: options of evaluate.py, plain types.
        options: those of the evaluation.
        version: of this package.
    """
    return {
        "checkpoints": [
            {
                "path": str(one.path.resolve()),
                "sha256": one.sha256,
                "epoch": one.epoch,
                "trained on": one.about["data"],
            }
            for one in checkpoints
        ],
        "data": {"name": source.name, **_options_of(source, given.get("data") or {})},
        "decode": dict(given["decode"]),
        "evaluation": asdict(options),
        "version": version,
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _options_of(source: StudySource, given: Mapping[str, Any]) -> dict[str, Any]:
    """A data set's options as it has them, or else as they were given."""
    if not is_dataclass(source):
        return dict(given)
    values = {one.name: getattr(source, one.name) for one in fields(source) if one.init}
    return {name: str(one) if isinstance(one, Path) else one for name, one in values.items()}


def about_texts(about: Mapping[str, Any]) -> dict[str, str]:
    """A record as texts by name, one for each of its parts: `checkpoint`, `sha256`, `data` ..."""
    parts = about.get("checkpoints", [])
    texts = {
        name: ", ".join(str(one.get(key)) for one in parts)
        for name, key in (("checkpoint", "path"), ("sha256", "sha256"), ("epoch", "epoch"))
    }
    rest = {name: value for name, value in about.items() if name != "checkpoints"}
    return texts | {
        name: value if isinstance(value, str) else json.dumps(value, default=str)
        for name, value in rest.items()
    }


def write(
    folder: Path,
    metrics: Mapping[str, float],
    decoded: Decoded,
    about: Mapping[str, Any],
    note: str = "",
) -> None:
    """Write metrics.json, reports.jsonl, the same texts as reports.csv, and evaluation.json.

    And warnings.json: what is wrong with films and reports of those studies that have any.

    The scores are beside their warnings, a note on the data, and what was evaluated as texts
    (`about/checkpoint` ...); evaluation.json has that in full, for the reports too.
    """
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
    texts = {f"about/{name}": text for name, text in about_texts(about).items()}
    texts |= {"note": note} if note else {}
    write_metrics(folder / METRICS_FILE, {**with_warnings(metrics), **texts})
    write_reports(folder / REPORTS_FILE, records)
    write_table(folder / TABLE_FILE, records)
    warned = {name: one for name, one in decoded.warnings.items() if one}
    for name, plain in ((RECORD_FILE, about), (WARNINGS_FILE, warned)):
        with replacing(folder / name) as temporary:
            text = json.dumps(plain, indent=2, ensure_ascii=False, default=str)
            temporary.write_text(text + "\n", encoding="utf-8")


# Baselines that look at images: reports of the nearest training studies.

_BATCH = 128
"""Studies whose features are read at a time."""
_WEIGHT_DECAY = 1e-3


def image_baselines(
    train: StudyDataset,
    val: StudyDataset,
    evaluated: StudyDataset,
    rows: Sequence[int],
    device: torch.device | str = "cpu",
) -> dict[str, list[str]]:
    """Reports of `nearest` and `two_constants` for the evaluated studies, in their order.

    A training study is not its own nearest.

    Args:
        train, val, evaluated: data sets with cached features.
        rows: whose images each evaluated study has: its own, unless they were exchanged.
        device: what the classifier behind `two_constants` is trained on.
    """
    train_texts, val_texts = (
        [example.reference for example in dataset.examples] for dataset in (train, val)
    )
    abnormal, val_abnormal = (
        [bool(flag) for flag in abnormal_reports(texts)] for texts in (train_texts, val_texts)
    )
    known, asked = pooled_features(train, range(len(train))), pooled_features(evaluated, rows)
    predicted = classify(known, abnormal, asked, device)
    places = {example.study.study_id: row for row, example in enumerate(train.examples)}
    own = [places.get(evaluated.examples[row].study.study_id) for row in rows]
    return {
        "nearest": nearest_reports(known, train_texts, asked, own),
        "two_constants": two_constants(train_texts, abnormal, val_texts, val_abnormal, predicted),
    }


def pooled_features(dataset: StudyDataset, rows: Sequence[int]) -> NDArray[np.float32]:
    """Average-pooled features of both views side by side, float32 [len(rows), 2 * C]."""
    parts = []
    for start in range(0, len(rows), _BATCH):
        features = dataset.__getitems__(list(rows[start : start + _BATCH])).features
        assert features is not None
        parts.append(features.float().mean((-2, -1)).flatten(1).cpu().numpy())
    return np.concatenate(parts)


def classify(
    features: NDArray[np.float32],
    abnormal: Sequence[bool],
    asked: NDArray[np.float32],
    device: torch.device | str = "cpu",
) -> list[bool]:
    """Logistic regression on standardised features: whether each of `asked` is abnormal.

    Args:
        features: float32 [M, D].
        abnormal: M flags.
        asked: float32 [N, D].
        device: what it is trained on.
    """
    mean, spread = features.mean(0), features.std(0) + 1e-6
    known, new = (torch.from_numpy((part - mean) / spread).to(device) for part in (features, asked))
    truth = torch.tensor(abnormal, dtype=torch.float32, device=device)
    weights = torch.zeros(known.shape[1] + 1, device=device, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = known @ weights[:-1] + weights[-1]
        cost = functional.binary_cross_entropy_with_logits(logits, truth)
        cost = cost + _WEIGHT_DECAY * weights[:-1].square().sum()
        cost.backward()  # type: ignore[no-untyped-call]
        return cost

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        return [bool(flag) for flag in (new @ weights[:-1] + weights[-1] > 0).tolist()]
