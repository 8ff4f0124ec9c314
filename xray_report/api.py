"""What `import xray_report` offers to programs: a model's reports, labels, scores, drawn studies.

All of it is reached as `xray_report.NAME` and imported when it is first asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from xray_report.commands.reading import Reader, load_study, reader_of, search_of, study_of
from xray_report.data.dataset import load_gray
from xray_report.data.images import FilePixels, check_size
from xray_report.data.phantom.source import PhantomSource
from xray_report.data.study import SPLITS, Pixels, Split, pair_views
from xray_report.errors import DataError, ImageError, OptionError
from xray_report.inference.checkpoint import BUNDLED, load_checkpoint
from xray_report.inference.generator import Sentence
from xray_report.metrics.evaluation import CorpusScorer
from xray_report.metrics.findings.labeller import mentioned_classes
from xray_report.metrics.protocols import usable_protocols
from xray_report.models.encoders.extractor import resolve_device
from xray_report.options import check_choice

Image = str | Path | NDArray[np.uint8]
"""A PNG, JPEG or DICOM file, or grey pixels uint8 [H, W]."""

# Reports of films.


class WrittenReport(NamedTuple):
    """A report and all there is to say of it.

    Args:
        text: as a person reads it.
        sentences: its sentences, each with the mean probability of its words, 0 to 1.
        findings: CheXpert class -> `present`, `uncertain` or `absent`; not mentioned ones are out.
        warnings: what a reader must know, such as that the model has seen drawings alone.
        record: the same and more as plain values; `xray-report predict --schema` describes it.
    """

    text: str
    sentences: tuple[Sentence, ...]
    findings: dict[str, str]
    warnings: tuple[str, ...]
    record: dict[str, Any]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Model:
    """A trained model ready to read films; `load` makes it.

    Args:
        reader: what reads.
    """

    reader: Reader

    def report(self, frontal: Image | None = None, lateral: Image | None = None) -> WrittenReport:
        """Write the report of one study.

        Raises:
            OptionError: no image.
            ImageError: an image cannot be read.
        """
        study = study_of(_pixels(frontal), _pixels(lateral))
        if not study.images:
            raise OptionError("give frontal=, lateral= or both")
        loaded = load_study(study, self.reader.extractor.size)
        for film in loaded.films:
            if film.error:
                raise ImageError(film.error)
        (reading,) = self.reader.read([loaded])
        plain = reading.record
        return WrittenReport(
            plain["report"],
            tuple(Sentence(one["text"], one["confidence"]) for one in plain["sentences"]),
            plain["findings"],
            tuple(one["text"] for one in plain["warnings"]),
            plain,
        )


@dataclass(frozen=True)
class _Array:
    """Pixels in memory. Implements `Pixels`."""

    grey: NDArray[np.uint8]

    @property
    def identity(self) -> str:
        """Digest of the pixels."""
        return hashlib.blake2b(self.grey.tobytes(), digest_size=16).hexdigest()

    def load(self) -> NDArray[np.uint8]:
        """The pixels. Raises `ImageError` unless they are uint8 [H, W]."""
        if self.grey.ndim != 2 or self.grey.dtype != np.uint8:
            raise ImageError(
                f"an image must be grey pixels uint8 [H, W], got {self.grey.dtype} "
                f"{list(self.grey.shape)}"
            )
        return check_size(Path("array"), self.grey)


def _pixels(image: Image | None) -> Pixels | None:
    if image is None:
        return None
    return _Array(image) if isinstance(image, np.ndarray) else FilePixels(Path(image))


def load(
    path: str | Path | None = None, *, decode: str = "beam", device: str | torch.device = "auto"
) -> Model:
    """Load a report model. Nothing is fetched unless `path` is a name on the Hugging Face hub.

    >>> import xray_report
    >>> model = xray_report.load()  # the bundled one, which knows drawings alone
    >>> study = xray_report.PhantomDataset("test")[0]
    >>> report = model.report(frontal=study.images[0].numpy(), lateral=study.images[1].numpy())
    >>> report.text.endswith("."), report.warnings[-1]
    (True, 'This model has only ever seen drawn (phantom) studies: it cannot read films.')

    Args:
        path: a checkpoint, the folder of an exported model, or its name `org/name` on the hub;
            None for the bundled model.
        decode: `greedy`, `beam` (of width 5) or `consensus`.
        device: such as `cpu` or `cuda`; `auto` takes a GPU where there is one.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        OptionError: an unknown `decode`, or a device that is not there.
    """
    search = search_of(decode, None, None, 1, attention=False)
    place = resolve_device(str(device))
    checkpoint = load_checkpoint(BUNDLED if path is None else path, place)
    return Model(reader_of([checkpoint], search, 1, place, decode))


# Reports as labels and as scores.


def labels(text: str) -> dict[str, str]:
    """The CheXpert classes that a report mentions: `present`, `uncertain` or `absent`.

    >>> import xray_report
    >>> found = xray_report.labels("Small left effusion. No pneumothorax. Heart size is normal.")
    >>> found["Pleural Effusion"], found["Pneumothorax"], "Fracture" in found
    ('present', 'absent', False)

    "No Finding" is `present` where nothing abnormal is said.
    """
    return mentioned_classes(text)


def scores(hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Scores of N reports against N references, in fractions (CIDEr 0 to 10).

    >>> import xray_report
    >>> written = ["The heart is normal. No effusion.", "Small left pleural effusion."]
    >>> wanted = ["The heart is normal. No effusion.", "Small right pleural effusion."]
    >>> found = xray_report.scores(written, wanted)
    >>> found["findings/micro_f1"], found["facts/f1"], round(found["clean/bleu1"], 2)
    (1.0, 0.0, 0.92)

    Keys are `<protocol>/<score>` such as `clean/bleu4`, `clean/cider`; `findings/*`, what the
    labeller reads; `facts/*`, finding, side, zone and size. `xray-report score` adds intervals and
    baselines.

    Raises `DataError` for lists of different lengths, or empty ones.
    """
    if len(hypotheses) != len(references) or not references:
        raise DataError(f"{len(hypotheses)} hypotheses and {len(references)} references")
    scorer = CorpusScorer(list(references), usable_protocols(None))
    families = scorer.study_scores(list(hypotheses))
    return {key: value for family in families for key, value in family.corpus().items()}


# Drawn studies.


class PhantomStudy(NamedTuple):
    """A drawn study.

    Args:
        study_id: such as `phantom-0-000000`.
        images: uint8 [2, S, S], frontal and lateral; black where there is none.
        view_mask: bool [2], which of them there are.
        report: its findings as text.
        labels: CheXpert class -> 1.0 present, 0.0 absent.
    """

    study_id: str
    images: Tensor
    view_mask: Tensor
    report: str
    labels: dict[str, float]


class PhantomDataset(Dataset[PhantomStudy]):
    """Drawn chest studies with their reports: nothing to download, and not real.

    >>> import xray_report
    >>> data = xray_report.PhantomDataset("test", image_size=64)
    >>> study = data[0]
    >>> len(data), tuple(study.images.shape), study.labels["Pneumothorax"] in (0.0, 1.0)
    (200, (2, 64, 64), True)

    Args:
        split: `train`, `val` or `test`, as train.py has them.
        image_size: S, pixels a side.
        options: further ones of `PhantomSource`: `seed`, `train`, `val`, `test`, `cache_dir`.
    """

    def __init__(self, split: Split = "train", image_size: int = 224, **options: Any) -> None:
        check_choice("split", split, SPLITS)
        self.source = PhantomSource(image_size=image_size, **options)
        self.studies = [one for one in self.source.studies() if one.split == split]

    def __len__(self) -> int:
        return len(self.studies)

    def __getitem__(self, index: int) -> PhantomStudy:
        study = self.studies[index]
        loaded = load_gray([pair_views(study)], self.source.image_size)
        return PhantomStudy(
            study.study_id,
            loaded.gray[0],
            loaded.view_mask[0],
            study.findings or "",
            dict(study.labels or {}),
        )
