"""Scores that need optional packages, computed by the packages that own them.

Each scorer takes N hypotheses and N references and returns flat scores; where it cannot run it
raises `MissingExtraError` with the one thing that is missing.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from xray_report.errors import MissingExtraError, OptionError
from xray_report.metrics.protocols import clean, ptb
from xray_report.metrics.study_scores import check_pairs

Texts = Sequence[str]


def _package(name: str, score: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"{score} needs the package {name.split('.')[0]}: pip install 'xray-report[{extra}]'"
        ) from error


def meteor_nltk(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """Mean of nltk's METEOR (2005 parameters) on `clean` texts.

    Another metric than the Java METEOR 1.5 that papers print: see `meteor`.
    """
    module = _package("nltk.translate.meteor_score", "METEOR of nltk", "meteor")
    pairs = zip(hypotheses, references, strict=True)
    try:
        values = [module.single_meteor_score(clean(r).split(), clean(h).split()) for h, r in pairs]
    except LookupError as error:
        raise MissingExtraError(
            "METEOR of nltk needs WordNet: python -m nltk.downloader wordnet"
        ) from error
    return {"meteor_nltk/meteor": float(np.mean(values))}


def meteor(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """METEOR 1.5 by pycocoevalcap's Java program on `ptb` texts, as papers print it."""
    module = _package("pycocoevalcap.meteor.meteor", "METEOR", "meteor-java")
    if shutil.which("java") is None:
        raise MissingExtraError("METEOR needs Java: install a Java runtime (java on the PATH)")
    truth = {i: [ptb(text)] for i, text in enumerate(references)}
    told = {i: [ptb(text)] for i, text in enumerate(hypotheses)}
    try:
        value, _ = module.Meteor().compute_score(truth, told)
    except (OSError, ValueError) as error:
        raise MissingExtraError(f"METEOR's Java program did not answer: {error}") from error
    return {"meteor/meteor": float(value)}


def bertscore(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """Means of BERTScore (Zhang et al. 2020), English default model, rescaled, on raw texts."""
    module = _package("bert_score", "BERTScore", "bertscore")
    parts = _with_weights(
        "BERTScore",
        lambda: module.score(
            list(hypotheses), list(references), lang="en", rescale_with_baseline=True
        ),
    )
    names = ("precision", "recall", "f1")
    return {f"bertscore/{n}": float(p.mean()) for n, p in zip(names, parts, strict=True)}


def chexbert(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """Micro and macro F1 of CheXbert's labels (Smit et al. 2020), 14 and 5 classes, raw texts."""
    module = _package("f1chexbert", "CheXbert-F1", "chexbert")
    _, _, fourteen, five = _with_weights(
        "CheXbert-F1", lambda: module.F1CheXbert()(list(hypotheses), list(references))
    )
    found: dict[str, float] = {}
    for classes, table in ((14, fourteen), (5, five)):
        for kind in ("micro", "macro"):
            found[f"chexbert/{kind}_f1_{classes}"] = float(table[f"{kind} avg"]["f1-score"])
    return found


def radgraph(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """RadGraph-F1 (Delbrouck et al. 2022), radgraph-xl, three reward levels, raw texts."""
    module = _package("radgraph", "RadGraph-F1", "radgraph")
    rewards, *_ = _with_weights(
        "RadGraph-F1",
        lambda: module.F1RadGraph(reward_level="all", model_type="radgraph-xl")(
            refs=list(references), hyps=list(hypotheses)
        ),
    )
    levels = ("simple", "partial", "complete")
    return {f"radgraph/{n}": float(v) for n, v in zip(levels, rewards, strict=True)}


def _with_weights(score: str, run: Callable[[], Sequence[Any]]) -> Sequence[Any]:
    """Run a scorer that downloads its weights when first used."""
    try:
        return run()
    except Exception as error:
        # Each package fails in its own way without a network; the cause is named in one line.
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise MissingExtraError(
            f"{score} could not run; its weights come from huggingface.co when first used "
            f"({reason[0][:200]})"
        ) from error


EXTRAS: Mapping[str, Callable[[Texts, Texts], dict[str, float]]] = {
    "meteor": meteor,
    "meteor_nltk": meteor_nltk,
    "bertscore": bertscore,
    "chexbert": chexbert,
    "radgraph": radgraph,
}


def check_extras(names: Sequence[str]) -> None:
    """Raise `OptionError` for a name that is none of `EXTRAS`."""
    unknown = [name for name in names if name not in EXTRAS]
    if unknown:
        raise OptionError(f"unknown extra score {unknown[0]!r}; choose from {', '.join(EXTRAS)}")


def score_extras(
    names: Sequence[str], hypotheses: Texts, references: Texts
) -> tuple[dict[str, float], list[str]]:
    """Scores of the named extras, and one line for each that cannot run.

    Raises:
        OptionError: a name that is none of `EXTRAS`.
        DataError: the two lists differ in length.
    """
    check_pairs(hypotheses, references)
    check_extras(names)
    scores: dict[str, float] = {}
    missing: list[str] = []
    for name in names:
        try:
            scores |= EXTRAS[name](hypotheses, references)
        except MissingExtraError as error:
            missing.append(str(error))
    return scores, missing
