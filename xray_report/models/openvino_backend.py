"""Feature extraction by OpenVINO (extra `openvino`): the same features by other kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xray_report.errors import MissingExtraError
from xray_report.models.densenet import DenseNetEncoder
from xray_report.models.extractor import CHUNK, check_features, check_pixels

HINTS = {"float32": "f32", "bfloat16": "bf16"}


class _FromPixels(nn.Module):
    """Normalisation and encoder in one graph: float pixels [N, 1, S, S] -> features."""

    scale: Tensor
    shift: Tensor

    def __init__(self, encoder: DenseNetEncoder) -> None:
        super().__init__()
        self.features = encoder.features
        scale, shift = encoder.preprocessing.affine()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise and encode."""
        return torch.relu(self.features(pixels * self.scale + self.shift))


class OpenVinoExtractor:
    """DenseNet121 as OpenVINO compiles it, one stream a thread.

    Raises `MissingExtraError` where OpenVINO is not installed.
    """

    def __init__(self, encoder: DenseNetEncoder, precision: str, threads: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError(
                "encoder.backend=openvino needs OpenVINO: pip install xray-report[openvino]"
            ) from error
        self.size = encoder.preprocessing.size
        self.identity = f"{encoder.identity}-openvino-{precision}"
        self.batch = 2 * CHUNK * threads
        training = encoder.features.training
        net = _FromPixels(encoder).eval()
        example = torch.zeros(1, 1, self.size, self.size)
        with torch.no_grad():
            model = openvino.convert_model(
                net, example_input=example, input=[-1, 1, self.size, self.size]
            )
        encoder.features.train(training)
        config = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "INFERENCE_PRECISION_HINT": HINTS[precision],
        }
        self._model = openvino.Core().compile_model(model, "CPU", config)
        self._queue = openvino.AsyncInferQueue(self._model, threads)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Grey images [N, S, S] -> feature maps [N, 1024, S/32, S/32]."""
        pixels = check_pixels(images, self.size).unsqueeze(1).float()
        chunks = torch.split(pixels, CHUNK)
        parts: list[Tensor] = [torch.empty(0)] * len(chunks)

        def keep(request: Any, place: int) -> None:
            parts[place] = torch.from_numpy(request.get_output_tensor(0).data.copy())

        self._queue.set_callback(keep)
        for place, chunk in enumerate(chunks):
            self._queue.start_async(chunk.numpy(), place)
        self._queue.wait_all()
        return check_features(parts)
