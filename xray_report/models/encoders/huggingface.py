"""A vision model of Hugging Face's transformers (extra `transformers`), from a local folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from xray_report.errors import MissingExtraError, WeightsError, one_line
from xray_report.models.encoders.protocol import Encoder, Preprocessing, register_encoder
from xray_report.models.encoders.timm import grid_of_tokens

NOT_OF_THE_SHAPE = (
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "architectures",
)
"""Keys of a configuration that say nothing of the network."""

NOT_OF_THE_MAPS = frozenset(
    {"head", "pooler", "mask_token", "text_model", "text_projection", "visual_projection"}
    | {"logit_scale", "logit_bias", "classifier", "cls_classifier", "distillation_classifier"}
)
"""Parts of names of tensors that may be missing or left aside: no map depends on them."""


@register_encoder("huggingface")
class HuggingFaceEncoder(Encoder):
    """A vision transformer (ViT, DeiT, DINOv2, Swin, a CLIP's image tower) or convolutional net.

    Its maps are the last hidden state: patch tokens in their grid, class and register tokens
    dropped.

    Args:
        preprocessing: of its preprocessor_config.json.
        source: which weights these are.
        config: what its config.json says, plain types.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        source: Mapping[str, Any] | None = None,
        *,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__(preprocessing, source, config=dict(config))
        transformers = _transformers()
        try:
            plain = {key: value for key, value in config.items() if key != "model_type"}
            built = transformers.AutoConfig.for_model(config["model_type"], **plain)
            whole = transformers.AutoModel.from_config(built, trust_remote_code=False)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise WeightsError(
                f"transformers {transformers.__version__} cannot build this: {one_line(error)}"
            ) from error
        self._take(whole)
        self.channels, self.grid = self.measure()

    def _take(self, whole: nn.Module) -> None:
        """The image tower of a model, in float32, without the pooling after its last state."""
        net = getattr(whole, "vision_model", whole).float()
        pooler = getattr(net, "pooler", None)
        if isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters()):
            net.pooler = None
        config: Any = net.config
        self.net = net
        taken = inspect.signature(net.forward).parameters
        self._resized = "interpolate_pos_encoding" in taken and self.preprocessing.size != getattr(
            config, "image_size", self.preprocessing.size
        )

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images float [N, 3, S, S] -> feature maps [N, C, h, w]."""
        more = {"interpolate_pos_encoding": True} if self._resized else {}
        state: Tensor = self.net(pixel_values=images, **more).last_hidden_state
        if state.dim() == 4:
            return state
        config: Any = self.net.config
        side = images.shape[-1] // getattr(config, "patch_size", images.shape[-1])
        first = max(0, state.shape[1] - side * side) if side > 1 else 0
        return grid_of_tokens(state[:, first:])

    @classmethod
    def load(  # type: ignore[override]
        cls,
        weights: str,
        *,
        image_size: int | None = None,
        seed: int = 0,
        allow_pickle: bool = False,
    ) -> Encoder:
        """Encoder with weights.

        Args:
            weights: a folder with config.json, preprocessor_config.json and model.safetensors.
            image_size: side S of the images; None for what the folder says.
            seed, allow_pickle: without effect: nothing is drawn, no pickle is read.

        Raises `WeightsError` if the folder is incomplete or a tensor has no place, and
        `MissingExtraError` without transformers.
        """
        transformers, folder = _transformers(), Path(weights)
        if not (folder / "config.json").is_file():
            raise WeightsError(
                f"encoder.weights={weights}: encoder=huggingface needs a folder with config.json, "
                "preprocessor_config.json and model.safetensors"
            )
        preprocessing = _preprocessing(folder, image_size)
        try:
            with _quiet(transformers):
                whole, info = transformers.AutoModel.from_pretrained(
                    folder,
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=True,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,  # reported below, by name
                )
        except Exception as error:  # of transformers, safetensors and what lies below
            raise WeightsError(f"{folder}: cannot be loaded: {one_line(error)}") from error
        aside = _check(info, folder)
        config = whole.config.to_dict()
        plain = {key: value for key, value in config.items() if key not in NOT_OF_THE_SHAPE}
        plain = json.loads(json.dumps(plain, default=str))
        source = {
            "weights": folder.name,
            "format": "transformers",
            "trained_on": [],
            **({"left_aside": aside} if aside else {}),
        }
        encoder = cls(preprocessing, source, config=plain)
        encoder._take(whole)
        return encoder.train()


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "encoder=huggingface needs transformers: pip install xray-report[transformers]"
        ) from error
    return transformers


class _quiet:  # noqa: N801
    """Keep transformers from reporting on stderr what `_check` reports."""

    def __init__(self, transformers: Any) -> None:
        self._logging = transformers.utils.logging

    def __enter__(self) -> None:
        self._before = self._logging.get_verbosity()
        self._bar = self._logging.is_progress_bar_enabled()
        self._logging.set_verbosity_error()
        self._logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self._logging.set_verbosity(self._before)
        if self._bar:
            self._logging.enable_progress_bar()


def _check(info: Mapping[str, Any], folder: Path) -> list[str]:
    """Names of tensors left aside; `WeightsError` if one that maps depend on has no place."""
    faults = []
    for what in ("missing", "unexpected"):
        names = sorted(info.get(f"{what}_keys", ()))
        if wrong := [name for name in names if NOT_OF_THE_MAPS.isdisjoint(name.split("."))]:
            faults.append(f"{len(wrong)} {what} ({', '.join(wrong[:4])})")
    if mismatched := info.get("mismatched_keys"):
        faults.append(f"of another shape: {sorted(map(str, mismatched))[:4]}")
    if faults:
        raise WeightsError(f"{folder} (transformers): tensors do not fit: {'; '.join(faults)}")
    return sorted(info.get("unexpected_keys", ()))


def _preprocessing(folder: Path, image_size: int | None) -> Preprocessing:
    """What preprocessor_config.json says: size, rescaling, mean and deviation."""
    path = folder / "preprocessor_config.json"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        factor = plain.get("rescale_factor", 1 / 255) if plain.get("do_rescale", True) else 1.0
        normal = plain.get("do_normalize", True)
        mean, std = (plain["image_mean"], plain["image_std"]) if normal else ([0.0] * 3, [1.0] * 3)
        named = plain.get("crop_size") or plain["size"]
        if isinstance(named, Mapping):
            named = named.get("height") or named["shortest_edge"]
        # (x * factor - mean) / std, written as (x / 255 - mean') / std'.
        mean, std = ([value / (255 * factor) for value in one] for one in (mean, std))
        size = int(image_size or named)
        return Preprocessing.from_dict(
            {"size": size, "mean": mean, "std": std, "kind": "transformers"}
        )
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: cannot tell the size, mean and deviation of its images ({one_line(error)})"
        ) from error
