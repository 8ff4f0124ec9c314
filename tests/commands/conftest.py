from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.metrics.conftest import write_report


@pytest.fixture
def annotation(tmp_path: Path) -> Path:
    """A small file in R2Gen's form."""
    source = random.Random(3)
    sides = {
        side: [
            {
                "id": f"CXR{start + i}_IM-0001",
                "report": write_report(source),
                "image_path": [f"CXR{start + i}_IM-0001/0.png", f"CXR{start + i}_IM-0001/1.png"],
                "split": side,
            }
            for i in range(size)
        ]
        for side, start, size in (("train", 1, 60), ("val", 101, 15), ("test", 201, 25))
    }
    path = tmp_path / "annotation.json"
    path.write_text(json.dumps(sides), encoding="utf-8")
    return path
