"""One small build with everything on, and what came of it."""

from __future__ import annotations

import html.parser
import json
import re

import numpy as np
import pytest

from builder import BuildConfig, SerialRunner, build
from builder.config import Unknown
from builder.evaluation.importance import by_permutation, by_shapley, of_features, spread_rows
from builder.evaluation.shap_values import tree_contributions
from builder.families import families
from builder.families.base import Inputs, Target
from builder.preprocess import OneHot, Preprocessing
from builder.report import render_report

CONFIG = BuildConfig(
    trials=4,
    folds=2,
    seed=3,
    study_s=3000,
    unknown=Unknown(coverage=0.95),
    limits={"size_mb": 100},
)


@pytest.fixture(scope="module")
def result(write_once):
    folder = write_once(train_rows=300, test_rows=160, separation=1.2)
    return build(folder, CONFIG, runner=SerialRunner())


def test_every_family_is_shown_and_the_winner_is_the_best_in_validation(result):
    families_ = result.findings.families
    assert {"random_forest", "xgboost"} <= {one.family for one in families_}
    winner = next(one for one in families_ if one.winner)
    assert winner.trial == result.winner.number
    assert winner.f1_macro == result.test.f1_macro
    assert winner.speed == result.findings.speed
    for one in families_:
        assert one.interval.low <= one.f1_macro <= one.interval.high
        assert one.fits
        assert min(one.speed.latency_us_per_flow, one.speed.size_mb) > 0


def test_the_studies_found_what_the_data_were_made_of(result):
    found = result.findings
    assert found.validation.evaluation.flows == 300
    assert {one.group for one in found.ablation} == {"sizes", "timing", "flags", "rtt"}
    assert found.ablation[0].change <= found.ablation[-1].change
    assert sum(one.share for one in found.importance) == pytest.approx(1, abs=1e-3)
    ranks = [one.feature for one in found.importance]
    assert ranks[-1] == "s2c_iat_mean_ms"  # the one that says nothing
    assert [point.flows for point in found.learning] == sorted(p.flows for p in found.learning)
    assert len(found.learning) >= 3
    assert found.explained
    assert found.notes == ()


def test_unknown_flows_were_measured(result):
    open_set = result.findings.open_set
    assert open_set.coverage == result.novelty.coverage == 0.95
    assert 0.8 < open_set.test_coverage <= 1
    assert [one.label for one in open_set.left_out] == list(result.labels)
    assert sum(one.flows for one in open_set.left_out) == 300


def test_the_result_is_json(result):
    told = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert told["findings"]["test"]["evaluation"]["f1_macro"] == result.test.f1_macro
    assert told["calibration"]["method"] in {"none", "temperature", "isotonic"}


class Page(html.parser.HTMLParser):
    """Notes which elements are open, and what is fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_stands_alone_and_shows_every_part(result):
    text = render_report(result, name="kinds & co")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert not page.seen & {"script", "link", "img", "iframe"}
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} == set(re.findall(r'<section id="(\w+)"', text))
    assert {link[1:] for link in page.links} >= {
        "families", "trials", "curves", "calibration", "unknown", "learning", "importance",
        "ablation", "errors",
    }  # fmt: skip
    assert "kinds &amp; co" in text
    assert text.count("Trials as parallel coordinates") == 2
    for label in result.labels:
        assert f"<td>{label}</td>" in text
    for error in result.findings.errors[:40]:
        assert error.activity in text


def test_no_time_no_study(write_once):
    config = CONFIG.model_copy(update={"study_s": 0.0, "trials": 1, "unknown": None})
    folder = write_once(train_rows=300, test_rows=160, separation=1.2)
    result = build(folder, config, runner=SerialRunner())
    assert result.findings.importance == result.findings.ablation == result.findings.learning == ()
    assert result.novelty is None
    assert "Importance" not in render_report(result, name="quick")


@pytest.mark.parametrize(
    ("family", "params"),
    [
        ("random_forest", {"n_estimators": 5, "max_depth": 4}),
        ("xgboost", {"rounds": 5, "max_depth": 3, "class_weight": None}),
    ],
)
@pytest.mark.parametrize("width", [2, 3])
def test_shapley_values_add_up_to_the_answer(family, params, width):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(200, 4)).astype(np.float32)
    classes = np.digitize(table[:, 1], np.linspace(-0.5, 0.5, width - 1))
    model = families()[family].fit(
        Inputs(table), Target("classify", classes, width), params=params, seed=0, threads=1
    )
    found = tree_contributions(model, table[:20])
    assert found.shape == (20, 4, width)
    assert by_shapley(found, tuple("abcd"))[0].feature == "b"
    answers = model.predict(Inputs(table[:20]))
    if family == "xgboost":  # log-odds: differences of classes are what counts
        answers = np.log(answers)
        answers = answers[:, 1] - answers[:, 0]
        said = found.sum(axis=1)[:, 1] - found.sum(axis=1)[:, 0]
        said = said / 2 if width == 2 else said  # the one margin is in both columns
    else:
        answers, said = answers[:, 0], found.sum(axis=1)[:, 0]
    rest = answers - said
    np.testing.assert_allclose(rest, rest[0], atol=1e-4)


def test_a_model_that_is_no_tree_has_no_shapley_values():
    assert tree_contributions(object(), np.zeros((1, 1), np.float32)) is None


def test_a_feature_has_the_contributions_of_all_columns_made_from_it():
    steps = Preprocessing((0.0,) * 3, (0.0,) * 3, (1.0,) * 3, (0,), (OneHot(1, (5,)),))
    columns = np.arange(5, dtype=np.float32).reshape(1, 5, 1)
    # columns: features 0 and 2, the flag of 0, both columns of the category 1
    assert of_features(columns, steps)[0, :, 0].tolist() == [0 + 2, 3 + 4, 1]


def test_permutation_finds_the_column_that_is_looked_at():
    rng = np.random.default_rng(0)
    inputs = Inputs(
        rng.random((400, 3), dtype=np.float32), rng.random((400, 5, 2), dtype=np.float32)
    )
    truth = (inputs.features[:, 1] > 0.5).astype(np.int64)

    def answer(seen):
        return np.stack([1 - seen.features[:, 1], seen.features[:, 1]], axis=1)

    found = by_permutation(
        answer, inputs, truth, names=("a", "b", "c"), channels=("size", "gap"),
        metric="f1_macro", seed=0,
    )  # fmt: skip
    assert (found[0].feature, found[0].share) == ("b", 1.0)
    assert {one.feature for one in found} == {"a", "b", "c", "packets: size", "packets: gap"}
    assert [one.share for one in found[1:]] == [0.0] * 4


def test_a_sample_has_every_class_as_often_as_it_can():
    classes = np.array([0] * 90 + [1] * 3 + [2] * 30)
    rows = spread_rows(classes, 23, seed=0)
    assert np.bincount(classes[rows]).tolist() == [10, 3, 10]
