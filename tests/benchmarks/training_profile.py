"""Where the time of a training step goes: products and at what rate, fused words, the rest.

`python -m tests.benchmarks.training_profile` shows it for the attention model as it trains by
default and without torch.compile.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::addmv", "aten::_mm")
STEPS = 5


def kind_of(event: str) -> str:
    """What a profiler's event is counted as."""
    if event in PRODUCTS:
        return "products"
    if event.startswith(("CompiledFunction", "Torch-Compiled", "## Call Compiled")):
        return "fused words"
    return "other kernels" if event.startswith("aten::") else "python"


def where_time_goes(step: Callable[[], None], peak: float) -> dict[str, float]:
    """Shares of a step's time, measured by torch's profiler, which makes small operations dearer.

    Args:
        step: one training step.
        peak: GFLOP/s of a large product.
    """
    step()
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as seen:
        for _ in range(STEPS):
            step()
    spent: Counter[str] = Counter()
    flops = 0
    for event in seen.key_averages():
        kind = kind_of(event.key)
        spent[kind] += event.self_cpu_time_total
        flops += event.flops if kind == "products" else 0
    total = sum(spent.values())
    rate = 1e-3 * flops / spent["products"]
    return {
        "ms_under_profiler": 1e-3 * total / STEPS,
        **{f"{kind}_share": own / total for kind, own in spent.items()},
        "products_gflops_in_step": rate,
        "products_share_of_peak": rate / peak,
    }


if __name__ == "__main__":
    from tests.benchmarks.training import COMPARED, case, ours, training_step
    from tests.benchmarks.training_bound import peaks

    for sizes in COMPARED:
        given = case(sizes)
        for compile in ("auto", False):
            step = training_step(
                given.model.parameters(), lambda given=given, how=compile: ours(given, how)
            )
            shares = where_time_goes(step, peaks()["products_gflops"])
            print(sizes, f"compile={compile}", json.dumps(shares, indent=2))
