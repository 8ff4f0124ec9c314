from __future__ import annotations

import shutil
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU

from tests.metrics.conftest import Corpus
from tests.metrics.corpora import pairs, quick, split
from xray_report.errors import DataError, OptionError
from xray_report.metrics.protocols import (
    CLEAN,
    ORIGINAL,
    PROTOCOLS,
    R2GEN,
    SACREBLEU,
    clean_tokens,
    original_tokens,
    prepare_pairs,
    protocol_scores,
    protocol_study_scores,
    protocols_by_name,
    ptb_tokens,
    r2gen_tokens,
    usable_protocols,
)
from xray_report.metrics.study_scores import intervals

RAW = (
    "1. The heart isn't enlarged (X-ray)... No effusion; 2. Lungs/pleura: clear, 1.5 cm <unk> seen."
)


def test_clean_keeps_full_stops_as_tokens() -> None:
    assert clean_tokens("Heart size is normal. No XXXX effusion.").split()[-1] == "."
    assert "." not in original_tokens("Heart size is normal. No effusion.")


def test_r2gen_cleans_as_published() -> None:
    assert r2gen_tokens(RAW) == (
        "the heart isnt enlarged x-ray . no effusion . lungspleura clear 15 cm <unk> seen ."
    )
    assert r2gen_tokens("Heart normal.\n") == "heart normal ."
    assert r2gen_tokens("  ") == ""


@pytest.mark.parametrize("text", [RAW, "Lungs clear. Heart normal", "no effusion ."])
def test_r2gen_leaves_its_own_output_alone(text: str) -> None:
    once = r2gen_tokens(text)
    assert r2gen_tokens(once) == once


def test_ptb_splits_as_the_java_tokenizer_and_drops_punctuation() -> None:
    assert ptb_tokens("Can't see \"it\"; Dr. Roe's 1.5-cm mass (left) cannot be 50%.") == (
        "ca n't see it dr. roe 's 1.5-cm mass -lrb- left -rrb- can not be 50 %"
    )


def test_ptb_equals_the_java_tokenizer_on_real_reports(real: Corpus) -> None:
    module = pytest.importorskip(
        "pycocoevalcap.tokenizer.ptbtokenizer", reason="pycocoevalcap is not installed"
    )
    if shutil.which("java") is None:
        pytest.skip("Java is not installed")
    captions = {i: [{"caption": text}] for i, text in enumerate(real.test)}
    expected = module.PTBTokenizer().tokenize(captions)
    for index, text in enumerate(real.test):
        assert ptb_tokens(text) == expected[index][0]


def test_references_are_cut_and_rare_words_unknown_in_r2gen_only() -> None:
    train = ["common word ."] * 3 + ["rare"] * 2
    reference = " ".join(["common", "rare"] * 40)
    _, (seen,) = prepare_pairs(R2GEN, ["rare"], [reference], train)
    assert seen.split() == (["common", "<unk>"] * 30)[:59]
    generated, _ = prepare_pairs(R2GEN, ["rare"], [reference], train)
    assert generated == ["rare ."]
    _, (whole,) = prepare_pairs(CLEAN, ["rare"], [reference], train)
    assert whole == reference


def test_r2gen_needs_training_reports() -> None:
    with pytest.raises(OptionError, match="r2gen needs the training reports"):
        protocol_scores(["a"], ["a"], [R2GEN])
    assert R2GEN not in usable_protocols(None)
    assert R2GEN in usable_protocols(["report"])


def test_sacrebleu_protocol_is_sacrebleus_score_on_raw_texts(corpus: Corpus) -> None:
    bleu = BLEU(tokenize="13a", lowercase=True, smooth_method="none", force=True)
    expected = bleu.corpus_score(corpus.generated, [corpus.test]).score / 100
    found = protocol_scores(corpus.generated, corpus.test, [SACREBLEU])
    assert found["sacrebleu/bleu4"] == pytest.approx(expected, abs=1e-9)
    assert str(bleu.get_signature()) in SACREBLEU.summary


def test_every_protocol_reports_its_own_keys() -> None:
    found = protocol_scores(["heart normal"], ["heart normal"], train_texts=["heart normal"])
    assert set(found) == {key for protocol in PROTOCOLS.values() for key in protocol.keys}
    assert "original/cider" not in found
    assert found["clean/bleu2"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_identity_scores_one_and_orders_fall(corpus: Corpus, name: str) -> None:
    protocol = PROTOCOLS[name]
    train = [*corpus.test] * 3  # no word is rare, so that r2gen changes nothing but the length
    same = protocol_scores(corpus.test[:100], corpus.test[:100], [protocol], train)
    if protocol is not R2GEN:
        assert same[f"{name}/bleu1"] == pytest.approx(1.0)
    if protocol not in (R2GEN, ORIGINAL):
        assert same[f"{name}/rouge_l"] == pytest.approx(1.0)
    found = protocol_scores(corpus.generated, corpus.test, [protocol], corpus.train)
    orders = [found[f"{name}/bleu{order}"] for order in range(1, 5)]
    assert orders == sorted(orders, reverse=True)
    assert 0 < orders[3] < orders[0] < 1


@quick
@given(pairs, st.randoms())
def test_order_of_studies_changes_nothing(rows: list[tuple[str, str]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    train = ["heart lungs clear"] * 3
    forwards = protocol_scores(*split(rows), train_texts=train)
    assert protocol_scores(*split(shuffled), train_texts=train) == pytest.approx(forwards)


def test_unknown_protocol_and_unequal_lists_are_refused() -> None:
    with pytest.raises(OptionError, match="unknown protocol 'coco'; choose from clean, r2gen"):
        protocols_by_name(["coco"])
    with pytest.raises(DataError, match="1 hypotheses but 2 references"):
        protocol_scores(["a"], ["a", "b"])


def test_three_thousand_reports_under_all_protocols_with_intervals(written: Corpus) -> None:
    references = written.test * 15
    hypotheses = [written.train[i * 7 % len(written.train)] for i in range(3000)]
    started = time.process_time()
    families = [
        protocol_study_scores(p, hypotheses, references, written.train) for p in PROTOCOLS.values()
    ]
    found = intervals(families)
    assert time.process_time() - started < 20
    assert len(found) == 2 * sum(len(protocol.keys) for protocol in PROTOCOLS.values())
