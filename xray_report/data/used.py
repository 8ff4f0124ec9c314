"""What of a data set a run uses and what was left out, in a line for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from xray_report.data.audit.protocol import Audited
from xray_report.data.study import SPLITS, Study, StudySource


def used_line(source: StudySource, used: Sequence[Study], without_text: int) -> str:
    """Such as `iu_xray: train 2069, val 296, test 590 studies; left out: 104 no image found`.

    Args:
        source: the data set, which knows what its own rules left out.
        used: studies that are left, each with its split.
        without_text: studies left out since nothing of the section to be written is there.
    """
    sides = Counter(study.split for study in used)
    counts = ", ".join(f"{split} {sides[split]}" for split in SPLITS)
    dropped = dict(source.dropped) if isinstance(source, Audited) else {}
    dropped[f"without words in {source.target}"] = without_text
    left_out = ", ".join(f"{count} {rule}" for rule, count in dropped.items() if count)
    return f"{source.name}: {counts} studies" + (f"; left out: {left_out}" if left_out else "")
