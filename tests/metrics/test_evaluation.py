from __future__ import annotations

import random

import pytest
from rich.console import Console

from tests.metrics.conftest import Corpus
from xray_report.errors import DataError
from xray_report.metrics.diagnostics import verdicts
from xray_report.metrics.evaluation import evaluate_texts
from xray_report.metrics.files import ReportRecord, merge_records
from xray_report.metrics.protocols import R2GEN, score
from xray_report.metrics.table import baseline_names, print_metrics

STUDIES = 120


def evaluate(
    written: Corpus, hypotheses: list[str], order: list[int] | None = None
) -> dict[str, float]:
    order = list(range(STUDIES)) if order is None else order
    return evaluate_texts(
        [written.test_ids[i] for i in order],
        [hypotheses[i] for i in order],
        [written.test[i] for i in order],
        train_texts=written.train,
        val_texts=written.val,
        views=[1 + i % 2 for i in order],
        labels=[{"No Finding": float(i % 3 == 0)} for i in order],
        vocabulary_words=["heart", "lungs", "zebra"],
        resamples=100,
    )


@pytest.fixture(scope="module")
def good(written: Corpus) -> dict[str, float]:
    """A system that copies two references of three and writes another report for the third."""
    told = [written.generated[i] if i % 3 == 0 else text for i, text in enumerate(written.test)]
    return evaluate(written, told)


def test_all_families_are_there(good: dict[str, float]) -> None:
    for key in (
        "clean/bleu4",
        "clean/bleu4_low",
        "r2gen/cider_high",
        "original/bleu3",
        "findings/micro_f1",
        "findings/micro_f1_low",
        "findings/edema/f1",
        "facts/f1",
        "collapse/distinct_reports",
        "collapse/copied_share",
        "collapse/vocabulary_share",
        "prior/rate",
        "prior/reference_rate",
        "strata/abnormal/clean/bleu4",
        "strata/one_view/studies",
        "strata/novel_reference/findings/micro_f1",
        "shuffled/clean/bleu4",
        "reliance/clean/bleu4_low",
        "baseline/constant/clean/bleu4",
        "baseline/most_frequent/r2gen/bleu4_high",
        "baseline/random/facts/f1",
        "versus_constant/clean/bleu4",
    ):
        assert key in good
    assert good["studies"] == STUDIES
    assert good["strata/normal/studies"] == STUDIES / 3
    assert good["collapse/vocabulary_share"] == pytest.approx(2 / 3)


def test_numbers_agree_with_scoring_alone(written: Corpus, good: dict[str, float]) -> None:
    told = [written.generated[i] if i % 3 == 0 else text for i, text in enumerate(written.test)]
    alone = score(told[:STUDIES], written.test[:STUDIES], train_texts=written.train)
    assert {key: good[key] for key in alone} == pytest.approx(alone)
    assert good["reliance/clean/bleu4"] == pytest.approx(
        good["clean/bleu4"] - good["shuffled/clean/bleu4"]
    )
    assert good["versus_constant/clean/cider"] == pytest.approx(
        good["clean/cider"] - good["baseline/constant/clean/cider"]
    )


def test_every_interval_holds_its_value(good: dict[str, float]) -> None:
    lows = [key for key in good if key.endswith("_low")]
    assert len(lows) > 100
    for low in lows:
        key = low.removesuffix("_low")
        assert good[low] <= good[key] <= good[f"{key}_high"], key


def test_order_of_studies_changes_nothing_at_all(written: Corpus, good: dict[str, float]) -> None:
    told = [written.generated[i] if i % 3 == 0 else text for i, text in enumerate(written.test)]
    order = list(range(STUDIES))
    random.Random(5).shuffle(order)
    assert evaluate(written, told, order) == good


def test_two_processes_give_the_numbers_of_one(written: Corpus) -> None:
    rows = zip(written.test_ids[:41], written.test, written.generated, strict=False)
    whole = [ReportRecord(study, reference, told) for study, reference, told in rows]
    gathered = merge_records([[*whole[0::2]], [*whole[1::2], whole[0]]])

    def scored(records: list[ReportRecord]) -> dict[str, float]:
        ids, references, told = zip(
            *((r.study_id, r.reference, r.hypothesis) for r in records), strict=True
        )
        return evaluate_texts(ids, told, references, resamples=50)

    assert scored(gathered) == scored(whole)


def test_a_good_system_gets_no_warning(good: dict[str, float]) -> None:
    assert verdicts(good) == {}


def test_a_constant_is_called_collapsed_blind_and_no_better(written: Corpus) -> None:
    found = evaluate(written, ["The lungs are clear. The heart is normal."] * STUDIES)
    assert list(verdicts(found)) == ["collapsed", "image_blind", "not_better_than_constant"]
    assert found["reliance/clean/bleu4"] == 0


def test_reports_of_other_studies_are_called_blind(written: Corpus) -> None:
    found = evaluate(written, written.train[100:])
    assert "image_blind" in verdicts(found)


def test_a_single_protocol_still_warns(written: Corpus) -> None:
    found = evaluate_texts(
        written.test_ids,
        ["The lungs are clear."] * 200,
        written.test,
        train_texts=written.train,
        val_texts=written.val,
        protocols=[R2GEN],
        resamples=50,
    )
    assert list(verdicts(found)) == ["collapsed", "image_blind", "not_better_than_constant"]
    assert not any("clean/" in key for key in found)


def test_every_class_says_how_many_studies_have_it(written: Corpus, good: dict[str, float]) -> None:
    enlarged = sum("cardiomegaly" in t or "enlarged" in t for t in written.test[:STUDIES])
    assert good["findings/cardiomegaly/studies"] == enlarged
    assert good["findings/pneumonia/studies"] == 0


def test_further_baselines_follow_the_studies(written: Corpus) -> None:
    ids, texts = written.test_ids[:20][::-1], written.test[:20][::-1]
    found = evaluate_texts(
        ids, written.generated[:20], texts, baselines={"nearest": texts}, resamples=20
    )
    assert found["baseline/nearest/clean/bleu4"] == pytest.approx(1.0)
    assert baseline_names(found) == ["nearest"]


def test_without_labels_the_references_are_read() -> None:
    found = evaluate_texts(
        ["a", "b"],
        ["Clear lungs.", "Clear lungs."],
        ["The lungs are clear.", "Large left pleural effusion."],
        resamples=10,
    )
    assert found["strata/normal/studies"] == found["strata/abnormal/studies"] == 1
    assert not any(key.startswith(("r2gen/", "baseline/")) for key in found)


@pytest.mark.parametrize("labels", [[None, {}], [{"Edema": 0.0}, {"No Finding": float("nan")}]])
def test_labels_that_do_not_say_leave_it_to_the_references(
    labels: list[dict[str, float] | None],
) -> None:
    texts = ["The lungs are clear.", "Large left pleural effusion."]
    found = evaluate_texts(["a", "b"], texts, texts, labels=labels, resamples=10)
    assert found["strata/normal/studies"] == found["strata/abnormal/studies"] == 1


def test_a_stratum_without_facts_has_no_fact_score() -> None:
    texts = ["The lungs are clear.", "Large left pleural effusion."]
    found = evaluate_texts(["a", "b"], texts, texts, resamples=10)
    assert found["strata/abnormal/facts/f1"] == 1
    assert "strata/normal/facts/f1" not in found
    assert found["strata/normal/clean/bleu1"] == 1
    # But what is invented counts.
    found = evaluate_texts(["a", "b"], texts[1:] * 2, texts, resamples=10)
    assert found["strata/normal/facts/f1"] == 0


def test_a_sentence_score_of_zero_stays_in_its_stratum() -> None:
    texts = ["The lungs are clear.", "Large left pleural effusion."]
    found = evaluate_texts(["a", "b"], ["x"] * 2, texts, resamples=10)
    assert found["strata/normal/original/bleu1"] == 0


def test_reliance_can_be_left_out(written: Corpus) -> None:
    told = [written.train[0]] * 20
    found = evaluate_texts(
        written.test_ids[:20], told, written.test[:20], reliance=False, resamples=10
    )
    assert not any(key.startswith(("shuffled/", "reliance/")) for key in found)
    assert "image_blind" not in verdicts(found)


def test_bad_calls_are_refused() -> None:
    with pytest.raises(DataError, match="no studies"):
        evaluate_texts([], [], [])
    with pytest.raises(DataError, match="1 study ids, 2 hypotheses and 2 references"):
        evaluate_texts(["a"], ["x", "y"], ["x", "y"])
    with pytest.raises(DataError, match="'a' stands more than once"):
        evaluate_texts(["a", "a"], ["x", "y"], ["x", "y"])


def test_tables_show_the_model_beside_the_constant(good: dict[str, float]) -> None:
    console = Console(width=100, record=True, force_terminal=False)
    with console.capture() as captured:
        print_metrics(good, "attention, greedy", console)
    shown = captured.get()
    for text in ("clean: corpus scores", "r2gen: R2Gen's", "nrefs:1|case:lc", "attention, greedy"):
        assert text in shown
    assert f"{good['baseline/constant/clean/bleu4']:.3f}" in shown
    assert f"{good['clean/bleu4_low']:.3f}".removeprefix("0") in shown
    assert "120 studies" in shown
