"""Reports as JSON."""

from __future__ import annotations

import json
import math

from xray_report.inference.generator import Report, plain_report
from xray_report.inference.search import Hypothesis
from xray_report.text.vocabulary import Vocabulary


def test_json_never_holds_an_infinity() -> None:
    vocabulary = Vocabulary.build(["clear lungs"], 1)
    word = vocabulary.encode("clear")[1]
    impossible = Hypothesis((word,), -math.inf, -math.inf, True, (-math.inf, -math.inf))
    plain = plain_report(Report("s", "clear", (impossible,)), vocabulary)
    (one,) = json.loads(json.dumps(plain, allow_nan=False))["hypotheses"]
    assert one["words"] == [{"word": "clear", "log_prob": None}]
    assert one["end_log_prob"] is one["score"] is one["log_prob"] is None
