"""A report model as a folder to share, in files that any program reads and that hold data alone.

    model.safetensors   weights, as a checkpoint's `state_dict` names them without `model.`; under
                        `films.` what it remembers of its training films
    config.json         what a checkpoint carries: hyper-parameters, scores, epoch; the encoder's
                        identity and where its weights are; the SHA-256 of the other two
    tokenizer.json      the tokenizer as plain values
    README.md           the model card

Nothing in it is code, and nothing that it names is imported: encoder, decoder and tokenizer are
built by their registries. An encoder that is the package's own is not repeated, but named.
Folders of the Hugging Face hub are fetched by `org/name` (extra `hub`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as stored_tensors
from torch import Tensor

from xray_report.errors import CheckpointError, OutputError, one_line
from xray_report.files import file_digest, replacing
from xray_report.hub import from_hub
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.protocol import ENCODER_PREFIX, Encoder, Preprocessing
from xray_report.models.encoders.weights.files import DESCRIPTION_KEY, FILMS_KEY, WeightFile
from xray_report.models.report_model import ReportModel

WEIGHTS, CONFIG, TOKENIZER, CARD = "model.safetensors", "config.json", "tokenizer.json", "README.md"
FOLDER_FORMAT = 1
PREFIX: Final = "model."
"""Before the names of the weights in a checkpoint."""
BUNDLED_ENCODER = "phantom"
"""What `encoder.weights=` calls the encoder that comes with the package."""
BUNDLED_MODEL = Path(__file__).parent / "phantom"
"""The small report model that comes with the package; it has seen drawings alone."""

# Writing.


def write_folder(
    folder: Path,
    model: ReportModel,
    hyperparameters: Mapping[str, Any],
    about: Mapping[str, Any],
    epoch: int | None,
    card: str,
    films: Mapping[str, Tensor] | None = None,
    *,
    half: bool = False,
) -> None:
    """Write a model into `folder`, which is made; an earlier one of ours there is replaced.

    config.json comes last, so that a folder that was torn by a kill does not pass for a whole one.

    Args:
        folder: where to.
        model: encoder and decoder.
        hyperparameters: of the checkpoint, plain values; `build_model` reads them.
        about: what the checkpoint says of its kind, format and scores.
        epoch: of the checkpoint, from 0.
        card: text of README.md.
        films: what the checkpoint remembers of its training films, tensors by name; never halved.
        half: write matrices in float16. Vectors stay as they are, since running variances and
            thresholds go beyond what float16 holds.

    Raises:
        OutputError: something else is in the folder, or it cannot be written.
        CheckpointError: a hyper-parameter is no plain value.
    """
    check_writable(folder)
    bundled = is_bundled(model.encoder)
    tensors = {
        name: _stored(tensor, half)
        for name, tensor in model.state_dict().items()
        if not (bundled and f"{PREFIX}{name}".startswith(ENCODER_PREFIX))
    }
    for name, tensor in (films or {}).items():
        tensors[f"{FILMS_KEY}.{name}"] = _stored(tensor, half=False)
    with replacing(folder / WEIGHTS) as temporary:
        temporary.write_bytes(stored_tensors(tensors, metadata={"format": "pt"}))
    rest = {key: value for key, value in hyperparameters.items() if key != "tokenizer"}
    _write_json(folder / TOKENIZER, hyperparameters["tokenizer"])
    with replacing(folder / CARD) as temporary:
        temporary.write_text(card, encoding="utf-8")
    described = {
        DESCRIPTION_KEY: {**about, "folder": FOLDER_FORMAT, "scores": _finite(about["scores"])},
        "epoch": epoch,
        "encoder": {
            "weights": BUNDLED_ENCODER if bundled else WEIGHTS,
            "identity": model.encoder.identity if bundled or not half else None,
        },
        "sha256": {name: file_digest(folder / name) for name in (WEIGHTS, TOKENIZER)},
        "hyper_parameters": rest,
    }
    _write_json(folder / CONFIG, described)


def check_writable(folder: Path) -> None:
    """Raise `OutputError` unless `folder` is new, empty, or a model's that may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file: name a folder that shall be made")
    if folder.is_dir() and any(folder.iterdir()) and not is_model_folder(folder):
        raise OutputError(f"{folder} holds other files: name a new folder, or empty it")


def is_bundled(encoder: Encoder) -> bool:
    """Whether an encoder's network and weights are those that come with the package."""
    if not isinstance(encoder, DenseNetEncoder):
        return False
    return _bundled_encoder(encoder.preprocessing).identity == encoder.identity


def _bundled_encoder(preprocessing: Preprocessing) -> Encoder:
    encoder = DenseNetEncoder.load(BUNDLED_ENCODER, image_size=preprocessing.size)
    encoder.preprocessing = preprocessing
    return encoder


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """A tensor as it is written."""
    kept = tensor.detach().cpu().contiguous()
    if half and kept.is_floating_point() and kept.dim() > 1:
        small = kept.to(torch.float16)
        kept = small if bool(torch.isfinite(small).all()) else kept
    return kept.clone()


def _finite(scores: Mapping[str, float]) -> dict[str, float]:
    """JSON knows no infinity."""
    return {name: float(value) for name, value in scores.items() if math.isfinite(value)}


def _write_json(path: Path, plain: object) -> None:
    try:
        text = json.dumps(plain, indent=1, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"the checkpoint holds a value that JSON has no form for ({one_line(error)})"
        ) from error
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


# Reading.


@dataclass(frozen=True)
class ModelFolder:
    """A folder that was read: its config.json, and all weights under a checkpoint's names.

    `films` is what it remembers of its training films, None of what was trained before that.
    """

    config: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    state: Mapping[str, Tensor]
    films: Mapping[str, Tensor] | None

    def checkpoint(self) -> dict[str, Any]:
        """The same model as a checkpoint holds it."""
        return {
            "hyper_parameters": {**self.config["hyper_parameters"], "tokenizer": self.tokenizer},
            "state_dict": self.state,
            "epoch": self.config.get("epoch"),
            DESCRIPTION_KEY: self.config[DESCRIPTION_KEY],
            FILMS_KEY: self.films,
        }

    def encoder_file(self, name: str) -> WeightFile:
        """Its encoder alone, as `restore` reads it, called `name` in messages."""
        tensors = {
            key: tensor for key, tensor in self.state.items() if key.startswith(ENCODER_PREFIX)
        }
        encoder = self.config["hyper_parameters"].get("encoder")
        return WeightFile(name, tensors, {"kind": "report folder", "encoder": encoder})


def is_model_folder(path: str | Path) -> bool:
    """Whether a folder says that it holds a report model of ours; never raises."""
    try:
        return DESCRIPTION_KEY in _json_object(Path(path), CONFIG)
    except CheckpointError:
        return False


def fetched(name: str | Path) -> Path:
    """A folder here with the files of the hub's model `org/name`. Raises as `from_hub`."""
    return from_hub(name, [WEIGHTS, CONFIG, TOKENIZER, CARD], f"there is no checkpoint {name}")


def read_folder(folder: Path) -> ModelFolder:
    """Read a folder that `write_folder` wrote.

    Raises `CheckpointError`, naming the file, if one is missing, damaged or changed, or if the
    folder is another program's or of another format.
    """
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"there is no checkpoint {folder}: the folder has no {CONFIG}; give the path of a "
            ".ckpt file, or of a folder that `xray-report export` wrote"
        )
    config = _json_object(folder, CONFIG)
    about = config.get(DESCRIPTION_KEY)
    if not isinstance(about, Mapping):
        raise CheckpointError(
            f"{folder} holds another project's model: its {CONFIG} has no {DESCRIPTION_KEY}; "
            "give a folder that `xray-report export` wrote"
        )
    if about.get("folder") != FOLDER_FORMAT:
        raise CheckpointError(
            f"{folder} has the folder format {about.get('folder')}, this version reads "
            f"{FOLDER_FORMAT}: use the version that wrote it, and export again"
        )
    data = {name: _checked(folder, name, config) for name in (WEIGHTS, TOKENIZER)}
    try:
        tensors = load_tensors(data[WEIGHTS])
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise _damaged(folder / WEIGHTS, one_line(error)) from error
    start = f"{FILMS_KEY}."
    films = {
        name.removeprefix(start): tensors.pop(name)
        for name in list(tensors)
        if name.startswith(start)
    }
    state = {f"{PREFIX}{name}": tensor for name, tensor in tensors.items()}
    try:
        if not isinstance(config["hyper_parameters"], Mapping):
            raise TypeError("hyper_parameters is no object")
        state |= _encoder_state(folder, config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(folder / CONFIG, f"{type(error).__name__}: {one_line(error)}") from error
    tokenizer = _plain_object(folder / TOKENIZER, data[TOKENIZER])
    return ModelFolder(config, tokenizer, state, films or None)


def _encoder_state(folder: Path, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of an encoder that the folder only names.

    Raises `CheckpointError` where they are not those that the model was trained with.
    """
    weights, identity = config["encoder"]["weights"], config["encoder"]["identity"]
    if weights == WEIGHTS:
        return {}
    if weights != BUNDLED_ENCODER:
        raise CheckpointError(
            f"{folder}: unknown encoder weights {weights!r}: use the version that wrote it"
        )
    described = config["hyper_parameters"]["encoder"]["preprocessing"]
    encoder = _bundled_encoder(Preprocessing.from_dict(described))
    if encoder.identity != identity:
        raise CheckpointError(
            f"{folder} was trained with another bundled encoder than this version's: use the "
            "version that wrote it"
        )
    return {f"{ENCODER_PREFIX}{name}": part for name, part in encoder.state_dict().items()}


def _checked(folder: Path, name: str, config: Mapping[str, Any]) -> bytes:
    """Content of a file, which must be what it was when the folder was written."""
    data, digests = _content(folder / name), config.get("sha256")
    known = digests.get(name) if isinstance(digests, Mapping) else None
    if hashlib.sha256(data).hexdigest() != known:
        raise _damaged(folder / name, f"it is not what {CONFIG} says it is")
    return data


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error


def _json_object(folder: Path, name: str) -> Mapping[str, Any]:
    return _plain_object(folder / name, _content(folder / name))


def _plain_object(path: Path, data: bytes) -> Mapping[str, Any]:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, one_line(error, most=100)) from error
    if not isinstance(plain, dict):
        raise _damaged(path, "it is no JSON object")
    return plain


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is missing or damaged ({reason}); copy the folder again")
