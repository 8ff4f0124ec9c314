"""What bfloat16 does to features and to reports, on a processor that need not have it.

`python -m tests.benchmarks.bfloat16 CHECKPOINT [--studies N]`: the phantom's test studies are
encoded in float32 and in bfloat16, and decoded from both by greedy search. Shown are the cosine
between both features, and fact F1 and BLEU-4 of both. Slow on a processor without bfloat16.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from xray_report.data.dataset import load_gray
from xray_report.data.phantom.source import PhantomSource
from xray_report.data.study import pair_views
from xray_report.inference.checkpoint import ReportCheckpoint, load_checkpoint
from xray_report.inference.generator import ReportGenerator
from xray_report.inference.greedy import GreedySearch
from xray_report.metrics.bleu import corpus_bleu
from xray_report.metrics.findings.scores import fact_scores
from xray_report.models.encoders.extractor import FeatureExtractor


def encode(extractor: FeatureExtractor, images: Tensor, present: Tensor) -> Tensor:
    """Maps [N, 2, C, h, w], as the cache keeps them, of grey images [N, 2, S, S]."""
    maps = torch.from_numpy(extractor(images[present]))
    features = maps.new_zeros(*present.shape, *maps.shape[1:])
    features[present] = maps
    return features


def scores(
    checkpoint: ReportCheckpoint, features: Tensor, mask: Tensor, texts: list[str]
) -> dict[str, float]:
    """Fact F1 and BLEU-4 of the greedy reports against cleaned reference texts."""
    generator = ReportGenerator(
        None, checkpoint.model.decoder, checkpoint.tokenizer, GreedySearch(max_length=80)
    )
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
    tested = [study for study in PhantomSource().studies() if study.split == "test"][:studies]
    encoder = checkpoint.model.encoder
    loaded = load_gray([pair_views(study) for study in tested], encoder.preprocessing.size)
    images, mask = loaded.gray, loaded.view_mask
    texts = [checkpoint.tokenizer.normalise(study.findings or "") for study in tested]
    single, half = (
        encode(FeatureExtractor(encoder, "cpu", precision), images, mask)
        for precision in ("float32", "bfloat16")
    )
    cosines = functional.cosine_similarity(single[mask].float(), half[mask].float(), dim=1)
    cells = cosines[single[mask].float().norm(dim=1) > 0]
    return {
        "studies": len(tested),
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
