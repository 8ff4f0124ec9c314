from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xray_report.errors import OutputError
from xray_report.files import remove_leftovers, replacing


def test_a_finished_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.json"
    with replacing(path) as temporary:
        temporary.write_text("one")
        assert not path.exists()
    with replacing(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "scores.json", tmp_path / "folder"):
        with pytest.raises(OutputError, match="cannot be written") as caught, replacing(path) as t:
            t.write_text("x")
        assert str(path) in str(caught.value)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    with pytest.raises(OutputError, match="No space left"), replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


KILLED = """
import os, sys
from xray_report.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_what_a_kill_leaves_is_removed_and_what_is_being_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.json"
    with replacing(path) as temporary:
        temporary.write_text("old")
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    remove_leftovers(tmp_path)
    assert len(list(path.parent.iterdir())) == 2
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert len(list(path.parent.iterdir())) == 2
    remove_leftovers(tmp_path)
    assert list(path.parent.iterdir()) == [path]
    assert path.read_text() == "old"


def test_files_keep_the_users_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with replacing(tmp_path / "mine") as temporary:
            temporary.write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o600
