"""Every file of conf/ composes, and what it names can be built."""

from __future__ import annotations

import re
import runpy
from dataclasses import fields
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from xray_report.data.dataset import TextOptions
from xray_report.data.study import StudySource
from xray_report.errors import WeightsError
from xray_report.models.decoders.build import build_decoder
from xray_report.models.embedding import WordEmbedding
from xray_report.models.encoders.load import SHARED, check_encoder, own_options
from xray_report.models.encoders.protocol import ENCODERS
from xray_report.models.maps import MapShape
from xray_report.text.cleaning import Cleaner
from xray_report.tokens import WORD_TOKENS
from xray_report.training.rewards import PARTS, self_critical_options

CONF = Path(__file__).parents[1] / "conf"


def composed(script: str, *overrides: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(script, [*overrides, "paths.output_dir=unused"])


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("model", choices("model"))
@pytest.mark.parametrize("data", choices("data"))
def test_every_data_set_composes_with_every_model(model: str, data: str) -> None:
    config = composed("train", f"model={model}", f"data={data}")
    assert get_class(config.data._target_)


NEEDED = {
    "csv": ["data.table=t.csv", "data.columns.image=file"],
    "iu_xray": ["data.root=x"],
    "chexpert_plus": ["data.root=x"],
    "mimic_cxr": ["data.root=x"],
    "nih_chestxray14": ["data.root=x"],
    "phantom": [],
    "rexgradient": ["data.root=x"],
    "union": [
        "+data@data.sources.iu=iu_xray", "data.sources.iu.root=x",
        "+data@data.sources.nih=nih_chestxray14", "data.sources.nih.root=x",
    ],
}  # fmt: skip


@pytest.mark.parametrize("data", choices("data"))
def test_every_data_set_builds_from_its_file_and_its_options_reach_it(data: str) -> None:
    def source(*overrides: str) -> StudySource:
        config = composed("train", f"data={data}", *NEEDED[data], *overrides)
        built: StudySource = instantiate(config.data, _convert_="all")
        return built

    assert (source().target, source().strict) == ("findings", False)
    assert source("data.strict=true").strict
    with pytest.raises(InstantiationException, match=r"data\.strict must be true or false"):
        source("data.strict=maybe")
    if data != "nih_chestxray14":  # it has no reports
        assert source("data.target=impression").target == "impression"
        with pytest.raises(InstantiationException, match=r"data\.target must be one of findings"):
            source("data.target=history")


@pytest.mark.parametrize("program", ["train", "evaluate"])
def test_a_bug_of_what_is_built_is_told_as_it_is(program: str) -> None:
    """Hydra's own exception would be taken for a mistake of the user's, and lose its traceback."""
    built = runpy.run_path(str(CONF.parent / f"{program}.py"))["built"]
    with pytest.raises(ZeroDivisionError):
        built({"_target_": "operator.truediv", "_args_": [1, 0]})


@pytest.mark.parametrize("encoder", choices("encoder"))
def test_every_encoder_is_offered_with_all_its_options(encoder: str) -> None:
    config = composed("train", f"encoder={encoder}", "encoder.weights=x")
    options = OmegaConf.to_container(config.encoder)
    assert isinstance(options, dict)
    check_encoder(options)
    assert set(options) == {*SHARED, *own_options(encoder)}
    assert encoder in ENCODERS
    trained = composed("train", f"encoder={encoder}", "model=chexnet").encoder
    assert (trained.trainable, trained.weights) == (True, "random")


@pytest.mark.parametrize("text", choices("text"))
def test_every_text_is_offered_with_all_its_options(text: str) -> None:
    config = OmegaConf.to_container(composed("train", f"text={text}").text)
    assert isinstance(config, dict)
    if text == "subwords":
        with pytest.raises(WeightsError, match=r"there is no folder \?\?\?"):
            TextOptions(**config)
    else:
        TextOptions(**config)
    assert set(config["tokenizer"]["cleaner"]) == {field.name for field in fields(Cleaner)}


@pytest.mark.parametrize("training", choices("training"))
def test_every_training_is_offered_by_its_name_and_with_all_its_options(training: str) -> None:
    config = OmegaConf.to_container(composed("train", f"training={training}").training)
    assert isinstance(config, dict)
    assert config["name"] == training
    if training == "scst":
        self_critical_options({**config, "start": "x"})
        assert tuple(config["rewards"]) == PARTS


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_composes(experiment: str) -> None:
    data = ["data=iu_xray"] if experiment == "memorise" else []
    config = composed("train", f"experiment={experiment}", *data)
    assert config.model.kind in ("report", "chexnet")


@pytest.mark.parametrize(
    "override",
    ["model=attention", "model=encoder_decoder", "model=transformer", "experiment=original",
     "experiment=original_encoder_decoder"],
)  # fmt: skip
def test_every_report_model_builds_from_its_file(override: str) -> None:
    architecture = OmegaConf.to_container(composed("train", override).model.architecture)
    assert isinstance(architecture, dict)
    maps = MapShape(1024, 7, 7)
    assert build_decoder(architecture, WORD_TOKENS, WordEmbedding(20, 8), maps).maps == maps


@pytest.mark.parametrize("decode", choices("decode"))
def test_every_search_builds_from_its_file(decode: str) -> None:
    config = composed("evaluate", f"decode={decode}")
    assert callable(instantiate(config.decode, _convert_="all"))


@pytest.mark.parametrize("group", ["callbacks", "logger"])
def test_callbacks_and_loggers_build(group: str, tmp_path: Path) -> None:
    config = composed("train", f"paths.runs_dir={tmp_path}")
    config.paths.output_dir = str(tmp_path)
    node = config[group]
    nodes = [node] if "_target_" in node else list(node.values())
    assert all(instantiate(one, _convert_="all") is not None for one in nodes)


@pytest.mark.parametrize("script", ["train", "evaluate"])
def test_the_help_offers_what_the_program_takes_and_no_more(script: str) -> None:
    config = OmegaConf.load(CONF / f"{script}.yaml")
    assert isinstance(config, DictConfig)
    taken = [next(iter(one)) for one in config.defaults if one != "_self_"]
    words = config.hydra.help.template.partition("by GROUP=NAME:\n")[2].partition("\n\n")[0]
    offered: dict[str, str] = {}
    for line in words.splitlines():
        group, _, names = line.strip().partition("  ")
        if line.startswith("    "):  # goes on
            offered[list(offered)[-1]] += line
        else:
            offered[group] = names
    assert offered.keys() == set(taken)
    for group, names in offered.items():
        if (script, group) == ("evaluate", "data"):  # with the checkpoint's own
            names = names.replace("the checkpoint's own, or ", "")
        bare = re.sub(r"\([^)]*\)", "", names)
        assert sorted(name.strip() for name in bare.split(",")) == choices(group)


def test_loggers_are_known_by_name(tmp_path: Path) -> None:
    folder = f"paths.runs_dir={tmp_path}"
    assert OmegaConf.to_container(composed("train", "logger=none", folder).logger) == {}
    node = composed("train", "logger=csv", folder).logger
    node.folder = str(tmp_path)
    logger = instantiate(node)
    logger.log_metrics({"x": 1.0}, 3)
    logger.save()
    assert (tmp_path / "csv" / "metrics.csv").read_text().splitlines() == ["step,x", "3,1.0"]
    assert Path(instantiate(node).log_dir).name == "csv_1"  # nothing is overwritten


def test_beam_width_belongs_to_beam_search_alone() -> None:
    assert composed("evaluate", "decode=beam", "beam_width=7").decode.beam_width == 7
    with pytest.raises(ConfigCompositionException, match="beam_width"):
        composed("evaluate", "decode=greedy", "beam_width=5")


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ConfigCompositionException):
        composed("train", "model.no_such_option=1")
