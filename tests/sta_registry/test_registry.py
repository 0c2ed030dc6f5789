"""Registering, aliases and resolving, in a real SQLite store."""

from __future__ import annotations

import dataclasses
import io
import pickletools
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from builder import BuildResult
from builder.result import Trial
from sta_registry import Registered, Registry, Store, load_sta
from sta_registry.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE
from topologies.errors import InputError, MachineError, NotFoundError

ROOT = Path(__file__).parents[2]
UNREACHABLE = {"f1_macro": 1.0}


def with_f1(result: BuildResult, f1_macro: float, **changes: object) -> BuildResult:
    test = dataclasses.replace(result.test, f1_macro=f1_macro)
    return dataclasses.replace(result, test=test, **changes)


def aliases(registry: Registry, name: str = "kinds") -> dict[str, int]:
    return {
        alias: version.version for version in registry.show_model(name) for alias in version.aliases
    }


@pytest.fixture
def two(registry: Registry, result: BuildResult) -> tuple[Registered, Registered]:
    return registry.register(result, name="kinds"), registry.register(result, name="kinds")


def test_what_meets_its_acceptance_is_champion(registry: Registry, result: BuildResult) -> None:
    done = registry.register(result, name="kinds", acceptance={"f1_macro": 0.9, "recall:typing": 0})
    assert (done.version, done.uri, done.champion) == (1, "models:/kinds/1", True)
    assert [check.met for check in done.checks] == [True, True]
    assert done.before is None
    assert done.beats is None
    assert aliases(registry) == {"champion": 1}
    (version,) = registry.show_model("kinds")
    assert version.accepted
    assert version.f1_macro == result.test.f1_macro


def test_what_does_not_is_kept_but_no_champion(registry: Registry, result: BuildResult) -> None:
    registry.register(result, name="kinds")
    done = registry.register(result, name="kinds", acceptance=UNREACHABLE)
    assert not done.champion
    assert str(done.checks[0]).endswith("< 1")
    assert aliases(registry) == {"champion": 1}
    assert [version.accepted for version in registry.show_model("kinds")] == [False, True]
    assert load_sta(registry.resolve("kinds/2")).manifest.name == "kinds"


def test_the_champion_before_is_kept_as_previous(
    registry: Registry, two: tuple[Registered, Registered]
) -> None:
    assert aliases(registry) == {"champion": 2, "previous": 1}
    assert two[1].before is not None
    assert two[1].before.version == 1


@pytest.mark.parametrize(("f1_macro", "beats"), [(0.1, False), (0.999, True)])
def test_it_is_said_whether_the_champion_is_beaten(
    registry: Registry, result: BuildResult, f1_macro: float, beats: bool
) -> None:
    registry.register(result, name="kinds")
    assert registry.register(with_f1(result, f1_macro), name="kinds").beats is beats


def test_scores_on_different_datasets_are_not_compared(
    registry: Registry, result: BuildResult
) -> None:
    registry.register(result, name="kinds")
    other = with_f1(result, 1.0, dataset_sha256="0" * 64)
    assert registry.register(other, name="kinds").beats is None


def test_promote_and_rollback(registry: Registry, result: BuildResult) -> None:
    for acceptance in (None, None, UNREACHABLE):
        registry.register(result, name="kinds", acceptance=acceptance)
    assert registry.promote("kinds", 3).aliases == ("champion",)
    assert aliases(registry) == {"champion": 3, "previous": 2}
    assert registry.rollback("kinds").version == 2
    assert aliases(registry) == {"champion": 2, "previous": 3}
    registry.promote("kinds", 2)
    assert aliases(registry) == {"champion": 2, "previous": 3}


def test_rollback_needs_a_champion_before(registry: Registry, result: BuildResult) -> None:
    registry.register(result, name="kinds")
    with pytest.raises(NotFoundError, match="kinds@previous"):
        registry.rollback("kinds")


def test_resolve(registry: Registry, two: tuple[Registered, Registered], sta_folder: Path) -> None:
    assert two[1].champion
    assert registry.resolve(sta_folder) == sta_folder
    assert registry.resolve(str(sta_folder)) == sta_folder
    assert registry.resolve("kinds") == registry.resolve("kinds@champion")
    assert registry.resolve("kinds") == registry.resolve("kinds/2")
    assert registry.resolve("kinds@previous") == registry.resolve("kinds/1")
    folder = registry.resolve("kinds@champion")
    for name in (MODEL_FILE, MANIFEST_FILE, CARD_FILE):
        assert (folder / name).read_bytes() == (sta_folder / name).read_bytes()


@pytest.mark.parametrize("reference", ["other", "kinds@tuesday", "kinds/9", "other/1"])
def test_what_is_not_there_is_answered_with_what_is(
    registry: Registry, two: tuple[Registered, Registered], reference: str
) -> None:
    assert len(two) == 2
    with pytest.raises(NotFoundError, match="kinds/2 @champion, kinds/1 @previous") as missing:
        registry.resolve(reference)
    assert missing.value.exit_code == 2


@pytest.mark.parametrize("reference", ["", "a b", "kinds@", "kinds/0", "kinds@a/1", "../../etc"])
def test_malformed_references_are_refused(registry: Registry, reference: str) -> None:
    with pytest.raises(InputError, match="NAME@ALIAS"):
        registry.resolve(reference)


def test_a_store_not_made_yet_is_empty_and_stays_unmade(tmp_path: Path) -> None:
    registry = Registry(Store.open(tmp_path / "home"))
    assert registry.list_models() == {}
    with pytest.raises(NotFoundError, match="none yet, run gsta build"):
        registry.resolve("kinds@champion")
    assert not (tmp_path / "home").exists()


def test_list_models(registry: Registry, result: BuildResult) -> None:
    for name in ("zebra", "kinds", "kinds"):
        registry.register(result, name=name)
    listed = registry.list_models()
    assert {name: [v.version for v in versions] for name, versions in listed.items()} == {
        "kinds": [2, 1],
        "zebra": [1],
    }


def test_nothing_is_written_for_a_wrong_order(registry: Registry, result: BuildResult) -> None:
    with pytest.raises(InputError, match="recall:mining"):
        registry.register(result, name="kinds", acceptance={"recall:nothing": 0.5})
    with pytest.raises(InputError, match="choose another name"):
        registry.register(result, name="kinds/3")
    assert registry.list_models() == {}
    assert registry.store.client.search_runs([registry.store.experiment()]) == []


@pytest.mark.parametrize("file", [MANIFEST_FILE, MODEL_FILE])
def test_a_changed_artefact_is_found_out(
    registry: Registry, result: BuildResult, file: str
) -> None:
    registry.register(result, name="kinds")
    path = registry.resolve("kinds") / file
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match="SHA-256"):
        load_sta(registry.resolve("kinds"))


def test_a_lost_artefact_is_found_out(registry: Registry, result: BuildResult) -> None:
    registry.register(result, name="kinds")
    (registry.resolve("kinds") / MANIFEST_FILE).unlink()
    with pytest.raises(InputError, match="got no file"):
        registry.resolve("kinds")


def test_export_copies_a_whole_sta(registry: Registry, result: BuildResult, tmp_path: Path) -> None:
    registry.register(result, name="kinds")
    exported = registry.export("kinds", tmp_path / "here" / "kinds")
    assert load_sta(exported).manifest == load_sta(registry.resolve("kinds")).manifest
    assert [path.name for path in exported.parent.iterdir()] == ["kinds"]
    with pytest.raises(InputError, match="expected a new folder"):
        registry.export("kinds", exported)


def test_every_trial_is_a_nested_run(registry: Registry, result: BuildResult) -> None:
    trials = (
        *result.trials[:2],
        Trial(2, "xgboost", {"max_depth": 3}, (0.5,), None, 1.5, "failed", "it broke"),
        Trial(3, "xgboost", {"max_depth": 4}, (), None, 0.0, "skipped"),
    )
    done = registry.register(dataclasses.replace(result, trials=trials), name="kinds")
    client = registry.store.client
    parent = client.get_run(done.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["gsta.dataset_sha256"] == result.dataset_sha256
    assert parent.data.metrics["test_f1_macro"] == result.test.f1_macro
    assert parent.data.params["winner.family"] == "random_forest"
    assert parent.inputs.dataset_inputs[0].dataset.name == "kinds"
    artefacts = {item.path for item in client.list_artifacts(done.run_id)}
    assert artefacts >= {"build.json", CARD_FILE, MANIFEST_FILE}
    runs = client.search_runs(
        [registry.store.experiment()], f"tags.mlflow.parentRunId = '{done.run_id}'"
    )
    runs.sort(key=lambda run: int(run.data.params["number"]))
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED", "FAILED", "KILLED"]
    for run, trial in zip(runs, trials, strict=True):
        folds = client.get_metric_history(run.info.run_id, "fold_score")
        assert [metric.value for metric in sorted(folds, key=lambda m: m.step)] == list(
            trial.fold_scores
        )
        assert run.data.metrics.get("score") == trial.score
        assert run.info.end_time - run.info.start_time == int(trial.seconds * 1000)
        assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"trial.json"}
    assert runs[2].data.tags["gsta.error"] == "it broke"


def test_a_failed_logging_ends_its_run(registry: Registry, result: BuildResult) -> None:
    broken = dataclasses.replace(result, timings={"search": "long"})
    with pytest.raises(MachineError, match="does not work"):
        registry.register(broken, name="kinds")
    (run,) = registry.store.client.search_runs([registry.store.experiment()])
    assert run.info.status == "FAILED"
    assert registry.list_models() == {}


def is_pickle(data: bytes) -> bool:
    if data[:1] == b"\x80" and data[1:2] <= b"\x05":
        return True
    try:
        pickletools.dis(data, out=io.StringIO())
    except (ValueError, UnicodeDecodeError, OverflowError, IndexError):
        return False
    return True


def test_nothing_stored_is_a_pickle(registry: Registry, result: BuildResult) -> None:
    registry.register(result, name="kinds")
    files = [path for path in registry.store.home.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {MODEL_FILE, MANIFEST_FILE, "MLmodel", "trial.json"}
    for path in files:
        data = path.read_bytes()
        assert path.suffix not in {".pkl", ".pickle", ".joblib", ".npy", ".pt"}
        assert not is_pickle(data), path
        assert not zipfile.is_zipfile(path), path


def test_the_model_is_a_pyfunc_with_a_signature(
    registry: Registry, result: BuildResult, flow_table: Callable[..., pa.Table]
) -> None:
    registry.register(result, name="kinds")
    folder = registry.resolve("kinds")
    import mlflow.pyfunc  # only now: the store has dealt with the warnings of its first import

    model = mlflow.pyfunc.load_model(str(folder.parents[1]))
    names = [column.name for column in model.metadata.signature.inputs.inputs]
    assert names == [feature.name for feature in result.features]
    flows = flow_table(30, seed=4)
    answers = model.predict(flows.to_pandas())
    prediction = load_sta(folder).predict(flows)
    labels = [result.labels[index] for index in prediction.indices]
    assert answers["class"].tolist() == labels
    np.testing.assert_allclose(
        answers["probability"].to_numpy(), prediction.probabilities.max(axis=1), atol=1e-6
    )
    requirements = (folder.parents[1] / "requirements.txt").read_text()
    assert "onnxruntime==" in requirements
    assert "scikit-learn" not in requirements


def test_mlflow_serves_a_sequence_sta(
    registry: Registry, sequence_result: BuildResult, sequence_flows: pa.Table
) -> None:
    registry.register(sequence_result, name="share")
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(registry.resolve("share").parents[1]))
    request = {name: sequence_flows[name].to_pylist() for name in sequence_flows.column_names}
    answers = model.predict(pd.DataFrame(request))
    assert answers["probability_mine"].tolist() == [0.5, 1.0, 0.0]


@pytest.mark.slow
def test_a_working_registry_says_nothing(registry: Registry, result: BuildResult) -> None:
    registry.register(result, name="kinds")
    code = (
        "import sys; from pathlib import Path; from sta_registry import Registry, Store;"
        "store = Store.open(Path(sys.argv[1]));"
        "print(Registry(store).resolve('kinds@champion').name);"
        "store = Store.open(Path(sys.argv[1]) / 'new'); store.experiment()"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, str(registry.store.home)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "sta\n"
    assert done.stderr == ""
