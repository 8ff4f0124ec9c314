"""Memory freed by large tensors is used again instead of being asked of the kernel again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, torch
from xray_report.models.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(16 << 20)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
assert keep_freed_memory()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these limits")
def test_large_tensors_cost_no_page_faults_the_second_time() -> None:
    found = subprocess.run(
        [sys.executable, "-c", COUNT_FAULTS], check=True, capture_output=True, text=True
    )
    before, after = map(int, found.stdout.split())
    # Huge pages make the first number small on some machines, but never none.
    assert after < before / 4


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from xray_report.models import allocator

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert allocator.keep_freed_memory() is False
