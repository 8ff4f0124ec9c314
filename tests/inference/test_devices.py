"""Every search on another device than the CPU: on one that is not there, and on one that is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.fake_device import CUDA, fake_cuda
from tests.inference.test_decoder_laws import SEARCHES, every_search, model_of
from tests.inference.test_laws import COMMON
from tests.models.decoders.small import MAPS, SMALL, build_single, maps_of
from xray_report.inference.ensemble import Ensemble
from xray_report.inference.search import CHECK_EVERY

RULES: list[dict[str, Any]] = [*COMMON[:3], {"forced_ids": (5, 6)}]
SHORT = CHECK_EVERY + 2
"""Tokens to write where time is: long enough that studies leave."""
MODELS = [*SMALL, "ensemble of all"]


@every_search
@pytest.mark.parametrize("name", MODELS)
def test_searches_stay_on_a_device_that_is_not_there(name: str, search: Any) -> None:
    """Whole searches, studies leaving, results read off; two devices that meet raise."""
    with fake_cuda():
        with CUDA:
            every = SMALL.values() if name not in SMALL else [SMALL[name]]
            models = [build_single(one).eval() for one in every]
        features = torch.ones(8, 2, *MAPS, device=CUDA)
        view_mask = torch.ones(8, 2, dtype=torch.bool, device=CUDA)
        model = Ensemble(models) if len(models) > 1 else models[0]
        found = dataclasses.replace(search, max_length=SHORT)(model, features, view_mask)
        assert len(found) == 8


@every_search
def test_constraints_stay_on_a_device_that_is_not_there(search: Any) -> None:
    rules: dict[str, Any] = {"max_length": SHORT}
    for some in RULES:
        rules |= some
    with fake_cuda():
        with CUDA:
            model = build_single(SMALL["mean_of_words"]).eval()
        features = torch.ones(8, 2, *MAPS, device=CUDA)
        view_mask = torch.ones(8, 2, dtype=torch.bool, device=CUDA)
        study_ids = [f"study {i}" for i in range(8)]
        dataclasses.replace(search, **rules)(model, features, view_mask, study_ids)


@pytest.mark.gpu
@every_search
@pytest.mark.parametrize("name", MODELS)
def test_a_gpu_finds_what_the_cpu_finds(name: str, search: Any) -> None:
    model, (features, mask) = model_of(name), maps_of(20)
    expected = search(model, features, mask)
    found = on_gpu(search, name, features, mask)
    for one, other in zip(expected, found, strict=True):
        assert [h.token_ids for h in one] == [h.token_ids for h in other]
        assert [h.score for h in one] == pytest.approx([h.score for h in other], abs=1e-5)
        for h, g in zip(one, other, strict=True):
            torch.testing.assert_close(
                torch.tensor(h.attention), torch.tensor(g.attention), atol=1e-5, rtol=0
            )


@pytest.mark.gpu
@pytest.mark.parametrize("rules", RULES, ids=["plain", "ngram", "repeat", "forced"])
def test_a_gpu_keeps_the_rules_as_the_cpu_does(rules: Any) -> None:
    for search in SEARCHES.values():
        ruled = dataclasses.replace(search, **rules)
        model, (features, mask) = model_of("transformer"), maps_of(20)
        expected = ruled(model, features, mask)
        found = on_gpu(ruled, "transformer", features, mask)
        assert [[h.token_ids for h in one] for one in expected] == [
            [h.token_ids for h in one] for one in found
        ]


def on_gpu(search: Any, name: str, features: torch.Tensor, mask: torch.Tensor) -> Any:
    model = model_of(name)
    for one in model.models if name not in SMALL else [model]:
        one.decoder.cuda()
    return search(model, features.cuda(), mask.cuda())
