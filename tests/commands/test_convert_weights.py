from __future__ import annotations

import json
from pathlib import Path

import torch

from tests.commands.console import failure, run
from xray_report.models.encoders.densenet import DenseNetEncoder
from xray_report.models.encoders.load import load_encoder
from xray_report.models.encoders.protocol import drawn_from


def state_dict(path: Path) -> Path:
    with drawn_from(3):
        state = DenseNetEncoder().state_dict()
    head = {"classifier.weight": torch.zeros(14, 1024), "classifier.bias": torch.zeros(14)}
    torch.save(state | head, path)
    return path


def test_a_converted_file_loads_and_carries_its_metadata(tmp_path: Path) -> None:
    about = tmp_path / "about.json"
    about.write_text(json.dumps({"seed": 3}))
    dest = tmp_path / "net.safetensors"
    result = run(
        "convert-weights",
        state_dict(tmp_path / "a.pt"),
        dest,
        "--metadata",
        tmp_path / "about.json",
    )
    assert result.exit_code == 0, result.output
    assert "features.conv0.weight -> features.conv0.weight" in result.stdout
    assert "classifier.bias (left aside: no part of an encoder)" in result.stdout
    assert result.stdout.splitlines()[-1] == f"wrote {dest}"
    encoder = load_encoder(weights=str(dest))
    assert encoder.source["metadata"] == {"seed": 3}
    with drawn_from(3):
        expected = DenseNetEncoder().state_dict()
    for name, tensor in encoder.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-5)


def test_mistakes_are_one_line_and_write_nothing(tmp_path: Path) -> None:
    source, dest = state_dict(tmp_path / "a.pt"), tmp_path / "net.safetensors"
    assert "name it so" in failure("convert-weights", source, tmp_path / "net.pt")
    assert "no weight file" in failure("convert-weights", tmp_path / "none.pt", dest)
    (tmp_path / "list.json").write_text("[1]")
    said = failure("convert-weights", source, dest, "--metadata", tmp_path / "list.json")
    assert "metadata must be one JSON object" in said
    assert not dest.exists()
