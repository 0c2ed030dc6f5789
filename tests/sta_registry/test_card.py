"""The model card and the acceptance: numbers that people decide by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builder.evaluation.records import Speed
from builder.metrics import evaluate, rare_precision
from builder.result import BuildResult, Evaluation
from sta_registry import judge, read_manifest, render_card
from sta_registry.acceptance import measures
from sta_registry.manifest import CARD_FILE
from topologies.errors import InputError


def evaluation(*confusion: tuple[int, ...]) -> Evaluation:
    """Judge answers with this confusion matrix of the classes a, b, …."""
    pairs = [
        (truth, answer)
        for truth, row in enumerate(confusion)
        for answer, count in enumerate(row)
        for _ in range(count)
    ]
    truth, answer = np.array(pairs).T
    return evaluate(truth, answer, tuple("abcdefgh"[: len(confusion)]))


def test_the_card_says_what_has_to_be_known(sta_folder: Path, result: BuildResult) -> None:
    card = (sta_folder / CARD_FILE).read_text(encoding="utf-8")
    assert card == render_card(read_manifest(sta_folder))
    headings = [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "Quality", "Confusion matrix", "Every family", "Data", "Inputs", "Limits", "How to use",
        "Made with",
    ]  # fmt: skip
    for score in result.test.classes:
        row = f"| `{score.label}` | {score.precision:.4f} | {score.recall:.4f} | {score.f1:.4f} |"
        assert row in card
    for label, counts in zip(result.test.labels, result.test.confusion, strict=True):
        assert f"| `{label}` | {' | '.join(map(str, counts))} |" in card
    for feature in result.features:
        assert f"`{feature.name}`" in card
    assert result.dataset_sha256 in card
    assert "gsta analyse --model kinds@champion" in card


def test_the_card_has_the_figure_of_an_unseen_topology(sta_folder: Path) -> None:
    manifest = read_manifest(sta_folder)
    judged = evaluation((30, 10), (0, 60))
    quality = manifest.quality.model_copy(update={"unseen": judged})
    card = render_card(manifest.model_copy(update={"quality": quality}))
    section = card.partition("## Unseen topology")[2].partition("##")[0]
    assert f"macro-F1 **{judged.f1_macro:.4f}**" in section
    assert "| `a` | 1.0000 | 0.7500 | 0.8571 | 40 |" in section


def test_precision_where_the_class_is_rare() -> None:
    # Recall 0.9, 20 false alarms in 10,000 others: 0.0009 / (0.0009 + 0.002 * 0.999).
    judged = evaluation((90, 10), (20, 9_980))
    assert rare_precision(judged, 0, one_in=1000) == pytest.approx(0.0009 / (0.0009 + 0.001998))


def test_no_false_alarm_seen_is_taken_for_three() -> None:
    judged = evaluation((100, 0), (0, 10_000))
    assert rare_precision(judged, 0, one_in=1000) == pytest.approx(0.001 / (0.001 + 0.0003 * 0.999))


def test_a_class_without_flows_has_no_precision() -> None:
    judged = evaluation((0, 0, 0), (1, 5, 0), (0, 0, 5))
    assert rare_precision(judged, 0, one_in=1000) is None


def test_a_bar_is_met_when_it_is_reached() -> None:
    judged = evaluation((3, 1), (0, 4))
    checks = judge(judged, {"accuracy": 0.875, "recall:a": 0.76, "precision:a": 1.0})
    assert [(check.metric, check.measured, check.met) for check in checks] == [
        ("accuracy", 0.875, True),
        ("recall:a", 0.75, False),
        ("precision:a", 1.0, True),
    ]
    assert str(checks[1]) == "recall:a 0.7500 < 0.76"


def test_cost_is_a_bar_from_above() -> None:
    judged, speed = evaluation((3, 1), (0, 4)), Speed(150.0, 2.5, 0.75)
    asked = {"latency_us_per_flow": 200, "size_mb": 0.5, "f1_macro": 0.5}
    checks = judge(judged, asked, speed=speed)
    assert [check.met for check in checks] == [True, False, True]
    assert [str(check) for check in checks[:2]] == [
        "latency_us_per_flow 150 ≤ 200",
        "size_mb 0.75 > 0.5",
    ]


def test_the_card_shows_every_family_with_its_interval(
    sta_folder: Path, result: BuildResult
) -> None:
    card = (sta_folder / CARD_FILE).read_text(encoding="utf-8")
    section = card.partition("## Every family")[2].partition("##")[0]
    assert result.findings is not None
    assert {"random_forest", "majority"} <= {one.family for one in result.findings.families}
    for one in result.findings.families:
        name = f"**`{one.family}`**" if one.winner else f"`{one.family}`"
        figures = f"{one.f1_macro:.4f} | {one.interval.low:.4f} to {one.interval.high:.4f}"
        tried = f"{one.tried} | {one.in_full} | {one.validation_score:.4f}"
        assert f"| {name} | {tried} | {figures} |" in section


def test_unknown_bars_are_all_named() -> None:
    judged = evaluation((1, 0), (0, 1))
    with pytest.raises(InputError) as refused:
        judge(judged, {"f1_macro": 0.5, "speed": 1, "recall:z": 1})
    assert [problem.got for problem in refused.value.problems] == ["'speed'", "'recall:z'"]
    assert all("recall:b" in problem.expected for problem in refused.value.problems)


def test_measures_agree_with_the_evaluation() -> None:
    judged = evaluation((5, 1, 0), (2, 7, 1), (0, 0, 3))
    found = measures(judged)
    assert found["f1_macro"] == pytest.approx(judged.f1_macro)
    assert found["accuracy"] == pytest.approx(judged.accuracy)
    assert found["f1:b"] == judged.classes[1].f1
