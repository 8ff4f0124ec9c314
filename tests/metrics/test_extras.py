from __future__ import annotations

import importlib.util
import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from xray_report.errors import DataError, MissingExtraError, OptionError
from xray_report.metrics import extras
from xray_report.metrics.extras import EXTRAS, score_extras

PACKAGES = {
    "meteor": "pycocoevalcap",
    "meteor_nltk": "nltk",
    "bertscore": "bert_score",
    "chexbert": "f1chexbert",
    "radgraph": "radgraph",
}


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_package_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [m for m in sys.modules if m.split(".")[0] == PACKAGES[name]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    scores, missing = score_extras([name], ["heart"], ["heart"])
    assert scores == {}
    (line,) = missing
    assert "\n" not in line
    assert f"needs the package {PACKAGES[name]}: pip install 'xray-report[" in line


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: object) -> None:
    module = ModuleType(name)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("cannot reach huggingface.co\nsecond line")

    stand_in(monkeypatch, "bert_score", score=offline)
    with pytest.raises(MissingExtraError, match="BERTScore could not run") as caught:
        extras.bertscore(["a"], ["a"])
    assert "cannot reach huggingface.co" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_packages_return_is_read_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    def bert(cands: list[str], refs: list[str], **_: object) -> tuple[torch.Tensor, ...]:
        assert (cands, refs) == (["generated"], ["truth"])
        return torch.tensor([0.1]), torch.tensor([0.2]), torch.tensor([0.3])

    def labels(hyps: list[str], refs: list[str]) -> tuple[object, ...]:
        assert (hyps, refs) == (["generated"], ["truth"])
        tables = [
            {f"{kind} avg": {"f1-score": base + i} for i, kind in enumerate(("micro", "macro"))}
            for base in (0.1, 0.5)
        ]
        return 0.0, None, *tables

    def graph(refs: list[str], hyps: list[str]) -> tuple[object, ...]:
        assert (hyps, refs) == (["generated"], ["truth"])
        return (np.float64(0.1), np.float64(0.2), np.float64(0.3)), [], [], []

    stand_in(monkeypatch, "bert_score", score=bert)
    stand_in(monkeypatch, "f1chexbert", F1CheXbert=lambda: labels)
    stand_in(monkeypatch, "radgraph", F1RadGraph=lambda **_: graph)
    scores, missing = score_extras(["bertscore", "chexbert", "radgraph"], ["generated"], ["truth"])
    assert missing == []
    assert scores == pytest.approx(
        {
            "bertscore/precision": 0.1,
            "bertscore/recall": 0.2,
            "bertscore/f1": 0.3,
            "chexbert/micro_f1_14": 0.1,
            "chexbert/macro_f1_14": 1.1,
            "chexbert/micro_f1_5": 0.5,
            "chexbert/macro_f1_5": 1.5,
            "radgraph/simple": 0.1,
            "radgraph/partial": 0.2,
            "radgraph/complete": 0.3,
        }
    )


def test_nltk_without_wordnet_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def single_meteor_score(_reference: list[str], _hypothesis: list[str]) -> float:
        raise LookupError("Resource wordnet not found")

    stand_in(monkeypatch, "nltk")
    stand_in(monkeypatch, "nltk.translate")
    stand_in(monkeypatch, "nltk.translate.meteor_score", single_meteor_score=single_meteor_score)
    with pytest.raises(MissingExtraError, match=r"nltk\.downloader wordnet"):
        extras.meteor_nltk(["a"], ["a"])


def test_meteor_without_java_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras.importlib, "import_module", lambda _: SimpleNamespace())
    monkeypatch.setattr(extras.shutil, "which", lambda _: None)
    with pytest.raises(MissingExtraError, match="METEOR needs Java"):
        extras.meteor(["a"], ["a"])


@pytest.mark.slow
def test_meteor_of_itself_is_one() -> None:
    if importlib.util.find_spec("pycocoevalcap") is None or shutil.which("java") is None:
        pytest.skip("needs pycocoevalcap and Java")
    report = "The heart is normal in size and the lungs are clear."
    assert extras.meteor([report], [report])["meteor/meteor"] == pytest.approx(1.0, abs=0.01)


def test_unknown_names_and_unequal_lists_are_refused() -> None:
    with pytest.raises(OptionError, match="unknown extra score 'spice'; choose from meteor"):
        score_extras(["spice"], ["a"], ["a"])
    with pytest.raises(DataError):
        score_extras([], ["a"], [])
