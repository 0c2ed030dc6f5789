"""A small real build for every test here: synthetic flows, a forest trained by the builder."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder import BuildConfig, BuildResult, SerialRunner, build
from builder.calibration import UNCALIBRATED
from sta_registry import Registry, Store, write_sta

FEATURES = {
    "c2s_packets": (pa.uint32(), "packets", "counts"),
    "c2s_bytes": (pa.int64(), "bytes", "sizes"),
    "s2c_iat_mean_ms": (pa.float32(), "ms", "timing"),
    "rtt_ms": (pa.float64(), "ms", "rtt"),
    "c2s_fin": (pa.uint16(), "packets", "flags"),
}
LABELS = ("typing", "transfer", "mining")


def make_flows(rows: int, *, seed: int) -> tuple[pa.Table, list[str]]:
    """Flows of three kinds that overlap a little, with missing values, and their labels."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    rtt = rng.gamma(2.0, 5.0, rows)
    columns = {
        "c2s_packets": rng.poisson(np.array([40, 400, 60])[kind]),
        "c2s_bytes": (rng.lognormal(np.array([7.0, 13.0, 8.5])[kind], 0.7)).astype(np.int64),
        "s2c_iat_mean_ms": rng.lognormal(np.array([4.0, 0.0, 7.0])[kind], 1.0),
        "rtt_ms": pa.array(rtt, mask=rng.random(rows) < 0.1),
        "c2s_fin": rng.integers(0, 2, rows),
    }
    fields = [pa.field("flow_id", pa.string(), metadata={"role": "identity"})]
    arrays = [pa.array([f"{seed:08x}{row:08x}" for row in range(rows)])]
    for name, (dtype, unit, group) in FEATURES.items():
        metadata = {"role": "feature", "unit": unit, "group": group}
        fields.append(pa.field(name, dtype, metadata=metadata))
        arrays.append(pa.array(columns[name]).cast(dtype))
    return pa.table(arrays, schema=pa.schema(fields)), [LABELS[k] for k in kind]


def write_dataset(folder: Path, *, rows: int = 240) -> Path:
    """A dataset directory of a training and a test run."""
    ids: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    for seed, split in enumerate(("train", "test")):
        table, kinds = make_flows(rows, seed=seed)
        part = folder / "flows" / f"run_id={split}-run" / "part-0.parquet"
        part.parent.mkdir(parents=True)
        pq.write_table(table, part)
        ids += table["flow_id"].to_pylist()
        labels += kinds
        splits += [split] * rows
    activities = [f"a{row // 2:04d}" for row in range(len(ids))]
    pq.write_table(
        pa.table({"flow_id": ids, "label": labels, "category": labels, "activity_id": activities}),
        folder / "labels.parquet",
    )
    runs = [f"{split}-run" for split in splits]
    pq.write_table(
        pa.table({"flow_id": ids, "run_id": runs, "split": splits}), folder / "splits.parquet"
    )
    (folder / "audit.json").write_text('{"released": true}')
    (folder / "dataset.json").write_text(json.dumps({"format": 1, "name": folder.name}))
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "kinds")


@pytest.fixture(scope="session")
def result(dataset: Path) -> BuildResult:
    config = BuildConfig(families=("random_forest",), trials=2, folds=2, seed=7)
    return build(dataset, config, runner=SerialRunner())


@pytest.fixture(scope="session")
def sta_folder(result: BuildResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sta(result, tmp_path_factory.mktemp("sta") / "kinds", name="kinds")


@pytest.fixture(scope="session")
def flow_table() -> Callable[..., pa.Table]:
    """Makes flow tables as those of the dataset: rows, and the seed that fixes them."""
    return lambda rows, *, seed: make_flows(rows, seed=seed)[0]


def sequence_graph(length: int, channels: int) -> bytes:
    """A model by hand: probability of class 1 is the share of packets from the initiator."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Slice", ["sequences", "one", "two", "axis"], ["direction"]),
        helper.make_node("Relu", ["direction"], ["mine"]),
        helper.make_node("ReduceMean", ["mine", "axes"], ["p1"], keepdims=0),
        helper.make_node("Unsqueeze", ["p1", "one"], ["p1c"]),
        helper.make_node("Sub", ["unit", "p1c"], ["p0c"]),
        helper.make_node("Concat", ["p0c", "p1c"], ["probabilities"], axis=1),
    ]
    numbers = {"one": [1], "two": [2], "axis": [2], "axes": [1, 2]}
    constants = [
        helper.make_tensor(name, onnx.TensorProto.INT64, [len(value)], value)
        for name, value in numbers.items()
    ]
    constants.append(helper.make_tensor("unit", kind, [1], [1.0]))
    graph = helper.make_graph(
        nodes,
        "share",
        [helper.make_tensor_value_info("sequences", kind, ["n", length, channels])],
        [helper.make_tensor_value_info("probabilities", kind, ["n", 2])],
        constants,
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


@pytest.fixture(scope="session")
def sequence_result(result: BuildResult) -> BuildResult:
    """A build whose winner reads the first four packets and no features."""
    length, channels = 4, ("size_bytes", "direction", "iat_us")
    return dataclasses.replace(
        result,
        labels=("theirs", "mine"),
        features=(),
        sequence_length=length,
        sequence_channels=channels,
        preprocessing=dataclasses.replace(
            result.preprocessing, fill=(), low=(), high=(), indicators=()
        ),
        quantiles=dataclasses.replace(result.quantiles, values=(), missing=()),
        onnx=sequence_graph(length, len(channels)),
        calibration=UNCALIBRATED,
        findings=None,
    )


@pytest.fixture(scope="session")
def sequence_flows() -> pa.Table:
    """Three flows, of whose first four packets 2, 4 and 0 are the initiator's."""
    directions = [[1, -1, 1, 0], [1, 1, 1, 1], [-1, 0, 0, 0]]
    return pa.table(
        {
            "seq_size_bytes": pa.array([[60] * 4] * 3, pa.list_(pa.int32(), 4)),
            "seq_direction": pa.array(directions, pa.list_(pa.int8(), 4)),
            "seq_iat_us": pa.array([[0.0] * 4] * 3, pa.list_(pa.float32(), 4)),
        }
    )


@pytest.fixture(autouse=True)
def _no_store_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("GSTA_HOME", raising=False)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's database with its tables, which take seconds to make."""
    home = tmp_path_factory.mktemp("empty")
    store = Store.open(home, tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    assert len(store.client.search_registered_models()) == 0
    return home / "mlflow.db"


@pytest.fixture
def registry(empty_database: Path, tmp_path: Path) -> Registry:
    """A registry of its own."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(empty_database, home)
    return Registry(Store.open(home))
