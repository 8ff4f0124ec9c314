"""What a film that is stored another way does to a trained model.

`python -m tests.benchmarks films CHECKPOINT [data.root=DIR ...] [--studies N] [--json FILE]`: the
films of the validation split as they are, and the same inverted, on their side, mirrored, with a
border, re-encoded ... The data set is the checkpoint's own, with the data options given, or another
by `--data NAME` and all its options.

Measured on the same studies each time, changes with a paired 95 % bootstrap interval over studies:
- mean AUROC of the labels that enough films are positive for: of a CheXNet checkpoint, or of the
  classifier whose verdicts a guided report model is told;
- of a report model, greedy: clean BLEU-4 and CIDEr, and findings micro-F1 without "No Finding".
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from xray_report.data.dataset import with_text
from xray_report.data.images import resize_gray
from xray_report.data.sources.registry import source_name, source_named
from xray_report.data.splits import marks_of
from xray_report.data.study import Study, StudySource, pair_views, report_text
from xray_report.errors import DataError, OptionError
from xray_report.files import replacing
from xray_report.inference.checkpoint import kind_of, read_checkpoint
from xray_report.metrics.auroc import auroc
from xray_report.metrics.evaluation import CorpusScorer
from xray_report.metrics.protocols import protocols_by_name
from xray_report.models.decoders.guided import GuidedDecoder
from xray_report.models.encoders.extractor import FeatureExtractor
from xray_report.options import check_known
from xray_report.training.chexnet import CheXNetModule
from xray_report.training.labels import Labelling, ReportLabels
from xray_report.training.report_module import ReportModule

Film = NDArray[np.uint8]
SCORES = {
    "clean/bleu4": "BLEU-4",
    "clean/cider": "CIDEr",
    "findings/micro_f1_without_no_finding": "findings F1",
}
AUROC = "mean AUROC"
RESAMPLES = 200
AT_ONCE = 32  # films


# The same film, stored another way: uint8 [H, W] -> uint8 [H', W'].


def as_jpeg(film: Film, quality: int = 30) -> Film:
    file = io.BytesIO()
    Image.fromarray(film).save(file, format="JPEG", quality=quality)
    with Image.open(file) as image:
        decoded: Film = np.array(image, dtype=np.uint8)
    return decoded


def between_percentiles(film: Film) -> Film:
    low, high = np.percentile(film, [1, 99])
    levels: NDArray[np.float64] = (film - low) / max(high - low, 1) * 255
    return levels.clip(0, 255).astype(np.uint8)


def gamma(film: Film, power: float) -> Film:
    return np.rint((film / 255) ** power * 255).astype(np.uint8)


def bordered(film: Film, level: int) -> Film:
    height, width = film.shape
    return np.pad(film, ((height // 10,) * 2, (width // 10,) * 2), constant_values=level)


def coarse(film: Film) -> Film:
    height, width = film.shape
    smaller = Image.fromarray(film).resize((max(8, width // 2), max(8, height // 2)))
    return np.array(smaller)


CHANGES: Mapping[str, Callable[[Film], Film]] = {
    "as it is": lambda film: film,
    "inverted": lambda film: 255 - film,
    "on its left side": lambda film: np.rot90(film, 1),
    "on its right side": lambda film: np.rot90(film, 3),
    "upside down": lambda film: np.rot90(film, 2),
    "mirrored": lambda film: film[:, ::-1],
    "JPEG of quality 30": as_jpeg,
    "stretched to percentiles 1 and 99": between_percentiles,
    "half the contrast": lambda film: film // 2 + 64,
    "darker (gamma 1.5)": lambda film: gamma(film, 1.5),
    "brighter (gamma 0.67)": lambda film: gamma(film, 1 / 1.5),
    "black border of a tenth": lambda film: bordered(film, 0),
    "white border of a tenth": lambda film: bordered(film, 255),
    "half the pixels a side": coarse,
}


# The model and its validation studies.


class Classifier(NamedTuple):
    """Linear in average-pooled maps: weight [K, C] and bias [K] of K labels."""

    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor


class Subject(NamedTuple):
    """What is tried.

    Args:
        extractor: of its encoder.
        classifier: of single films, or None.
        writer: of reports, or None.
        studies: validation studies, with the labels that `classifier` learnt.
        target: section that `writer` writes.
    """

    extractor: FeatureExtractor
    classifier: Classifier | None
    writer: ReportModule | None
    studies: list[Study]
    target: str = "findings"


def subject_of(
    path: Path, changes: Mapping[str, Any], name: str | None = None, device: str = "auto"
) -> Subject:
    """A checkpoint of either kind and the validation studies of its data set.

    Args:
        path: of the checkpoint.
        changes: data options to be other than in training, or all of those of `name`.
        name: of another data set.
        device: to run on.
    """
    saved = read_checkpoint(path, "report", "chexnet")
    given: Any = saved["hyper_parameters"]
    about = given.get("about") or {}
    options = about.get("options") or {}
    source = source_named(name, changes) if name else source_of(path, options, changes)
    studies, names = source.studies(), tuple(source.label_names)
    if kind_of(saved) == "chexnet":
        module = CheXNetModule.load_from_checkpoint(path, map_location="cpu").eval()
        ways = options.get("model", {})
        labelling = Labelling(ways.get("labels", "reports"), ways.get("uncertain", "negative"))
        learnt, _ = labelling(studies, names)
        head = module.model.classifier
        heads = Classifier(module.label_names, head.weight.detach(), head.bias.detach())
        return Subject(FeatureExtractor(module.model.encoder, device), heads, None, in_val(learnt))
    writer = ReportModule.load_from_checkpoint(path, map_location="cpu")
    studies, verdicts = with_text(studies, about["target"], writer.tokenizer), None
    if isinstance(decoder := writer.model.decoder, GuidedDecoder):
        told = tuple(given["guiding_labels"])
        studies, _ = ReportLabels(told)(studies, names)
        verdicts = Classifier(told, decoder.verdicts.weight.clone(), decoder.verdicts.bias.clone())
    extractor = FeatureExtractor(writer.model.encoder, device, about["precision"])
    writer.to(extractor.device).eval()
    return Subject(extractor, verdicts, writer, in_val(studies), about["target"])


def source_of(path: Path, options: Mapping[str, Any], changes: Mapping[str, Any]) -> StudySource:
    """The data set of a checkpoint, as its own options and these changes say."""
    trained = options.get("data")
    if not isinstance(trained, Mapping):
        raise OptionError(f"{path} does not say how its data were read: name them by --data NAME")
    own = {key: value for key, value in trained.items() if key != "_target_"}
    return source_named(source_name(trained.get("_target_")), {**own, **changes})


def in_val(studies: Sequence[Study]) -> list[Study]:
    """Validation studies with an image, in an order that is as good as drawn by lot."""
    found = [study for study in studies if study.split == "val" and any(pair_views(study))]
    return sorted(found, key=lambda study: marks_of(study)[0])


# Measuring.


class Seen(NamedTuple):
    """What a model makes of N studies whose films were changed in one way.

    Args:
        logits: float [M, K] of M films, in the order of `truth_of`; None without a classifier.
        texts: N reports; None without a decoder.
    """

    logits: NDArray[np.float32] | None
    texts: list[str] | None


def seen(subject: Subject, change: Callable[[Film], Film]) -> Seen:
    """Show a model all its studies, every film changed."""
    pairs = [pair_views(study) for study in subject.studies]
    view_mask = torch.tensor([[image is not None for image in pair] for pair in pairs])
    films = [image for pair in pairs for image in pair if image is not None]
    parts = []
    for start in range(0, len(films), AT_ONCE):
        changed = (change(one.pixels.load()) for one in films[start : start + AT_ONCE])
        resized = [resize_gray(np.ascontiguousarray(f), subject.extractor.size) for f in changed]
        parts.append(torch.from_numpy(subject.extractor(np.stack(resized))))
    maps = torch.cat(parts)
    logits, texts = None, None
    if subject.classifier is not None:
        _, weight, bias = subject.classifier
        pooled = maps.float().mean((2, 3))
        logits = nn.functional.linear(pooled, weight, bias).numpy()
    if subject.writer is not None:
        features = maps.new_zeros(*view_mask.shape, *maps.shape[1:])
        features[view_mask.nonzero(as_tuple=True)] = maps
        device = subject.extractor.device
        reports = subject.writer.generator().generate(
            features=features.float().to(device),
            view_mask=view_mask.to(device),
            study_ids=[study.study_id for study in subject.studies],
        )
        texts = [report.text for report in reports]
    return Seen(logits, texts)


def truth_of(studies: Sequence[Study], names: Sequence[str]) -> NDArray[np.float32]:
    """Labels [M, K] of each film that is shown, NaN unknown."""
    rows = [
        [known.get(name, np.nan) for name in names]
        for study in studies
        for image in pair_views(study)
        if image is not None
        for known in ((study.labels if image.labels is None else image.labels) or {},)
    ]
    return np.array(rows, np.float32)


def mean_auroc(logits: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Mean over the labels [M, K] of which both kinds occur."""
    values = np.array(
        [auroc(s, t, resamples=0).value for s, t in zip(logits.T, truth.T, strict=True)]
    )
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else np.nan


class Change(NamedTuple):
    """One score of changed films, and how much it moved, with its 95 % interval."""

    value: float
    moved: float
    low: float
    high: float


def auroc_changes(
    subject: Subject, found: Mapping[str, Seen], min_positives: int
) -> tuple[dict[str, Change], list[str]]:
    """Mean AUROC of each change, against the first, and the labels it is the mean of."""
    assert subject.classifier is not None
    names = subject.classifier.names
    truth = truth_of(subject.studies, names)
    kept = (truth == 1).sum(0) >= min_positives
    kept &= (truth == 0).any(0)
    if not kept.any():
        raise DataError(
            f"no label is positive on {min_positives} of the {len(truth)} films: take more studies "
            "or a smaller --min-positives"
        )
    truth = truth[:, kept]
    views = [sum(image is not None for image in pair_views(one)) for one in subject.studies]
    rows = np.split(np.arange(len(truth)), np.cumsum(views)[:-1])
    logits = [one.logits[:, kept] for one in found.values() if one.logits is not None]
    random = np.random.default_rng(0)
    samples = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([rows[n] for n in random.integers(len(rows), size=len(rows))])
        samples.append([mean_auroc(one[drawn], truth[drawn]) for one in logits])
    values = np.array([mean_auroc(one, truth) for one in logits])
    moves = np.array(samples)
    low, high = np.nanpercentile(moves - moves[:, :1], [2.5, 97.5], axis=0)
    columns = zip(values, values - values[0], low, high, strict=True)
    changes = [Change(*map(float, column)) for column in columns]
    return (
        dict(zip(found, changes, strict=True)),
        [name for name, one in zip(names, kept, strict=True) if one],
    )


def score_changes(subject: Subject, found: Mapping[str, Seen]) -> dict[str, dict[str, Change]]:
    """Scores of each change's reports, against those of the first."""
    references = [report_text(study, subject.target) or "" for study in subject.studies]
    scorer = CorpusScorer(references, protocols_by_name(["clean"]))
    scored = {name: scorer.study_scores(one.texts or []) for name, one in found.items()}
    first = next(iter(scored.values()))
    changes: dict[str, dict[str, Change]] = {}
    for name, families in scored.items():
        values = {key: value for one in families for key, value in one.corpus().items()}
        moved = scorer.differences("", first, families)
        changes[name] = {
            title: Change(
                values[key], moved[f"/{key}"], moved[f"/{key}_low"], moved[f"/{key}_high"]
            )
            for key, title in SCORES.items()
        }
    return changes


def measure(
    subject: Subject, min_positives: int, ways: Mapping[str, Callable[[Film], Film]] = CHANGES
) -> dict[str, Any]:
    """All scores of films changed in these ways, the first of which is none, as plain numbers."""
    if not subject.studies:
        raise DataError("the data set has no validation study that the model can be tried on")
    found = {name: seen(subject, change) for name, change in ways.items()}
    films = sum(image is not None for one in subject.studies for image in pair_views(one))
    about: dict[str, Any] = {"studies": len(subject.studies), "films": films}
    changes: dict[str, dict[str, Change]] = {name: {} for name in found}
    if subject.classifier is not None:
        aurocs, about["labels"] = auroc_changes(subject, found, min_positives)
        for name, one in aurocs.items():
            changes[name][AUROC] = one
    if subject.writer is not None:
        for name, scores in score_changes(subject, found).items():
            changes[name] |= scores
    plain = {
        name: {title: one._asdict() for title, one in scores.items()}
        for name, scores in changes.items()
    }
    return {**about, "changes": plain}


def show(result: Mapping[str, Any]) -> None:
    """Print a table: the score of the films as they are, and what each change adds to it."""
    titles = list(next(iter(result["changes"].values())))
    table = Table("film", *titles, title=f"{result['studies']} studies, {result['films']} films")
    for row, (name, scores) in enumerate(result["changes"].items()):
        cells = [
            f"{one['value']:.3f}"
            if row == 0
            else f"{one['moved']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})"
            for one in scores.values()
        ]
        table.add_row(name, *cells)
    Console(width=38 + 28 * len(titles)).print(table)
    if "labels" in result:
        print(f"{AUROC} of {', '.join(result['labels'])}")


def data_options(overrides: Sequence[str]) -> dict[str, Any]:
    """`data.root=DIR` and the like as options by name. Raises `OptionError` for any other."""
    plain: Any = OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)))
    check_known("", plain, ["data"])
    found = plain.get("data", {})
    if not isinstance(found, dict):
        raise OptionError(f"data must be given by option, such as data.root=DIR, got {found!r}")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks films", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="of model=chexnet or of a report model")
    parser.add_argument("overrides", nargs="*", help="data options, such as data.root=DIR")
    parser.add_argument("--data", help="a data set by name, not the checkpoint's own")
    parser.add_argument("--studies", type=int, help="no more than so many, drawn once and for all")
    parser.add_argument("--min-positives", type=int, default=8, help="films a label counts from")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    given = parser.parse_intermixed_args(arguments)
    changes = data_options(given.overrides)
    subject = subject_of(given.checkpoint, changes, given.data, given.device)
    subject = subject._replace(studies=subject.studies[: given.studies])
    result = {"checkpoint": str(given.checkpoint), **measure(subject, given.min_positives)}
    show(result)
    if given.json:
        with replacing(given.json) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
