from __future__ import annotations

import importlib.util
import shutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest

from xray_report.errors import DataError, MissingExtraError, OptionError
from xray_report.metrics import extras
from xray_report.metrics.extras import EXTRAS, PACKAGES, check_extras, score_extras


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_package_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, extra = PACKAGES[name]
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError) as caught:
        check_extras([name])
    said = f"{name} needs the package {package}: pip install 'xray-report[{extra}]'"
    assert str(caught.value) == said
    with pytest.raises(MissingExtraError, match="pip install"):  # found, and yet not imported
        EXTRAS[name](["heart"], ["heart"])


def test_every_extra_named_to_the_user_is_one_of_the_package() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    lines = project.read_text(encoding="utf-8").splitlines()
    for package, extra in PACKAGES.values():
        (line,) = [one for one in lines if one.startswith(f"{extra} = ")]
        assert package in line


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: object) -> None:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, name, module)


class RadEval:
    """As RadEval 2.2 answers, by its metrics' adapters: keys and meaning, not the numbers."""

    ANSWERS: ClassVar[dict[str, dict[str, float]]] = {
        "bertscore": {"bertscore": 0.1},
        "f1chexbert": {
            f"f1chexbert_{classes}_{kind}_f1": base + at
            for base, classes in ((0.2, "5"), (0.3, "all"))
            for at, kind in enumerate(("micro", "macro", "weighted"))
        },
        "radgraph": {"radgraph_simple": 0.4, "radgraph_partial": 0.5, "radgraph_complete": 0.6},
        "radcliq": {"radcliq_v1": -0.7},
        "ratescore": {"ratescore": 0.8},
        "green": {"green": 0.9},
    }

    def __init__(self, metrics: list[str], show_progress: bool = True) -> None:
        assert not show_progress
        (self.metric,) = metrics

    def __call__(self, refs: list[str], hyps: list[str]) -> dict[str, float]:
        assert (hyps, refs) == (["generated"], ["truth"])
        return self.ANSWERS[self.metric]


def test_weights_that_cannot_be_fetched_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("cannot reach huggingface.co\nsecond line")

    stand_in(monkeypatch, "radeval", RadEval=offline)
    scores, (line,) = score_extras(["green"], ["a"], ["a"])
    assert scores == {}
    assert line.startswith("green could not run")
    assert "cannot reach huggingface.co" in line
    assert "\n" not in line


def test_what_radeval_returns_is_read_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "radeval", RadEval=RadEval)
    names = [name for name, (package, _) in PACKAGES.items() if package == "radeval"]
    scores, missing = score_extras(names, ["generated"], ["truth"])
    assert missing == []
    assert scores == pytest.approx(
        {
            "bertscore/f1": 0.1,
            "chexbert/micro_f1_5": 0.2,
            "chexbert/macro_f1_5": 1.2,
            "chexbert/micro_f1_14": 0.3,
            "chexbert/macro_f1_14": 1.3,
            "radgraph/simple": 0.4,
            "radgraph/partial": 0.5,
            "radgraph/complete": 0.6,
            "radcliq/v1": -0.7,
            "ratescore/ratescore": 0.8,
            "green/green": 0.9,
        }
    )


def test_radeval_itself_gives_these_keys() -> None:
    """Against the package, where it is installed; no weights are needed for the names."""
    registry = pytest.importorskip("radeval.metrics._registry", reason="needs the extra radeval")
    for metric, answers in RadEval.ANSWERS.items():
        made = registry.get_metric_class(metric)
        keys = made.metric_keys(made.__new__(made))
        assert answers.keys() <= set(keys)


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
