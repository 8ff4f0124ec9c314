"""What the numbers mean, in plain words, read from a metrics dictionary alone."""

from __future__ import annotations

from collections.abc import Mapping

from xray_report.metrics.collapse import MIN_STUDIES

HEADLINES = ("clean/bleu4", "clean/cider", "findings/micro_f1", "facts/f1")
"""Scores that decide; those absent from the metrics are passed over."""

VERSUS = "versus_constant/"

NEGLIGIBLE = 0.05
"""A loss of less than this share of the score, when images are exchanged, counts as none."""


def collapse_verdict(metrics: Mapping[str, float]) -> str | None:
    """Say so when the model writes (nearly) the same report for all studies, else None.

    Collapsed means: one report takes at least half of the studies and twice what the most
    frequent reference takes, or the distinct reports are at most a tenth of the distinct
    references. Under 10 studies nothing is said.
    """
    if metrics.get("studies", 0) < MIN_STUDIES or "collapse/distinct_reports" not in metrics:
        return None
    top, reference_top = (
        metrics["collapse/most_frequent_share"],
        metrics["collapse/reference_most_frequent_share"],
    )
    distinct, expected = (
        metrics["collapse/distinct_reports"],
        metrics["collapse/reference_distinct_reports"],
    )
    if not (top >= max(0.5, 2 * reference_top) or distinct <= 0.1 * expected):
        return None
    return (
        f"COLLAPSED: {distinct:.0f} different report{'' if distinct == 1 else 's'} for "
        f"{metrics['studies']:.0f} studies (the references hold {expected:.0f}), and one of them "
        f"is given to {top:.0%} of the studies. Scores of such a model say little about its "
        "reading of images."
    )


def reliance_verdict(metrics: Mapping[str, float]) -> str | None:
    """Say so when exchanging the studies' images costs next to nothing, else None.

    A model passes when two of the headline scores (or the only one there is) fall clearly: the
    interval of the loss leaves out zero and the loss is at least a twentieth of the score. One
    alone would too often fall by chance, for there are four.
    """
    present = [key for key in HEADLINES if f"reliance/{key}_low" in metrics]
    if not present or metrics.get("studies", 0) < MIN_STUDIES:
        return None
    lowered = [
        key
        for key in present
        if metrics[f"reliance/{key}_low"] > 0
        and metrics[f"reliance/{key}"] > NEGLIGIBLE * metrics[key]
    ]
    if len(lowered) >= min(2, len(present)):
        return None
    key = present[0]
    return (
        "IMAGE-BLIND: with the studies' images exchanged the scores stay (nearly) the same "
        f"({key} changes by {-metrics[f'reliance/{key}']:+.3f}): the reports hardly depend on "
        "the images."
    )


def constant_verdict(metrics: Mapping[str, float]) -> str | None:
    """Say so when the model does not clearly beat the best constant report on BLEU-4, else None.

    BLEU-4 of `clean`, or of the first protocol there is.
    """
    rivalry = (key for key in metrics if key.startswith(VERSUS) and key.endswith("/bleu4"))
    score = next((key.removeprefix(VERSUS) for key in rivalry), "")
    versus = f"{VERSUS}{score}"
    if f"{versus}_low" not in metrics or metrics[f"{versus}_low"] > 0:
        return None
    return (
        f"NOT BETTER THAN ONE FIXED REPORT: {score} {metrics[score]:.3f} against "
        f"{metrics[f'baseline/constant/{score}']:.3f} for giving every study the same report "
        f"(difference {metrics[versus]:+.3f}, 95 % interval {metrics[f'{versus}_low']:+.3f} to "
        f"{metrics[f'{versus}_high']:+.3f}).{_findings_beside(metrics)}"
    )


def _findings_beside(metrics: Mapping[str, float]) -> str:
    key = "findings/micro_f1"
    if f"{VERSUS}{key}_low" not in metrics:
        return ""
    verb = "do beat it" if metrics[f"{VERSUS}{key}_low"] > 0 else "do not beat it either"
    ours, theirs = metrics[key], metrics[f"baseline/constant/{key}"]
    return f" Its findings {verb}: {key} {ours:.3f} against {theirs:.3f}."


def verdicts(metrics: Mapping[str, float]) -> dict[str, str]:
    """All warnings that apply, by name; an empty dictionary means none do."""
    found = {
        "collapsed": collapse_verdict(metrics),
        "image_blind": reliance_verdict(metrics),
        "not_better_than_constant": constant_verdict(metrics),
    }
    return {name: text for name, text in found.items() if text is not None}


def with_warnings(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """The metrics and, under `warning/<name>`, what is wrong with them in plain words."""
    return {**metrics, **{f"warning/{name}": text for name, text in verdicts(metrics).items()}}
