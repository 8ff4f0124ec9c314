"""The checkpoint of a report model: what is in it, how it is read, and where runs keep theirs.

A checkpoint is Lightning's, with plain types only (it loads with `weights_only=True`):
`hyper_parameters` describe encoder, tokenizer and decoder so that `build_model` builds them with
no configuration and no download, `state_dict` holds their weights under `model.`, `films` what
`film_check` remembers of the training films (tensors by name; older ones have none), and
`xray_report` says of what kind and format it is, how well it scored, and the digest of the state of
training, which Lightning believes as it is.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xray_report.errors import CheckpointError, OptionError, XrayReportError, one_line
from xray_report.files import file_digest
from xray_report.hub import is_hub_name
from xray_report.inference.ensemble import Ensemble
from xray_report.inference.film_check import FilmStatistics
from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.protocol import StepModel
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.protocol import build_encoder
from xray_report.models.encoders.weights.files import (
    DESCRIPTION_KEY,
    FILMS_KEY,
    check_packing,
    sketched,
)
from xray_report.models.folder import BUNDLED_MODEL, CONFIG, fetched, read_folder
from xray_report.models.report_model import ReportModel
from xray_report.options import check_count, is_plain
from xray_report.text.tokenizer import Tokenizer, tokenizer_from_plain
from xray_report.tokens import MOST_TOKENS

CHECKPOINT_FORMAT = 2
MODEL_PREFIX = "model."
MOST_VALUES = 2_000_000
"""In a checkpoint's description: a vocabulary has a tenth of it."""
MISFITS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What building and filling a model by a wrong description raises."""


@dataclass(frozen=True)
class ReportCheckpoint:
    """A trained report model with all that using it takes.

    Args:
        path: the file it came from.
        model: encoder and decoder, in evaluation mode.
        tokenizer: of its tokens.
        hyperparameters: what describes the model, plain types; `build_model` reads them.
        scores: validation scores when it was saved.
        epoch: in which that was, from 0; None where it does not say.
        films: what it keeps of the films of its training; None of older ones and small trainings.
    """

    path: Path
    model: ReportModel
    tokenizer: Tokenizer
    hyperparameters: Mapping[str, Any]
    scores: Mapping[str, float]
    epoch: int | None = None
    films: FilmStatistics | None = None

    @property
    def about(self) -> Mapping[str, Any]:
        """Plain facts of its training: `data`, `split`, `target`, `precision` of features, ..."""
        about: Mapping[str, Any] = self.hyperparameters["about"]
        return about

    @property
    def sha256(self) -> str:
        """SHA-256 of its file, or of a folder's config.json, which holds the others'."""
        return file_digest(self.path / CONFIG if self.path.is_dir() else self.path)


def build_model(hyperparameters: Mapping[str, Any]) -> ReportModel:
    """A model of the shape described, its weights still to be loaded.

    Args:
        hyperparameters: `encoder` (as `Encoder.describe`), `tokenizer` (as
            `Tokenizer.to_plain`), `decoder` ({"name": ..., option: value}), `embedding_size`,
            and where it is told or shown them `guiding_labels` or `evidence`. Other names are
            ignored.
    """
    tokenizer = tokenizer_from_plain(hyperparameters["tokenizer"])
    encoder = build_encoder(hyperparameters["encoder"])
    embedding = WordEmbedding(len(tokenizer), hyperparameters["embedding_size"])
    told, shown = (hyperparameters.get(name, ()) for name in ("guiding_labels", "evidence"))
    decoder = build_decoder(
        hyperparameters["decoder"], tokenizer.special, embedding, encoder.map_shape, told, shown
    )
    return ReportModel(encoder, decoder)


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> ReportCheckpoint:
    """Load a checkpoint that `train.py` wrote, or a folder that `xray-report export` did.

    Args:
        path: of either; `phantom` is the bundled model, and a name `org/name` of which there is
            no path here is a model of the Hugging Face hub.
        device: to load it to.

    Raises `CheckpointError`, naming the file, if it is missing, damaged, of another kind or of
    an earlier format.
    """
    path = located(path)
    saved = (
        _of_kind(path, read_folder(path).checkpoint(), "report")
        if path.is_dir()
        else read_checkpoint(path, "report")
    )
    with fitting(path):
        return _restored(path, saved, device)


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Errors of building and filling a model by its checkpoint's description, named by the file."""
    try:
        yield
    except XrayReportError as error:
        raise type(error)(f"{path}: {error}") from error
    except MISFITS as error:
        raise CheckpointError(
            f"{path} does not fit this version ({type(error).__name__}: {one_line(error)}); "
            "train again, or use the version that wrote it"
        ) from error


BUNDLED = "phantom"
"""What `checkpoint=` calls the report model that comes with the package."""


def located(path: str | Path) -> Path:
    """Where a checkpoint lies: the path itself, the bundled model, or what the hub has of it."""
    if str(path) == BUNDLED and not Path(path).exists():
        return BUNDLED_MODEL
    return fetched(path) if is_hub_name(path) else Path(path)


def read_checkpoint(path: Path, *kinds: str) -> Mapping[str, Any]:
    """What a checkpoint file holds. Raises `CheckpointError` unless it is ours and of `kinds`."""
    return _of_kind(path, read_file(path), *kinds)


def _of_kind(path: Path, saved: Mapping[str, Any], *kinds: str) -> Mapping[str, Any]:
    found = kind_of(saved)
    if found not in kinds:
        raise CheckpointError(
            f"{path} is a {found} checkpoint, not a {' or '.join(kinds)} model's; "
            "train one with `python train.py model=attention`"
        )
    about = saved[DESCRIPTION_KEY]
    if about.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(
            f"{path} has the checkpoint format {about.get('format', 1)}, this version reads "
            f"{CHECKPOINT_FORMAT}: train again, or use the version that wrote it"
        )
    return saved


def kind_of(saved: Mapping[str, Any]) -> str:
    """`report` or `chexnet`; `foreign` for a checkpoint of another project."""
    about = saved.get(DESCRIPTION_KEY)
    return str(about.get("kind", "unknown")) if isinstance(about, Mapping) else "foreign"


def read_file(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """What a checkpoint file holds, whoever wrote it: plain values and tensors on the CPU.

    Raises `CheckpointError` if it is missing, holds anything else, or a single byte of it is not
    as it was written.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; give the path of a .ckpt file")
    try:
        check_packing(path)
        saved = torch.load(path, map_location="cpu", weights_only=True)
        broken = _broken_part(path)
    except Exception as error:  # The unpickler raises whatever a damaged file leads it to.
        reason = one_line(error, most=160)
        raise _damaged(path, reason) from error
    if broken:
        raise _damaged(path, f"{broken} is not as it was written")
    if not isinstance(saved, Mapping):
        raise CheckpointError(f"{path} is not a checkpoint of this project")
    return saved


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged or not a checkpoint of this project ({reason}); "
        "copy it again, or train with `python train.py model=attention`"
    )


def _broken_part(path: Path) -> str | None:
    """The first part of the file whose checksum, which torch writes and never reads, is wrong."""
    if not zipfile.is_zipfile(path):  # of a torch before 1.6
        return None
    with zipfile.ZipFile(path) as parts:
        return parts.testzip()


STATE = ("optimizer_states", "lr_schedulers", "loops", "callbacks")
"""What of a checkpoint is the state of its training, which resuming takes up."""
STATE_DIGEST = "training_state"
"""Under `xray_report`: SHA-256 of it, by `state_digest`."""


def state_digest(saved: Mapping[str, Any]) -> str:
    """SHA-256 of all keys, values and tensors in a checkpoint's `STATE`."""
    digest = hashlib.sha256()

    def add(value: object) -> None:
        if isinstance(value, Mapping):
            digest.update(b"{")
            for key, one in value.items():
                add(key)
                add(one)
            digest.update(b"}")
        elif isinstance(value, (list, tuple)):
            digest.update(b"[")
            for one in value:
                add(one)
            digest.update(b"]")
        elif isinstance(value, Tensor):
            digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            digest.update(f"{type(value).__name__} {value!r};".encode())

    add([saved.get(name) for name in STATE])
    return digest.hexdigest()


def _restored(path: Path, saved: Mapping[str, Any], device: torch.device | str) -> ReportCheckpoint:
    hyperparameters = saved["hyper_parameters"]
    build = partial(build_model, hyperparameters)
    weights = compared(saved, build)
    check_count("max_tokens", hyperparameters["max_tokens"], most=MOST_TOKENS)
    for name in ("data", "target", "precision"):
        if not isinstance(hyperparameters["about"][name], str):
            raise TypeError(f"about.{name} is no text")
    model = build()
    model.encoder.freeze()
    model.load_state_dict(weights)
    return ReportCheckpoint(
        path=path,
        model=model.eval().requires_grad_(False).to(device),
        tokenizer=tokenizer_from_plain(hyperparameters["tokenizer"]),
        hyperparameters=hyperparameters,
        scores=saved[DESCRIPTION_KEY]["scores"],
        epoch=saved.get("epoch"),
        films=FilmStatistics.from_plain(saved.get(FILMS_KEY)),
    )


def compared(saved: Mapping[str, Any], build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """A checkpoint's weights, by their names in the model, which they fit.

    A stranger's may describe a model of any size: nothing is built before that is known.

    Args:
        saved: what its file holds.
        build: builds the model that it describes.

    Raises one of `MISFITS` if the description is not plain or of another model than the weights.
    """
    if not is_plain(saved["hyper_parameters"], MOST_VALUES):
        raise TypeError(f"its description is not of at most {MOST_VALUES} plain values")
    weights = {
        name.removeprefix(MODEL_PREFIX): tensor
        for name, tensor in saved["state_dict"].items()
        if name.startswith(MODEL_PREFIX)
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*copying from a non-meta parameter.*")
        sketched(build, weights).load_state_dict(weights)
    return weights


def check_claims(
    path: Path, kind: str, given: Mapping[str, Any], build: Callable[[Mapping[str, Any]], nn.Module]
) -> None:
    """Raise `CheckpointError` unless a file is ours, whole and of the model that it describes.

    Args:
        path: of a checkpoint.
        kind: `report` or `chexnet`.
        given: hyper-parameters in place of the file's own; with a `model`, none is described.
        build: builds a model by hyper-parameters.
    """
    saved = read_checkpoint(path, kind)
    if given.get("model") is None:
        with fitting(path):
            compared(saved, lambda: build({**saved["hyper_parameters"], **given}))


def joint_decoder(checkpoints: Sequence[ReportCheckpoint]) -> StepModel:
    """The decoder of one checkpoint, or several as an ensemble.

    Raises `OptionError` if they differ in vocabulary, `CheckpointError` if in encoder: they read
    the same features.
    """
    first, *others = checkpoints
    if not others:
        return first.model.decoder
    for other in others:
        if other.model.encoder.identity != first.model.encoder.identity:
            raise CheckpointError(
                f"{other.path} has another encoder than {first.path}; an ensemble shares one"
            )
    return Ensemble(
        [one.model.decoder for one in checkpoints], [one.tokenizer.words for one in checkpoints]
    )


def longest_report(checkpoints: Sequence[ReportCheckpoint]) -> int:
    """Longest report that these were trained for, tokens with the end counted.

    Of several that write together it is the shortest of theirs, which all of them have learnt.
    """
    return min(int(one.hyperparameters["max_tokens"]) for one in checkpoints)


def model_note(checkpoints: Sequence[ReportCheckpoint]) -> str:
    """What must be said wherever these models' output is shown, whatever they read; or "".

    That a model has learnt from drawings alone, or sees through an encoder that has.
    """
    if any(one.about["data"] == "phantom" for one in checkpoints):
        return "This model has only ever seen drawn (phantom) studies: it cannot read films."
    sources = [one.model.encoder.source for one in checkpoints]
    if any(list(source.get("trained_on", ())) == ["phantom"] for source in sources):
        return (
            "This model's encoder has only ever seen drawn (phantom) films: it is blind on films."
        )
    return ""


# Where runs keep their checkpoints.

BEST = Path("checkpoints") / "best.ckpt"


def chosen_checkpoints(given: str | Sequence[str] | None, runs_dir: str | Path) -> list[Path]:
    """The checkpoints to use: `given`, one or several, or else the newest run's best.

    Raises `OptionError` if an empty list is given, `CheckpointError` as `newest_checkpoint`.
    """
    if given is None:
        return [newest_checkpoint(runs_dir)]
    paths: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(path, str) and path for path in paths) or not paths:
        raise OptionError(
            f"checkpoint must be a path or a list of paths, such as [a.ckpt,b.ckpt], got {given!r}"
        )
    return [Path(path) for path in paths]


def newest_checkpoint(runs_dir: str | Path) -> Path:
    """Best checkpoint of the newest report-model run below `runs_dir`/train.

    Raises `CheckpointError`: there is none (naming the folder and what to run), or the newest is
    damaged.
    """
    if (found := _newest(runs_dir)) is not None:
        return found
    raise CheckpointError(
        f"no trained report model below {Path(runs_dir) / 'train'}; run `python train.py "
        f"model=attention`, or give checkpoint=PATH, or checkpoint={BUNDLED} for the bundled model"
    )


def newest_or_bundled(runs_dir: str | Path) -> Path:
    """As `newest_checkpoint`, but the bundled model where nothing has been trained."""
    return _newest(runs_dir) or BUNDLED_MODEL


def _newest(runs_dir: str | Path) -> Path | None:
    found = [path for path in (Path(runs_dir) / "train").rglob(str(BEST)) if path.is_file()]
    for path in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True):
        if kind_of(read_file(path)) == "report":
            return path
    return None
