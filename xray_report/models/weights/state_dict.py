"""PyTorch state dicts: torchvision's, arnoweng's CheXNet, TorchXRayVision's, or just the features.

Recognised by their keys: whatever stands before `conv0.weight` is the prefix of the features.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from xray_report.errors import WeightsError
from xray_report.models.densenet import Preprocessing
from xray_report.models.weights.reading import NamedTensor, Reading
from xray_report.nih_classes import NIH_CLASSES

ANCHOR = "conv0.weight"
# torchvision before 0.3 numbered the parts of a layer: `norm.1`, `conv.2`.
OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")
# (2 x / 255 - 1) * 1024, written as (x / 255 - mean) / std.
TORCHXRAYVISION = Preprocessing(
    mean=(0.5, 0.5, 0.5), std=(1 / 2048, 1 / 2048, 1 / 2048), kind="torchxrayvision"
)
# How the names of TorchXRayVision's files spell the data sets.
XRV_DATA = ("nih", "pc", "chex", "mimic_nb", "mimic_ch", "google", "openi", "kaggle", "rsna")


def read_state_dict(tensors: Mapping[str, Tensor], file: str) -> Reading:
    """Read a flat dict of tensors. Raises `WeightsError` if it holds no DenseNet features."""
    prefix = features_prefix(tensors, file)
    reading = Reading("torchvision state dict", {}, Preprocessing())
    parent = prefix.removesuffix("features.")
    heads = {}
    for name, tensor in tensors.items():
        if name.endswith("num_batches_tracked"):
            reading.aside.append(name)
        elif name.startswith(prefix) and not name.startswith(f"{prefix}classifier."):
            ours = OLD_NAME.sub(r"\1\2.", name[len(prefix) :])
            reading.tensors[ours] = NamedTensor(name, tensor.float())
        elif name.startswith(f"{parent}classifier."):
            heads[name] = tensor
        elif name == "op_threshs":
            reading.aside.append(name)
        else:
            reading.unknown.append(name)
    reading.aside.extend(heads)
    outputs = next((tensor.shape[0] for tensor in heads.values()), 0)
    return _recognise(reading, prefix, outputs, file)


def features_prefix(tensors: Mapping[str, Tensor], file: str) -> str:
    """What stands before the names of the encoder's features, such as `module.features.`."""
    found = [name[: -len(ANCHOR)] for name in tensors if name.endswith(ANCHOR)]
    if len(found) != 1:
        what = "no DenseNet121" if not found else f"{len(found)} encoders ({', '.join(found)})"
        raise WeightsError(f"{file}: {what} among its {len(tensors)} tensors (looked for {ANCHOR})")
    return found[0]


def _recognise(reading: Reading, prefix: str, outputs: int, file: str) -> Reading:
    """Which publisher's file it is: from the input channels, the prefix and the classifier."""
    stem = reading.tensors[ANCHOR]
    if stem.tensor.dim() == 4 and stem.tensor.shape[1] == 1:
        # Three equal channels of a third each are the same convolution of a grey image.
        grey = stem.tensor.expand(-1, 3, -1, -1) / 3
        reading.tensors[ANCHOR] = NamedTensor(stem.name, grey)
        reading.format, reading.preprocessing = "TorchXRayVision", TORCHXRAYVISION
        reading.trained_on = torchxrayvision_data(file)
    elif prefix.endswith("densenet121.features.") and outputs == len(NIH_CLASSES):
        reading.format, reading.trained_on = "arnoweng CheXNet", ("imagenet", "nih")
        reading.facts["label_names"] = list(NIH_CLASSES)
    elif outputs == 1000:
        reading.format, reading.trained_on = "torchvision ImageNet", ("imagenet",)
    return reading


def torchxrayvision_data(file: str) -> tuple[str, ...]:
    """Data sets in a TorchXRayVision file name; where it names none, all of them are assumed.

    The published `-all` weights are `nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-...`.
    """
    words = file.split("densenet")[0].lower().split("-")
    return tuple(name for name in XRV_DATA if name in words) or XRV_DATA
