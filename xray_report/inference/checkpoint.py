"""Report models from their checkpoints alone: no configuration, no download, no Lightning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xray_report.errors import CheckpointError, OptionError, XrayReportError, one_line
from xray_report.inference.ensemble import Ensemble
from xray_report.models.decoders.build import build_decoder
from xray_report.models.decoders.protocol import StepModel
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.protocol import build_encoder
from xray_report.models.report_model import ReportModel
from xray_report.text.cleaning import Cleaner
from xray_report.text.vocabulary import Vocabulary

MODEL_PREFIX = "model."


@dataclass(frozen=True)
class ReportCheckpoint:
    """A trained report model with all that using it takes.

    Args:
        path: the file it came from.
        model: encoder and decoder, in evaluation mode.
        vocabulary: the words of its token ids.
        cleaner: how its training texts were cleaned.
        about: plain facts of its training: data set, target section, seed, and how its
            features were extracted (precision).
        scores: validation scores when it was saved.
    """

    path: Path
    model: ReportModel
    vocabulary: Vocabulary
    cleaner: Cleaner
    about: Mapping[str, Any]
    scores: Mapping[str, float]


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> ReportCheckpoint:
    """Load a checkpoint that `train.py` wrote, with `weights_only=True`.

    Raises `CheckpointError`, naming the file, if it is missing, damaged or of another kind.
    """
    path = Path(path)
    saved = _read(path)
    about = saved.get("xray_report")
    if not isinstance(about, Mapping) or about.get("kind") != "report":
        kind = about.get("kind", "unknown") if isinstance(about, Mapping) else "foreign"
        raise CheckpointError(
            f"{path} is a {kind} checkpoint, not a report model's; "
            "train one with `python train.py model=attention`"
        )
    try:
        return _restore(path, about, saved["state_dict"], device)
    except XrayReportError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not fit this version ({type(error).__name__}: {one_line(error)}); "
            "train again, or use the version that wrote it"
        ) from error


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}; give the path of a .ckpt file")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # The unpickler raises whatever a damaged file leads it to.
        reason = one_line(error, most=160)
        raise CheckpointError(
            f"{path} is damaged or not a checkpoint of this project ({reason}); "
            "copy it again, or train with `python train.py model=attention`"
        ) from error
    if not isinstance(saved, Mapping):
        raise CheckpointError(f"{path} is not a checkpoint of this project")
    return saved


def _restore(
    path: Path,
    about: Mapping[str, Any],
    state: Mapping[str, torch.Tensor],
    device: torch.device | str,
) -> ReportCheckpoint:
    state = {
        name.removeprefix(MODEL_PREFIX): tensor
        for name, tensor in state.items()
        if name.startswith(MODEL_PREFIX)
    }
    vocabulary = Vocabulary(about["vocabulary"])
    dimension = state["decoder.embedding.learnt"].shape[1]
    embedding = WordEmbedding(len(vocabulary), dimension)
    decoder = build_decoder(about["architecture"], len(vocabulary), embedding)
    encoder = build_encoder(about["encoder"]).freeze()
    model = ReportModel(encoder, decoder)
    model.load_state_dict(state)
    return ReportCheckpoint(
        path=path,
        model=model.eval().requires_grad_(False).to(device),
        vocabulary=vocabulary,
        cleaner=Cleaner(**about["cleaner"]),
        about=about["about"],
        scores=about["scores"],
    )


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
        [one.model.decoder for one in checkpoints], [one.vocabulary.words for one in checkpoints]
    )


# ------------------------------------------------------------------------------
# Finding the newest training run's best checkpoint.

BEST = Path("checkpoints") / "best.ckpt"
RUN_CONFIG = Path(".hydra") / "config.yaml"


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

    Raises `CheckpointError`, saying where it looked and what to run, if there is none.
    """
    folder = Path(runs_dir) / "train"
    found = [path for path in folder.rglob(str(BEST)) if path.is_file()]
    for path in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True):
        if is_report_run(path):
            return path
    raise CheckpointError(
        f"no trained report model below {folder}; "
        "run `python train.py model=attention`, or give checkpoint=PATH"
    )


def is_report_run(checkpoint: Path) -> bool:
    """Whether the run that wrote `checkpoint` trained a report model, by its saved options."""
    config = run_folder(checkpoint) / RUN_CONFIG
    return config.is_file() and "kind: report" in config.read_text(encoding="utf-8")


def run_folder(checkpoint: Path) -> Path:
    """The run folder that a checkpoint lies in."""
    return checkpoint.resolve().parent.parent
