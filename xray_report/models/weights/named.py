"""Weights known by name: bundled, torchvision's download, or none."""

from __future__ import annotations

from pathlib import Path
from urllib.error import URLError

import torch
from torchvision.models import DenseNet121_Weights  # type: ignore[import-untyped]

from xray_report.errors import WeightsError
from xray_report.models.densenet import DenseNetEncoder

NAMES = ("phantom", "imagenet", "random")
PHANTOM_FILE = Path(__file__).with_name("phantom.safetensors")


def load_named(name: str, seed: int = 0) -> DenseNetEncoder | Path:
    """Encoder, or the path of its weight file. Raises `WeightsError` if it is not to be had."""
    if name == "phantom":
        if not PHANTOM_FILE.is_file():
            raise WeightsError(
                f"the bundled phantom weights are missing ({PHANTOM_FILE}): reinstall the package, "
                "or train them with `python train.py model=chexnet`"
            )
        return PHANTOM_FILE
    if name == "imagenet":
        return _imagenet_file()
    return _random(seed)


def _random(seed: int) -> DenseNetEncoder:
    """Untrained weights: the same for the same seed, whatever was drawn before."""
    source = {"weights": "random", "format": "none", "trained_on": [], "seed": seed}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DenseNetEncoder(source=source)


def _imagenet_file() -> Path:
    """torchvision's own file, downloaded once into torch's cache."""
    url = str(DenseNet121_Weights.IMAGENET1K_V1.url)
    target = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(target), hash_prefix=_hash_prefix(url))
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"cannot download {url} ({error}): put that file at {target}, or fetch it elsewhere "
            "with `xray-report download imagenet-weights DEST` and give its path as encoder.weights"
        ) from error
    return target


def _hash_prefix(url: str) -> str:
    """First digits of the SHA-256, which torchvision's file names end with."""
    return url.rsplit("-", 1)[1].split(".")[0]
