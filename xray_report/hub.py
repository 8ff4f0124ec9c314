"""Models of the Hugging Face hub, and folders of language models as transformers saves them."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from xray_report.errors import CheckpointError, MissingExtraError, WeightsError, one_line

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
FILE_SUFFIXES = (
    *(".ckpt", ".pt", ".pth", ".tar", ".safetensors", ".h5", ".keras", ".bin"),
    *(".txt", ".gz", ".zip", ".json", ".vec"),
)
"""Of what is meant to be a file: a slip in its path is no name on the hub."""
NETWORK = ("config.json", "model.safetensors", "tokenizer.json")
"""What transformers' `save_pretrained` writes of a language model."""


def is_hub_name(name: str | Path) -> bool:
    """Whether a name has the form `org/name`, and nothing of that path is here."""
    text = Path(name).as_posix()
    named = HUB_NAME.fullmatch(text) and not text.endswith(FILE_SUFFIXES)
    return bool(named) and not Path(text).exists() and not Path(text).parent.exists()


def from_hub(name: str | Path, files: Sequence[str], missing: str) -> Path:
    """A folder here with `files` of the hub's model `org/name`; says in a line that it asks.

    Args:
        name: of the model.
        files: which of its files are fetched.
        missing: what there is not here, as an error's beginning.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        CheckpointError: there is no such model, or no network.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError(
            f"{missing}; if that is a model on the Hugging Face hub, fetching it needs "
            'huggingface_hub (pip install "xray-report[hub]")'
        ) from error
    print(f"{name}: no such path here, asking the Hugging Face hub", file=sys.stderr)
    try:
        return Path(snapshot_download(Path(name).as_posix(), allow_patterns=list(files)))
    except Exception as error:  # of its own, of requests, of the system
        raise CheckpointError(
            f"{missing}, nor could it be fetched from the Hugging Face hub "
            f"({one_line(error, most=120)})"
        ) from error


def network_folder(option: str, name: str | Path) -> Path:
    """The folder of a language model, with all files of `NETWORK`, fetched if it is on the hub.

    Raises:
        WeightsError: a file is missing; names `option`.
    """
    missing = f"{option}: there is no folder {name}"
    folder = from_hub(name, NETWORK, missing) if is_hub_name(name) else Path(name)
    if not folder.is_dir():
        raise WeightsError(f"{missing}: it needs {', '.join(NETWORK)}")
    if lacking := [file for file in NETWORK if not (folder / file).is_file()]:
        raise WeightsError(
            f"{option}: {folder} has no {', '.join(lacking)}; save the network and its tokenizer "
            "there with transformers' save_pretrained"
        )
    return folder
