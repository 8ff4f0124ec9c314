"""Pretrained decoders: what they take from a folder, and that it is transformers' own network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.decoders.small import MAPS, SPECIAL, batch
from xray_report.errors import OptionError, WeightsError
from xray_report.models.decoders.build import build_decoder, portable
from xray_report.models.decoders.pretrained import PretrainedDecoder, is_new
from xray_report.models.embedding import WordEmbedding

transformers = pytest.importorskip("transformers")

FAMILIES = ("gpt2", "bert")


def saved(folder: Path, family: str) -> tuple[Path, Any]:
    """A folder of a small language model of transformers, and the model."""
    torch.manual_seed(0)
    if family == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=11, n_embd=8, n_layer=2, n_head=2, n_positions=20, bos_token_id=7,
            eos_token_id=1,
        )  # fmt: skip
        model = transformers.GPT2LMHeadModel(config)
    else:
        config = transformers.BertConfig(
            vocab_size=11, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=12, max_position_embeddings=20, is_decoder=True,
        )  # fmt: skip
        model = transformers.BertLMHeadModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return folder, model.eval()


def built(folder: Path, family: str, **options: Any) -> PretrainedDecoder:
    architecture = {"name": family, "folder": str(folder), **options}
    decoder = build_decoder(architecture, SPECIAL, WordEmbedding(11, 8), MAPS)
    assert isinstance(decoder, PretrainedDecoder)
    return decoder


def test_without_cross_attention_it_says_what_the_language_model_says(tmp_path: Path) -> None:
    folder, model = saved(tmp_path, "gpt2")  # BERT's cross-attention ends in a norm of its own
    decoder = built(folder, "gpt2").eval()
    with torch.no_grad():
        for name, weight in decoder.network.named_parameters():
            if is_new(name) and "c_proj" in name:
                weight.zero_()  # nothing is added by what is new
    features, view_mask, tokens = batch([3, 5, 2])
    words = model.get_input_embeddings()(tokens[:, :-1])
    expected = model.transformer(inputs_embeds=words).last_hidden_state
    decoder.embedding = WordEmbedding(11, 8, model.get_input_embeddings().weight.detach())
    logits = decoder(features.float(), view_mask, tokens)
    torch.testing.assert_close(logits, expected @ decoder.embedding.rows().T)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_of_the_folder_arrives(tmp_path: Path, family: str) -> None:
    folder, _ = saved(tmp_path, family)
    decoder = built(folder, family)
    stored = load_file(folder / "model.safetensors")
    names = {name.removeprefix(f"{decoder.prefix}."): one for name, one in stored.items()}
    state = decoder.network.state_dict()
    taken = [name for name in state if not is_new(name)]
    assert len(taken) > 10
    assert all(torch.equal(state[name], names[name]) for name in taken)


def test_cross_attention_that_the_folder_has_is_taken(tmp_path: Path) -> None:
    config = transformers.GPT2Config(
        vocab_size=11, n_embd=8, n_layer=1, n_head=2, n_positions=20, add_cross_attention=True
    )
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    state, theirs = built(tmp_path, "gpt2").network.state_dict(), model.transformer.state_dict()
    new = [name for name in state if is_new(name)]
    assert new
    assert all(torch.equal(state[name], theirs[name]) for name in new)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_needs_no_folder(tmp_path: Path, family: str) -> None:
    folder, _ = saved(tmp_path, family)
    decoder = built(folder, family, trained="new")
    plain = portable({"name": family, "folder": str(folder), "trained": "new"})
    assert json.loads(json.dumps(plain)) == plain
    assert "folder" not in plain
    for file in folder.iterdir():
        file.unlink()
    again = build_decoder(plain, SPECIAL, WordEmbedding(11, 8), MAPS).eval()
    assert portable(plain) == plain
    again.load_state_dict(decoder.state_dict())
    given = batch([3, 2])
    given = (given[0].float(), *given[1:])
    assert torch.equal(again(*given), decoder.eval()(*given))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("trained", ["all", "new"])
def test_what_is_trained(tmp_path: Path, family: str, trained: str) -> None:
    decoder = built(saved(tmp_path, family)[0], family, trained=trained).train()
    features, view_mask, tokens = batch([3, 2])
    decoder(features.float(), view_mask, tokens).sum().backward()
    for name, weight in decoder.network.named_parameters():
        assert weight.requires_grad == (trained == "all" or is_new(name))
        assert weight.grad is None or weight.requires_grad
    assert decoder.word_bias.grad is not None


def test_it_keeps_what_a_folder_of_ours_has_seen(tmp_path: Path) -> None:
    folder, _ = saved(tmp_path, "gpt2")
    assert built(folder, "gpt2").seen == {}
    config = json.loads((folder / "config.json").read_text())
    seen = {"trained_on": ["iu_xray"], "studies": {"iu_xray": ["1", "2"]}}
    (folder / "config.json").write_text(json.dumps({**config, "xray_report": seen}))
    assert built(folder, "gpt2").seen == {"weights": str(folder), **seen}


def test_a_report_longer_than_the_positions_is_refused(tmp_path: Path) -> None:
    decoder = built(saved(tmp_path, "gpt2")[0], "gpt2")
    features, view_mask, tokens = batch([20])
    with pytest.raises(OptionError, match="a report of 21 tokens is longer than the 20"):
        decoder(features.float(), view_mask, tokens)


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"model\.architecture\.folder: there is no folder"):
        built(tmp_path / "none", "gpt2")
    folder, _ = saved(tmp_path, "gpt2")
    with pytest.raises(WeightsError, match="model_type 'gpt2', model=bert needs 'bert'"):
        built(folder, "bert")
    tensors = load_file(folder / "model.safetensors")
    name = "transformer.h.1.mlp.c_fc.weight"
    for wrong, what in (
        ({name: torch.ones(2)}, r"h\.1\.mlp\.c_fc\.weight has shape \[2\]"),
        ({name: torch.full_like(tensors[name], torch.nan)}, "is not finite"),
    ):
        save_file({**tensors, **wrong}, folder / "model.safetensors")
        with pytest.raises(WeightsError, match=what):
            built(folder, "gpt2")
    del tensors[name]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"has no tensor h\.1\.mlp"):
        built(folder, "gpt2")
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(WeightsError, match="cannot be read"):
        built(folder, "gpt2")
    (folder / "config.json").write_text("[")
    with pytest.raises(WeightsError, match=r"config\.json cannot be read"):
        built(folder, "gpt2")
