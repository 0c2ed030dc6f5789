"""The STA folder: written, loaded, asked; and refused when it is damaged or foreign."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest

from builder import BuildConfig, BuildResult, SerialRunner, build
from builder.config import Unknown
from builder.data import read_dataset
from builder.serving import BULK_ROWS
from builder.serving import OnnxModel as BuilderModel
from sta_registry import Sta, load_sta, read_manifest, render_card, write_sta
from sta_registry.manifest import CARD_FILE, MANIFEST_FILE, MODEL_FILE
from topologies.errors import InputError, NotFoundError
from topologies.files import sha256_file

FlowTable = Callable[..., pa.Table]


@pytest.fixture
def sta(sta_folder: Path) -> Sta:
    return load_sta(sta_folder)


@pytest.fixture
def copy(sta_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sta_folder, tmp_path / "copy"))


def test_the_folder_is_the_model_the_manifest_and_the_card(sta_folder: Path) -> None:
    names = {file.name for file in sta_folder.iterdir()}
    assert names == {MODEL_FILE, MANIFEST_FILE, CARD_FILE}


def test_the_manifest_is_that_of_the_build(sta: Sta, result: BuildResult) -> None:
    manifest = sta.manifest
    assert manifest.classes == result.labels
    assert manifest.features == result.features
    assert manifest.preprocessing == result.preprocessing
    assert manifest.quantiles == result.quantiles
    assert manifest.quality.test == result.test
    assert manifest.provenance.dataset_sha256 == result.dataset_sha256
    assert manifest.provenance.params == result.winner.params


def test_writing_is_reproducible(result: BuildResult, sta_folder: Path, tmp_path: Path) -> None:
    again = write_sta(result, tmp_path / "again", name="kinds")
    for file in sta_folder.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_serving_answers_as_training_did(
    sta: Sta, result: BuildResult, dataset: Path, flow_table: FlowTable
) -> None:
    data = read_dataset(dataset, BuildConfig(families=("random_forest",)))
    inputs = dataclasses.replace(
        data.test.inputs,
        features=result.preprocessing.apply(data.test.inputs.table()),
        sequences=None,
    )
    expected = result.calibration.apply(BuilderModel(result.onnx).predict(inputs))
    prediction = sta.predict(flow_table(len(expected), seed=1))
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)
    accuracy = float((prediction.indices == data.test.classes).mean())
    assert accuracy == pytest.approx(result.test.accuracy)


def test_flows_unlike_anything_trained_on_are_unknown(
    dataset: Path, flow_table: FlowTable, tmp_path: Path
) -> None:
    config = BuildConfig(families=("random_forest",), trials=1, folds=2, unknown=Unknown())
    result = build(dataset, config, runner=SerialRunner())
    sta = load_sta(write_sta(result, tmp_path / "open", name="open"))
    assert sta.manifest.novelty == result.novelty
    assert sta.manifest.quality.open_set is not None
    assert "## Unknown flows" in render_card(sta.manifest)
    known = flow_table(300, seed=11)
    assert sta.predict(known).unknown.mean() < 0.05
    place = known.schema.get_field_index("c2s_bytes")
    huge = pa.array([10**15] * len(known))
    strange = known.set_column(place, known.schema.field(place), huge)
    assert sta.predict(strange).unknown.all()


def test_without_a_rule_nothing_is_unknown(sta: Sta, flow_table: FlowTable) -> None:
    assert sta.manifest.novelty is None
    assert not sta.predict(flow_table(50, seed=9)).unknown.any()


def test_a_rule_of_another_model_is_refused(sta_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(sta_folder, tmp_path / "odd")
    told = json.loads((folder / "sta.json").read_text())
    told["calibration"] = {"method": "isotonic", "temperature": 1.0, "points": [[[0, 0], [1, 1]]]}
    (folder / "sta.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match="calibration has one curve per class"):
        load_sta(folder)


def test_batches_do_not_change_the_answer(sta: Sta, flow_table: FlowTable) -> None:
    table = flow_table(101, seed=9)
    whole = sta.predict(table)
    cut = sta.predict(table, batch_rows=10)
    np.testing.assert_allclose(cut.probabilities, whole.probabilities, atol=1e-6)


def test_columns_are_found_by_name(sta: Sta, flow_table: FlowTable) -> None:
    table = flow_table(20, seed=9)
    shuffled = table.select(list(reversed(table.column_names)))
    np.testing.assert_array_equal(
        sta.predict(shuffled).probabilities, sta.predict(table).probabilities
    )


def test_no_rows_give_no_answers(sta: Sta, flow_table: FlowTable) -> None:
    prediction = sta.predict(flow_table(5, seed=9).slice(0, 0))
    assert prediction.probabilities.shape == (0, 3)
    assert prediction.indices.shape == (0,)


def test_every_wrong_column_is_listed(sta: Sta, flow_table: FlowTable) -> None:
    table = flow_table(5, seed=9).drop_columns("rtt_ms")
    place = table.schema.get_field_index("c2s_bytes")
    table = table.set_column(place, "c2s_bytes", table["c2s_bytes"].cast(pa.string()))
    place = table.schema.get_field_index("s2c_iat_mean_ms")
    field = table.schema.field(place).with_metadata({"unit": "s"})
    table = table.set_column(place, field, table["s2c_iat_mean_ms"])
    with pytest.raises(InputError) as refused:
        sta.predict(table, source="flows.parquet")
    assert [str(problem).split("; ")[0] for problem in refused.value.problems] == [
        "flows.parquet: c2s_bytes: expected type int64, got string",
        "flows.parquet: s2c_iat_mean_ms: expected unit 'ms', got 's'",
        "flows.parquet: rtt_ms: expected a column of type double, got none",
    ]


def edited(folder: Path, **changes: object) -> Path:
    file = folder / MANIFEST_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (lambda f: (f / MANIFEST_FILE).unlink(), "expected an STA manifest"),
    "no model": (lambda f: (f / MODEL_FILE).unlink(), "expected an ONNX model"),
    "flipped bit": (
        lambda f: (f / MODEL_FILE).write_bytes(bytes([1]) + (f / MODEL_FILE).read_bytes()[1:]),
        "expected SHA-256",
    ),
    "cut model": (
        lambda f: (f / MODEL_FILE).write_bytes((f / MODEL_FILE).read_bytes()[:-1]),
        "expected SHA-256",
    ),
    "cut manifest": (
        lambda f: (f / MANIFEST_FILE).write_bytes((f / MANIFEST_FILE).read_bytes()[:900]),
        "Invalid JSON",
    ),
    "no text": (lambda f: (f / MANIFEST_FILE).write_bytes(b"\xff\xfe\x00"), "Invalid JSON"),
    "other format": (lambda f: edited(f, format="gsta-sta/2"), "Input should be 'gsta-sta/1'"),
    "other program's": (lambda f: edited(f, extra=1), "Extra inputs are not permitted"),
    "one class twice": (
        lambda f: edited(f, classes=["typing", "typing", "mining"]),
        "classes have distinct names",
    ),
    "escape codes in a class": (
        lambda f: edited(f, classes=["typing", "\x1b[2J", "mining"]),
        "classes are printable",
    ),
    "a class less": (lambda f: edited(f, classes=["typing", "mining"]), "2 probabilities a row"),
    "a feature less": (
        lambda f: edited(f, features=json.loads((f / MANIFEST_FILE).read_text())["features"][1:]),
        "preprocessing has one value per feature",
    ),
    "a sequence more": (
        lambda f: edited(f, sequence={"length": 32, "channels": ["size_bytes"]}),
        "expected inputs",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_refused(copy: Path, damage: str) -> None:
    do, message = DAMAGES[damage]
    do(copy)
    with pytest.raises(InputError, match=message) as refused:
        load_sta(copy)
    assert refused.value.exit_code == 2
    assert str(copy) in str(refused.value)


def test_a_model_that_is_no_onnx_is_refused(result: BuildResult, tmp_path: Path) -> None:
    folder = write_sta(
        dataclasses.replace(result, onnx=b"no protobuf at all"), tmp_path / "bad", name="bad"
    )
    with pytest.raises(InputError, match="expected an ONNX model"):
        load_sta(folder)


def test_a_graph_without_probabilities_is_refused(result: BuildResult, tmp_path: Path) -> None:
    graph = onnx.load_from_string(result.onnx)
    graph.graph.output[0].name = "scores"
    for node in graph.graph.node:
        for place, name in enumerate(node.output):
            if name == "probabilities":
                node.output[place] = "scores"
    changed = dataclasses.replace(result, onnx=graph.SerializeToString())
    with pytest.raises(InputError, match="expected an output 'probabilities'"):
        load_sta(write_sta(changed, tmp_path / "bad", name="bad"))


def test_no_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="No such file"):
        load_sta(tmp_path / "absent")


def test_the_manifest_ties_the_model(sta_folder: Path) -> None:
    assert read_manifest(sta_folder).model.sha256 == sha256_file(sta_folder / MODEL_FILE)


def test_a_sequence_sta_reads_the_packet_columns(
    sequence_result: BuildResult, sequence_flows: pa.Table, tmp_path: Path
) -> None:
    sta = load_sta(write_sta(sequence_result, tmp_path / "share", name="share"))
    flows = pa.concat_tables([sequence_flows.slice(0, 1), sequence_flows.slice(1)])
    assert sta.predict(flows).probabilities[:, 1].tolist() == [0.5, 1.0, 0.0]
    place = flows.schema.get_field_index("seq_direction")
    short = pa.array([[1]] * 3, pa.list_(pa.int8(), 1))
    with pytest.raises(InputError, match=r"seq_direction: expected a column of lists of 4 numbers"):
        sta.predict(flows.set_column(place, "seq_direction", short))


def test_many_flows_are_answered_as_few_are(sta: Sta, flow_table: FlowTable) -> None:
    table = flow_table(BULK_ROWS, seed=11)
    fresh = load_sta(sta.folder)
    by_the_runtime = fresh.predict(table, batch_rows=BULK_ROWS // 4)
    in_bulk = fresh.predict(table)
    np.testing.assert_allclose(
        in_bulk.probabilities, by_the_runtime.probabilities, atol=1e-6, rtol=0
    )
    np.testing.assert_array_equal(in_bulk.indices, by_the_runtime.indices)
