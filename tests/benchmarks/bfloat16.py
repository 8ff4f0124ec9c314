"""What bfloat16 does to features and to reports, on a processor that need not have it.

`python -m tests.benchmarks.bfloat16 CHECKPOINT [--studies N]`: the phantom's test studies are
encoded in float32 and in bfloat16, and decoded from both. As the hardware does it, inputs,
weights and results of every convolution are rounded to bfloat16 and its sums are kept in float32.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from xray_report.data.phantom.source import PhantomSource
from xray_report.evaluation.run import EvaluationOptions, data_of
from xray_report.inference.checkpoint import ReportCheckpoint, load_checkpoint
from xray_report.inference.generator import ReportGenerator
from xray_report.inference.greedy import GreedySearch
from xray_report.metrics.bleu import corpus_bleu
from xray_report.metrics.findings.scores import fact_scores
from xray_report.models.convolution import Convolution
from xray_report.models.densenet import DenseNetEncoder
from xray_report.models.fast_densenet import FastDenseNet

CHUNK = 8


class Emulated:
    """A bfloat16 convolution computed in float32 and rounded, like `Convolution` to its caller."""

    def __init__(self, original: Convolution) -> None:
        assert original.weight.dtype == torch.bfloat16
        self.original, self.weight = original, original.weight.float()
        self.bias = None if original.bias is None else original.bias.float()

    def __call__(self, images: Tensor) -> Tensor:
        """Convolve bfloat16 [N, in, H, W]."""
        own = self.original
        result = functional.conv2d(images.float(), self.weight, self.bias, own.stride, own.padding)
        return (result.relu_() if own.relu else result).bfloat16()


def emulated(encoder: DenseNetEncoder) -> FastDenseNet:
    """The extractor's network in bfloat16, its convolutions replaced."""
    net: Any = FastDenseNet(encoder, dtype=torch.bfloat16)
    net._stem.conv = Emulated(net._stem.conv)
    net._blocks = [
        [
            layer._replace(squeeze=Emulated(layer.squeeze), grow=Emulated(layer.grow))
            for layer in block
        ]
        for block in net._blocks
    ]
    net._transitions = [(gate, Emulated(conv)) for gate, conv in net._transitions]
    return net


def encode(net: Callable[[Tensor], Tensor], images: Tensor, present: Tensor) -> Tensor:
    """Maps [N, 2, C, h, w], as the cache keeps them, of grey images [N, 2, S, S]."""
    maps = torch.cat([net(part).half() for part in torch.split(images[present], CHUNK)])
    features = maps.new_zeros(*present.shape, *maps.shape[1:])
    features[present] = maps
    return features


def scores(
    checkpoint: ReportCheckpoint, features: Tensor, mask: Tensor, texts: list[str]
) -> dict[str, float]:
    """Fact F1 and BLEU-4 of the greedy reports against cleaned reference texts."""
    model = checkpoint.model
    generator = ReportGenerator(None, model.decoder, checkpoint.vocabulary, GreedySearch())
    ids = [str(number) for number in range(len(texts))]
    reports = generator.generate(features=features.float(), view_mask=mask, study_ids=ids)
    written = [report.text for report in reports]
    return {
        "facts_f1": fact_scores(written, texts)["facts/f1"],
        "bleu4": corpus_bleu(written, texts)["bleu4"],
    }


@torch.inference_mode()
def compare(path: str, studies: int) -> dict[str, Any]:
    """Cosines between the features, and both precisions' scores."""
    checkpoint = load_checkpoint(path)
    source = PhantomSource(cache_dir=".cache")
    source.prepare()
    dataset = data_of(checkpoint, source, EvaluationOptions()).dataset("test")
    rows = list(range(min(studies, len(dataset))))
    mask = dataset.__getitems__(rows).view_mask
    images, encoder = dataset.gray(rows), checkpoint.model.encoder
    texts = [checkpoint.cleaner(dataset.examples[row].reference) for row in rows]
    single = encode(FastDenseNet(encoder), images, mask)
    half = encode(emulated(encoder), images, mask)
    cosines = functional.cosine_similarity(single[mask].float(), half[mask].float(), dim=1)
    cells = cosines[single[mask].float().norm(dim=1) > 0]
    return {
        "studies": len(rows),
        "cosine": float(
            functional.cosine_similarity(single.double().flatten(), half.double().flatten(), 0)
        ),
        "cosine_of_a_cell": {"mean": float(cells.mean()), "worst": float(cells.min())},
        "float32": scores(checkpoint, single, mask, texts),
        "bfloat16": scores(checkpoint, half, mask, texts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--studies", type=int, default=200)
    arguments = parser.parse_args()
    print(json.dumps(compare(arguments.checkpoint, arguments.studies), indent=2))


if __name__ == "__main__":
    main()
