"""Each option in each file of conf/decode changes what is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tests.inference.tables import TableModel, features_of, spelled
from xray_report.text.words import SPECIAL_WORDS

CONF = Path(__file__).parents[2] / "conf"
WORDS = (*SPECIAL_WORDS, *"abcdefgh")
COMMON = {
    "max_length": "max_length=4",
    "min_length": "decode.min_length=7",
    "no_repeat_ngram": "decode.no_repeat_ngram=1",
    "repetition_penalty": "decode.repetition_penalty=3",
    "banned_words": "decode.banned_words=[b]",
    "forced_words": "decode.forced_words=[c]",
    "return_attention": "decode.return_attention=true",
}
BEAM = COMMON | {
    "beam_width": "beam_width=2",
    "n_best": "n_best=2",
    "length_penalty": "decode.length_penalty=0",
    "length_penalty_kind": "decode.length_penalty_kind=gnmt",
}
CHANGES = {
    "greedy": COMMON,
    "beam": BEAM,
    "diverse_beam": BEAM | {"beam_width": "beam_width=3", "groups": "groups=6",
                            "diversity": "diversity=4"},
    "sample": COMMON | {
        "temperature": "temperature=0.3",
        "top_k": "top_k=1",
        "top_p": "top_p=0.2",
        "n_samples": "n_samples=2",
        "seed": "sample_seed=1",
    },
    "consensus": COMMON | {
        "candidates": "candidates=beam",
        "n_candidates": "n_candidates=5",
        "temperature": "temperature=0.3",
        "top_k": "top_k=1",
        "top_p": "top_p=0.2",
        "seed": "sample_seed=1",
        "utility": "decode.utility={bleu: 0, ngrams: 0, facts: 1}",
        "findings_beta": "decode.findings_beta=3",
        "length_reward": "decode.length_reward=0.1",
    },
}  # fmt: skip

PRESETS = {"among_reports": "consensus"}
"""Files that give options of another file other values, and that file."""


def search_of(*overrides: str) -> tuple[dict[str, Any], Any]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("evaluate", [*overrides, "paths.output_dir=unused"])
    plain = OmegaConf.to_container(config.decode, resolve=True)
    assert isinstance(plain, dict)
    return plain, instantiate(config.decode, _convert_="all").resolve(WORDS, 80, spelled)


def decoded(search: Any) -> Any:
    return search(TableModel(studies=40, words=12, seed=5), *features_of([*range(40)]))


def test_every_file_is_here() -> None:
    files = {path.stem for path in (CONF / "decode").glob("*.yaml")}
    assert files == {*CHANGES, *PRESETS}


@pytest.mark.parametrize(("name", "base"), PRESETS.items())
def test_a_preset_has_the_options_of_its_base_and_takes_changes_as_that_does(
    name: str, base: str
) -> None:
    (plain, search), (theirs, other) = search_of(f"decode={name}"), search_of(f"decode={base}")
    assert plain.keys() == theirs.keys()
    assert type(search) is type(other)
    assert search != other
    for option, change in CHANGES[base].items():
        given = [f"decode={name}", change]
        if option == "candidates":
            given += ["temperature=0.7"]  # of samples alone
        changed, _ = search_of(*given)
        assert changed[option] != plain[option]


@pytest.mark.parametrize("name", CHANGES)
def test_every_option_of_the_file_is_here_and_every_option_of_the_search_in_the_file(name) -> None:
    plain, search = search_of(f"decode={name}")
    assert set(plain) - {"_target_"} == set(CHANGES[name])
    assert set(vars(search)) - {"banned_ids", "forced_ids", "to_text", "reports"} == set(
        CHANGES[name]
    )


@pytest.mark.parametrize(("name", "option"), [(n, o) for n in CHANGES for o in CHANGES[n]])
def test_the_option_changes_the_output(name: str, option: str) -> None:
    _, plain = search_of(f"decode={name}")
    _, changed = search_of(f"decode={name}", CHANGES[name][option])
    assert decoded(changed) != decoded(plain)


def test_a_utility_is_named_or_weighed_on_the_command_line() -> None:
    _, named = search_of("decode=consensus", "decode.utility=bleu")
    assert named.weights == {"bleu": 1}
    _, weighed = search_of("decode=consensus", "decode.utility.findings=0.5")
    assert weighed.weights == {
        "bleu": 1, "ngrams": 1, "findings": 0.5, "facts": 0, "verdicts": 0
    }  # fmt: skip
