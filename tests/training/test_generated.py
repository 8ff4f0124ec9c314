from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import torch.distributed

from xray_report.training.generated import Generated, gather


def worker(rank: int, store: str, shares: list[list[Generated]], results: object) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    results.put((rank, gather(shares[rank])))  # type: ignore[attr-defined]
    torch.distributed.destroy_process_group()


def test_two_processes_see_what_one_sees(tmp_path: Path) -> None:
    studies = [Generated(f"study-{i}", f"hypothesis {i}", f"reference {i}") for i in range(7)]
    # The sampler repeats study 0 so that both processes have four.
    shares = [studies[::2], [*studies[1::2], studies[0]]]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [
        context.Process(target=worker, args=(rank, str(tmp_path / "store"), shares, results))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    gathered = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert gathered[0] == gathered[1] == gather(studies) == studies
