from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import builder
from builder import BuildConfig, FeatureSelection, Preprocessing, SerialRunner, build
from builder.families import Inputs, families
from builder.serving import OnnxModel
from topologies.errors import GateError, GstaError

QUICK = BuildConfig(trials=4, folds=2, seed=3, study_s=0)


def plain(result):
    return [replace(trial, seconds=0.0) for trial in result.trials]


# One of each kind: every family is exported and compared in test_families and test_networks.
@pytest.mark.parametrize("family", ["logistic", "random_forest", "xgboost", "resann", "cnn_lstm"])
def test_the_packaged_parts_classify_raw_flows_as_the_evaluation_says(write, family):
    folder = write()
    config = QUICK.model_copy(update={"families": (family,), "trials": 2})
    result = build(folder, config, runner=SerialRunner())
    assert result.winner.family == family
    # From here on only what an STA package holds: JSON, the graph, and a flow table.
    steps = Preprocessing.from_json(json.loads(json.dumps(result.to_json()))["preprocessing"])
    table = pq.ParquetFile(folder / "flows/run_id=bbbb/part-0.parquet").read()
    raw = np.stack([table[field.name].to_numpy() for field in result.features], axis=1)
    names = [f"seq_{name}" for name in result.sequence_channels]
    sequences = [np.stack(table[name].to_numpy()) for name in names]
    seen = Inputs(
        features=steps.apply(raw.astype(np.float32)),
        sequences=np.stack(sequences, axis=-1).astype(np.float32) if sequences else None,
    )
    answer = result.calibration.apply(OnnxModel(result.onnx).predict(seen)).argmax(axis=1)
    truth = table["src_port"].to_numpy() - 1000
    assert (answer == truth).mean() == pytest.approx(result.test.accuracy)
    assert result.test.f1_macro > 0.8
    assert result.test.flows == 200
    assert (result.sequence_length is not None) == ("sequences" in families()[family].uses)
    assert bool(sequences) == ("sequences" in families()[family].uses)


def test_the_result_says_where_it_comes_from(write):
    folder = write(unlabelled=5)
    heard = []
    result = build(folder, QUICK, runner=SerialRunner(), progress=heard.append)
    assert result.dataset_path == str(folder)
    assert len(result.dataset_sha256) == 64
    assert result.labels == ("bulk", "chat", "video", "web")
    assert (result.train_runs, result.test_runs) == (("aaaa",), ("bbbb",))
    assert result.train_flows == 395
    assert result.skipped_rows == {"unlabelled": 5}
    assert result.validation == "2 folds, grouped by activity"
    assert result.notes == ()
    assert BuildConfig(**result.config) == QUICK
    assert {"numpy", "python", "xgboost-cpu"} <= set(result.versions)
    assert list(result.timings) == ["read", "search", "refit", "judge", "study"]
    assert result.quantiles.missing[-1] == pytest.approx(0.1, abs=0.05)
    assert [step.stage for step in heard] == ["read", *["search"] * 4, "refit", "judge", "study"]
    assert "onnx" not in json.loads(json.dumps(result.to_json(), allow_nan=False))


def test_the_same_seed_gives_the_same_model_and_another_one_does_not(write):
    folder = write(separation=0.7)
    first, same = (build(folder, QUICK, runner=SerialRunner()) for _ in range(2))
    assert first.onnx == same.onnx
    assert plain(first) == plain(same)
    assert first.test == same.test
    other = build(folder, QUICK.model_copy(update={"seed": 4}), runner=SerialRunner())
    assert plain(other) != plain(first)


def test_baselines_are_run_beside_the_search_and_never_win(write):
    result = build(write(separation=0.0), QUICK, runner=SerialRunner())
    shown = result.trials[QUICK.trials :]
    assert [(trial.number, trial.family) for trial in shown] == [(4, "majority"), (5, "one_rule")]
    assert all(trial.status == "ok" for trial in shown)
    assert result.winner in result.trials[: QUICK.trials]


def test_a_baseline_as_good_as_the_winner_is_said(write):
    # Two values of one feature tell the classes apart: nothing does better than one rule.
    result = build(write(classes=("bulk", "web"), separation=9.0), QUICK, runner=SerialRunner())
    assert result.notes == ("the baseline one_rule does as well in validation: 1.0000",)


def test_the_search_never_sees_the_test_run(write):
    honest = build(write(), QUICK, runner=SerialRunner())
    poisoned = build(write(poison_test=True), QUICK, runner=SerialRunner())
    assert plain(poisoned) == plain(honest)
    assert poisoned.winner.number == honest.winner.number
    assert poisoned.onnx == honest.onnx
    assert poisoned.preprocessing == honest.preprocessing
    assert poisoned.quantiles == honest.quantiles
    assert honest.test.f1_macro > 0.8
    assert poisoned.test.f1_macro < 0.2


def test_shuffled_labels_give_chance_level(write):
    # 4 classes of equal size and 600 test flows: accuracy of guessing is 1/4 with a standard
    # deviation of sqrt(.25 * .75 / 600) = 0.018, and macro-F1 is at most about that. Four of them
    # on either side; the lower side is wider for answers that are not of equal size.
    folder = write(train_rows=600, test_rows=600, shuffle_labels=True)
    result = build(folder, QUICK, runner=SerialRunner())
    assert 0.25 - 0.11 < result.test.f1_macro < 0.25 + 0.072
    assert abs(result.test.accuracy - 0.25) < 0.072
    assert result.validation_score < 0.25 + 0.11  # the best of four, on 300 rows a fold


@pytest.mark.parametrize("missing", ["constant", "median", "median+indicator"])
def test_missing_values_are_handled_in_every_way(write, missing):
    config = QUICK.model_copy(update={"missing": missing, "trials": 2})
    result = build(write(), config, runner=SerialRunner())
    assert result.test.f1_macro > 0.8
    assert result.preprocessing.width == (7 if missing == "median+indicator" else 6)


def test_binary_finds_the_positive_class(write):
    config = QUICK.model_copy(update={"task": "binary", "positive": ("video",)})
    result = build(write(), config, runner=SerialRunner())
    assert result.labels == ("other", "video")
    assert result.positive == ("video",)
    assert result.test.classes[1].recall > 0.7


def test_no_score_at_all_is_an_error_that_says_why(write):
    config = QUICK.model_copy(update={"time_budget_s": 1e-9, "families": ("xgboost",)})
    with pytest.raises(GstaError, match="none of 4 trials got a score: xgboost: "):
        build(write(), config, runner=SerialRunner())


def test_families_of_tables_need_features(write):
    config = QUICK.model_copy(update={"features": FeatureSelection(set="packets")})
    with pytest.raises(GstaError, match="families: random_forest: expected features among"):
        build(write(), config, runner=SerialRunner())


def test_an_unreleased_dataset_is_refused_unless_accepted(write):
    folder = write(released=False)
    config = QUICK.model_copy(update={"trials": 1})
    with pytest.raises(GateError):
        build(folder, config, runner=SerialRunner())
    assert build(folder, config, runner=SerialRunner(), accept_unreleased=True).test.flows == 200


def test_one_run_on_both_sides_is_said(write):
    folder = write()
    splits = pq.read_table(folder / "splits.parquet").to_pylist()
    for row in splits:
        row["run_id"] = "aaaa"
    pq.write_table(pa.Table.from_pylist(splits), folder / "splits.parquet")
    result = build(folder, QUICK.model_copy(update={"trials": 1}), runner=SerialRunner())
    assert result.notes == ("trained and tested on flows of the same run: aaaa",)


HEAVY = ("sklearn", "xgboost", "ray", "skl2onnx", "onnxmltools", "keras", "mlflow")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        (
            "builder.preprocess, builder.serving, builder.result",
            (*HEAVY, "pydantic", "onnxruntime"),
        ),
        ("builder.pipeline, builder.config, builder.ray_runner", (*HEAVY, "onnxruntime")),
    ],
)
def test_importing_loads_nothing_heavy(module, unwanted):
    code = f"import {module}, sys; print([m for m in {unwanted!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(builder.__file__).parents[1],
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_had():
    for name in builder.__all__ * 2:  # importing a home must not shadow the name
        assert not isinstance(getattr(builder, name), ModuleType)
    with pytest.raises(AttributeError, match="speed"):
        _ = builder.speed


def test_an_unseen_topology_is_judged_beside_the_test_run_and_never_learnt(write):
    alone = build(write(), QUICK, runner=SerialRunner())
    beside = build(write(unseen_rows=100, unseen_class="new"), QUICK, runner=SerialRunner())
    assert alone.unseen is None
    assert beside.onnx == alone.onnx
    assert beside.labels == alone.labels
    assert beside.unseen_runs == ("cccc",)
    missed = beside.skipped_rows["a class that only an unseen topology has"]
    assert 0 < missed < 100
    assert beside.unseen.flows == 100 - missed
    assert beside.unseen.f1_macro > 0.5


def test_of_an_unseen_topology_every_other_class_is_the_negative_one(write):
    config = QUICK.model_copy(update={"task": "binary", "positive": ("video",)})
    folder = write(unseen_rows=100, unseen_class="new")
    result = build(folder, config, runner=SerialRunner())
    assert result.unseen.flows == 100
    assert result.unseen.labels == ("other", "video")
