from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tests.commands.console import run


def test_real_reports(tmp_path: Path) -> None:
    if importlib.util.find_spec("torchxrayvision") is None:
        pytest.skip("the iu-xray extra, which carries the real reports, is not installed")
    out = tmp_path / "labeller.json"
    result = run("validate-labeller", "--json", out)
    assert result.exit_code == 0, result.output
    assert "held_out: 1887 studies" in result.output
    numbers = json.loads(out.read_text())
    assert numbers["held_out/macro_f1"] >= 0.947
    assert numbers["dev/macro_f1"] >= 0.94
    assert numbers["held_out/pleural_effusion/support"] == 78
