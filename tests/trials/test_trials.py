"""Each trial runs, at a count of seconds, and says what became of its cases."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.scripts import ROOT
from tests.trials.__main__ import CASES
from tests.trials.damage import damaged
from tests.trials.processes import Ended, chance, fault_of


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=900,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.slow
def test_each_trial_says_what_became_of_its_cases() -> None:
    done = run("-m", "tests.trials", "--count", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    for name in CASES:
        counts = rf"^{name}: 1 cases in \d+ s, 0 with a fault: 1 \w.*$"
        assert re.search(counts, done.stdout, re.MULTILINE), (name, done.stdout)


@pytest.mark.slow
def test_a_fault_is_told_and_is_the_exit_code() -> None:
    """A reader that crashes, in a trial that is another for that."""
    broken = "import tests.trials.readers as r, tests.trials.__main__ as m, os, sys\n"
    broken += "r.READERS['csv'] = r.READERS['csv']._replace(read=lambda path: read(path))\n"
    broken += "def read(path):\n"
    broken += "    if path.read_bytes() != open(f'{path}.good', 'rb').read(): os.abort()\n"
    broken += "sys.argv[1:] = ['readers', '--count', '20']\n"
    broken += "m.main()\n"
    done = run("-c", broken)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "readers, seed 0, case 9: csv: killed the process (code -6)" in done.stdout
    assert "readers: 20 cases" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "err", "fault"),
    [
        (0, "", ""),
        (1, "error: seed must be an integer\n", ""),
        (1, "note\nerror: seed must be an integer\n", ""),
        (1, "Traceback (most recent call last):\nKeyError: 'x'\n", "traceback: KeyError: 'x'"),
        (1, "no reason\n", "code 1 without one line"),
        (1, "error: one\nerror: two\n", "code 1 without one line"),
        (-11, "", "killed by signal 11"),
        (3, "error: one\n", "code 3 without one line"),
    ],
)
def test_what_counts_as_a_fault(code: int, err: str, fault: str) -> None:
    found = fault_of(Ended(code, "", err, 1.0))
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"\x89PNG\r\n\x1a\n" + bytes(40), b"PK\x03\x04ab"])
def test_damage_is_another_content_and_the_same_each_time(data: bytes) -> None:
    for number in range(200):
        found = damaged(data, chance(0, number))
        assert found != data
        assert found == damaged(data, chance(0, number))
