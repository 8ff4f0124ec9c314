"""A checkpoint is whole, whatever befalls the process or the disk while it is written."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.scripts import forked
from xray_report.errors import CheckpointError, OutputError
from xray_report.files import SUFFIX
from xray_report.inference.checkpoint import read_file
from xray_report.training.trainer import WholeFiles, remove_torn

WRITE = """
import resource, signal, sys, torch
from xray_report.training.trainer import WholeFiles
if sys.argv[3] == "killed":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it: writing fails instead
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
WholeFiles().save_checkpoint({"weight": torch.ones(5000)}, sys.argv[1])
"""
"""Writes a checkpoint with room for so many bytes: the system stops it at that very byte."""


def saved(path: Path, value: float = 0.0) -> Path:
    WholeFiles().save_checkpoint({"weight": torch.full((5000,), value), "epoch": 3}, path)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "new" / "best.ckpt", 2.0)
    found = WholeFiles().load_checkpoint(path)
    assert found["epoch"] == 3
    assert torch.equal(found["weight"], torch.full((5000,), 2.0))
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("how", ["killed", "refused"])
@pytest.mark.parametrize("byte", [0, 13000])
def test_a_kill_at_any_byte_leaves_the_file_of_before(byte: int, how: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "best.ckpt")
    before = path.read_bytes()
    script = tmp_path / "write.py"
    script.write_text(WRITE)
    done = forked(script, str(path), str(byte), how, folder=tmp_path)
    assert done.code == (1 if how == "refused" else -signal.SIGXFSZ), done.said
    if how == "refused":
        assert "OutputError" in done.err
    assert path.read_bytes() == before


def test_a_full_disk_is_one_line_and_leaves_the_file_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "best.ckpt")
    before = path.read_bytes()

    def full(self: Path, content: Any) -> None:
        with self.open("wb") as file:
            file.write(content[:999])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"best\.ckpt .*No space left.*paths\.runs_dir") as caught:
        saved(path, 1.0)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_in_any_run_or_in_the_cache_is_removed(tmp_path: Path) -> None:
    folders = [
        tmp_path / one
        for one in (
            *("runs/train/x/checkpoints", "runs/evaluate/x", "moved", "here"),
            *("cache/features/y", "drawn", "maps"),
        )
    ]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / f".best.ckpt.12345678{SUFFIX}").write_text("half")
        (folder / ".mine.tmp").write_text("the user's")
    paths = {"runs_dir": "runs", "cache_dir": "cache", "output_dir": "here"}
    plain = {name: str(tmp_path / path) for name, path in paths.items()}
    caches = {"data": {"cache_dir": str(tmp_path / "drawn")}, "loader": {"cache_dir": None}}
    remove_torn({"paths": plain, "resume": str(tmp_path / "moved" / "last.ckpt"), **caches})
    remove_torn({"paths": plain, "data": None, "evaluation": {"cache_dir": tmp_path / "maps"}})
    for folder in folders:
        assert [path.name for path in folder.iterdir()] == [".mine.tmp"]


def test_a_changed_byte_is_seen(tmp_path: Path) -> None:
    path = saved(tmp_path / "best.ckpt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # in the weights: torch itself loads it
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["epoch"] == 3
    with pytest.raises(CheckpointError, match=r"best\.ckpt is damaged .* not as it was written"):
        read_file(path)
