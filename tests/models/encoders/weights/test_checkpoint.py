"""Encoder weights as we export them."""

from __future__ import annotations

from pathlib import Path

import torch

from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.load import export_encoder, load_encoder


def test_export_keeps_what_float16_cannot(tmp_path: Path) -> None:
    encoder = DenseNetEncoder()
    with torch.no_grad():
        encoder.features.norm0.running_var.fill_(3e5)
        encoder.features.conv0.weight[0] = 1e5
        encoder.features.norm5.running_var.fill_(1e-9)
    export_encoder(encoder, tmp_path / "x")
    again = load_encoder(weights=str(tmp_path / "x")).features
    torch.testing.assert_close(again.norm0.running_var, encoder.features.norm0.running_var)
    torch.testing.assert_close(again.norm5.running_var, encoder.features.norm5.running_var)
    torch.testing.assert_close(again.conv0.weight, encoder.features.conv0.weight)
