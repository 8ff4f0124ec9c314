"""Decoders and the loss run on another device than the CPU, without one being there."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.fake_device import CUDA, fake_cuda
from tests.models.decoders.small import MAPS, SPECIAL, build_single, every_variant, leaves
from xray_report.models.decoders.protocol import select_rows, select_studies
from xray_report.models.report_model import masked_cross_entropy


def test_the_fake_device_refuses_to_mix() -> None:
    with fake_cuda(), pytest.raises(RuntimeError, match=r"two (different )?devices"):
        _ = torch.ones(2, device=CUDA) + torch.ones(2)


@every_variant
def test_training_stays_on_the_device(architecture: dict[str, Any]) -> None:
    with fake_cuda():
        with CUDA:
            model = build_single(architecture).train()
        features = torch.ones(3, 2, *MAPS, device=CUDA, dtype=torch.float16)
        view_mask = torch.ones(3, 2, dtype=torch.bool, device=CUDA)
        tokens = torch.full((3, 7), SPECIAL.bos, device=CUDA)
        found = model.teacher_forced(features, view_mask, tokens)
        logits = model(features, view_mask, tokens)
        loss = masked_cross_entropy(logits, tokens[:, 1:], SPECIAL.pad, 0.1)
        assert {part.device for part in (loss, logits, found.logits)} == {CUDA}
        assert found.attention is None or found.attention.device == CUDA


@every_variant
def test_steps_stay_on_the_device(architecture: dict[str, Any]) -> None:
    with fake_cuda(), torch.no_grad():
        with CUDA:
            model = build_single(architecture).eval()
        view_mask = torch.ones(3, 2, dtype=torch.bool, device=CUDA)
        state = model.initial_state(torch.ones(3, 2, *MAPS, device=CUDA), view_mask)
        rows = torch.arange(3, device=CUDA).repeat_interleave(2, output_size=6)
        for words in (3, 6):
            tokens = torch.full((words,), SPECIAL.bos, device=CUDA)
            log_probs, state = model.step(tokens, state)
            assert log_probs.device == CUDA
            if words == 3:
                state = select_rows(state, rows)
        state = select_studies(state, torch.arange(2, device=CUDA), 3)
        assert {part.device for part in leaves((state.rows, state.studies))} == {CUDA}
