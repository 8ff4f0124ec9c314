"""Where the time of a training step goes: products and at what rate, single passes, the rest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::addmv")
STEPS = 5


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
        product, own = event.key in PRODUCTS, event.self_cpu_time_total
        kind = "products" if product else "other kernels" if "aten::" in event.key else "python"
        spent[kind] += own
        flops += event.flops if product else 0
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
        step = training_step(given, lambda given=given: ours(given))
        print(sizes, json.dumps(where_time_goes(step, peaks()["products_gflops"]), indent=2))
