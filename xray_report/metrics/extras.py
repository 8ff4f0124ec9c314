"""Scores that need optional packages, computed by the packages that own them.

Each scorer takes N hypotheses and N references and returns flat scores; where it cannot run it
raises `MissingExtraError` with the one thing that is missing.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from xray_report.errors import MissingExtraError, OptionError, one_line
from xray_report.metrics.protocols import clean_tokens, ptb_tokens
from xray_report.metrics.study_scores import check_pairs

Texts = Sequence[str]


def check_extras(names: Sequence[str]) -> None:
    """Raise `OptionError` for a name that is none of `EXTRAS`, `MissingExtraError` without package.

    What only its use can tell, such as weights that cannot be fetched, is not found here.
    """
    for name in names:
        if name not in EXTRAS:
            raise OptionError(f"unknown extra score {name!r}; choose from {', '.join(EXTRAS)}")
    for name in names:
        if importlib.util.find_spec(PACKAGES[name][0]) is None:
            raise MissingExtraError(_needs(name))


def _needs(name: str) -> str:
    package, extra = PACKAGES[name]
    return f"{name} needs the package {package}: pip install 'xray-report[{extra}]'"


def score_extras(
    names: Sequence[str], hypotheses: Texts, references: Texts
) -> tuple[dict[str, float], list[str]]:
    """Scores of the named extras, and one line for each that cannot run.

    Raises:
        OptionError, MissingExtraError: as of `check_extras`.
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


def meteor_nltk(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """Mean of nltk's METEOR (2005 parameters) on the tokens of protocol `clean`.

    Another metric than the Java METEOR 1.5 that papers print: see `meteor`.
    """
    module = _package("nltk.translate.meteor_score", "meteor_nltk")
    pairs = zip(hypotheses, references, strict=True)
    try:
        values = [module.single_meteor_score(_words(r), _words(h)) for h, r in pairs]
    except LookupError as error:
        raise MissingExtraError(
            "METEOR of nltk needs WordNet: python -m nltk.downloader wordnet"
        ) from error
    return {"meteor_nltk/meteor": float(np.mean(values))}


def _words(text: str) -> list[str]:
    return clean_tokens(text).split()


def meteor(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """METEOR 1.5 by pycocoevalcap's Java program on the tokens of `ptb`, as papers print it."""
    module = _package("pycocoevalcap.meteor.meteor", "meteor")
    if shutil.which("java") is None:
        raise MissingExtraError("METEOR needs Java: install a Java runtime (java on the PATH)")
    truth = {i: [ptb_tokens(text)] for i, text in enumerate(references)}
    written = {i: [ptb_tokens(text)] for i, text in enumerate(hypotheses)}
    try:
        value, _ = module.Meteor().compute_score(truth, written)
    except (OSError, ValueError) as error:
        raise MissingExtraError(f"METEOR's Java program did not answer: {error}") from error
    return {"meteor/meteor": float(value)}


def _radeval(name: str, metric: str, hypotheses: Texts, references: Texts) -> Mapping[str, Any]:
    """What RadEval 2 (Xu et al. 2025, github.com/jbdel/RadEval) says of raw texts, by its keys.

    Its weights come from huggingface.co when first used; each metric fails in its own way without.
    """
    module = _package("radeval", name)
    try:
        score = module.RadEval(metrics=[metric], show_progress=False)
        found: Mapping[str, Any] = score(refs=list(references), hyps=list(hypotheses))
    except Exception as error:
        raise MissingExtraError(
            f"{name} could not run; its weights come from huggingface.co when first used "
            f"({one_line(error)})"
        ) from error
    return found


def bertscore(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """Mean F1 of BERTScore (Zhang et al. 2020) as RadEval has it: DistilBERT, layer 5, rescaled.

    Other models give other numbers.
    """
    found = _radeval("bertscore", "bertscore", hypotheses, references)
    return {"bertscore/f1": float(found["bertscore"])}


def chexbert(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """Micro and macro F1 of CheXbert's labels (Smit et al. 2020), 14 and 5 classes."""
    found = _radeval("chexbert", "f1chexbert", hypotheses, references)
    return {
        f"chexbert/{kind}_f1_{classes}": float(found[f"f1chexbert_{name}_{kind}_f1"])
        for classes, name in ((14, "all"), (5, "5"))
        for kind in ("micro", "macro")
    }


def radgraph(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """RadGraph-F1 (Delbrouck et al. 2022), radgraph-xl, three reward levels."""
    found = _radeval("radgraph", "radgraph", hypotheses, references)
    levels = ("simple", "partial", "complete")
    return {f"radgraph/{name}": float(found[f"radgraph_{name}"]) for name in levels}


def radcliq(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """Mean of RadCliQ-v1 (Yu et al. 2023), by which ReXrank ranks: the lower, the better."""
    found = _radeval("radcliq", "radcliq", hypotheses, references)
    return {"radcliq/v1": float(found["radcliq_v1"])}


def ratescore(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """Mean of RaTEScore (Zhao et al. 2024)."""
    found = _radeval("ratescore", "ratescore", hypotheses, references)
    return {"ratescore/ratescore": float(found["ratescore"])}


def green(hypotheses: Texts, references: Texts) -> dict[str, float]:
    """Mean of GREEN (Ostmeier et al. 2024), read by a language model of 7 billion parameters."""
    found = _radeval("green", "green", hypotheses, references)
    return {"green/green": float(found["green"])}


def _package(module: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(_needs(name)) from error


EXTRAS: Mapping[str, Callable[[Texts, Texts], dict[str, float]]] = {
    "meteor": meteor,
    "meteor_nltk": meteor_nltk,
    "bertscore": bertscore,
    "chexbert": chexbert,
    "radgraph": radgraph,
    "radcliq": radcliq,
    "ratescore": ratescore,
    "green": green,
}
PACKAGES = {
    "meteor": ("pycocoevalcap", "meteor-java"),
    "meteor_nltk": ("nltk", "meteor"),
    **dict.fromkeys(
        ("bertscore", "chexbert", "radgraph", "radcliq", "ratescore", "green"),
        ("radeval", "radeval"),
    ),
}
"""What each needs, and the extra of this package that brings it."""
