"""Synthetic datasets on disk, as the tagger and the audit leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

LENGTH = 32
CLASSES = ("bulk", "chat", "video", "web")

# name, group, unit, how far apart the classes are in standard deviations
FEATURES = (
    ("c2s_size_mean_bytes", "sizes", "bytes", 1.5),
    ("s2c_size_mean_bytes", "sizes", "bytes", 2.0),
    ("c2s_iat_mean_ms", "timing", "ms", 1.0),
    ("s2c_iat_mean_ms", "timing", "ms", 0.0),
    ("c2s_push_count", "flags", "packets", 0.5),
    ("rtt_handshake_ms", "rtt", "ms", 0.7),
)


def column(name: str, kind: pa.DataType, role: str, unit: str = "", group: str = "") -> pa.Field:
    """An arrow field with the flow table's metadata."""
    metadata = {"role": role, "unit": unit, "group": group, "definition": name}
    return pa.field(name, kind, metadata=metadata)


@dataclass
class Spec:
    """What a synthetic dataset is like."""

    train_rows: int = 400
    test_rows: int = 200
    unseen_rows: int = 0
    unseen_class: str = ""  # what all unseen flows of the first class are called instead
    flows_per_activity: int = 5
    classes: tuple[str, ...] = CLASSES
    separation: float = 1.5
    seed: int = 7
    released: bool | None = True  # None: never audited
    poison_test: bool = False  # test rows say the opposite of what training rows say
    shuffle_labels: bool = False
    sequences: bool = True
    unlabelled: int = 0  # training rows at the start
    ambiguous: int = 0
    extra: dict[str, tuple[pa.Field, np.ndarray]] = field(default_factory=dict)


Write = Callable[..., Path]


def _flows(spec: Spec, rows: int, rng: np.random.Generator, *, poison: bool) -> tuple[dict, dict]:
    activity = np.arange(rows) // spec.flows_per_activity
    truth = rng.permutation(activity.max() + 1)[activity] % len(spec.classes)
    told = (truth + 1) % len(spec.classes) if poison else truth
    features = {}
    for position, (name, _, _, strength) in enumerate(FEATURES):
        centre = (told * (position + 1)) % len(spec.classes) * strength * spec.separation
        features[name] = np.exp(1.0 + 0.3 * (centre + rng.normal(size=rows)))
    features["rtt_handshake_ms"][rng.random(rows) < 0.1] = np.nan
    sizes = np.where(rng.random((rows, LENGTH)) < 0.8, 60 + 300 * told[:, None], 0)
    sequences = {
        "seq_size_bytes": sizes.astype(np.int32),
        "seq_direction": np.where(sizes > 0, rng.choice([1, -1], size=sizes.shape), 0),
        "seq_iat_us": np.where(sizes > 0, rng.exponential(1000, size=sizes.shape), 0),
    }
    return {"truth": truth, "activity": activity, **features}, sequences


def _flow_table(spec: Spec, run: str, values: dict, sequences: dict, rows: slice) -> pa.Table:
    count = len(values["truth"])
    start = 1_700_000_000_000_000_000
    columns: list[tuple[pa.Field, object]] = [
        (column("flow_id", pa.string(), "identity"), [f"{run}{n:012d}" for n in range(count)]),
        (column("network", pa.string(), "identity"), ["lan"] * count),
        (column("src_ip", pa.string(), "key"), ["198.18.0.5"] * count),
        (column("dst_ip", pa.string(), "key"), ["198.18.0.9"] * count),
        # Gives the class away: must never be seen.
        (column("src_port", pa.uint16(), "key"), 1000 + values["truth"]),
        (column("dst_port", pa.uint16(), "key"), 2000 + values["truth"]),
        (column("protocol", pa.uint8(), "key"), np.full(count, 6)),
        (column("first_ns", pa.int64(), "time", "ns"), start + values["truth"] * 10**9),
        (column("last_ns", pa.int64(), "time", "ns"), start + values["truth"] * 10**9 + 5),
    ]
    for name, group, unit, _ in FEATURES:
        kind = pa.float32() if unit == "ms" else pa.float64()
        columns.append((column(name, kind, "feature", unit, group), values[name]))
    columns += [(f, array[rows]) for f, array in spec.extra.values()]
    if spec.sequences:
        kinds = {"seq_size_bytes": pa.int32(), "seq_direction": pa.int8()}
        for name, array in sequences.items():
            kind = kinds.get(name, pa.float32())
            flat = pa.array(array.reshape(-1)).cast(kind)
            arrow = column(name, pa.list_(kind, LENGTH), "sequence")
            columns.append((arrow, pa.FixedSizeListArray.from_arrays(flat, LENGTH)))
    arrays = [
        values if isinstance(values, pa.Array) else pa.array(values).cast(arrow.type)
        for arrow, values in columns
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema([arrow for arrow, _ in columns]))


def write_dataset(folder: Path, spec: Spec) -> Path:
    """Write the dataset of ``spec`` below ``folder``."""
    rng = np.random.default_rng(spec.seed)
    labels, splits = [], []
    done = 0
    for run, split, rows in (
        ("aaaa", "train", spec.train_rows),
        ("bbbb", "test", spec.test_rows),
        *([("cccc", "unseen", spec.unseen_rows)] if spec.unseen_rows else []),
    ):
        poison = split == "test" and spec.poison_test
        values, sequences = _flows(spec, rows, rng, poison=poison)
        table = _flow_table(spec, run, values, sequences, slice(done, done + rows))
        place = folder / "flows" / f"run_id={run}"
        place.mkdir(parents=True)
        pq.write_table(table, place / "part-0.parquet")
        names = [spec.classes[k] for k in values["truth"]]
        if spec.shuffle_labels:
            names = rng.permutation(names).tolist()
        if split == "unseen" and spec.unseen_class:
            names = [spec.unseen_class if n == spec.classes[0] else n for n in names]
        if split == "train":
            names[: spec.unlabelled] = ["unlabelled"] * spec.unlabelled
            names[spec.unlabelled : spec.unlabelled + spec.ambiguous] = [
                "ambiguous"
            ] * spec.ambiguous
        for row in range(rows):
            flow = f"{run}{row:012d}"
            activity = f"a{values['activity'][row]:04d}"
            category = "streaming" if names[row] in ("bulk", "video") else "interactive"
            labels.append(
                {
                    "flow_id": flow,
                    "label": names[row],
                    "category": category,
                    "malicious": False,
                    "effect": None,
                    "activity_id": None if spec.shuffle_labels else activity,
                    "origin": "real",
                    "rule": "r1",
                    "reason": "synthetic",
                    "oracle": None,
                }
            )
            splits.append({"flow_id": flow, "run_id": run, "split": split})
        done += rows
    order = rng.permutation(len(labels))  # a lookup by flow id, not by position, is what counts
    pq.write_table(pa.Table.from_pylist([labels[k] for k in order]), folder / "labels.parquet")
    pq.write_table(pa.Table.from_pylist(splits), folder / "splits.parquet")
    (folder / "dataset.json").write_text(json.dumps({"format": 1, "name": "synthetic"}))
    if spec.released is not None:
        (folder / "audit.json").write_text(json.dumps({"released": spec.released}))
    return folder


@pytest.fixture
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Write a dataset: ``write(train_rows=300, ...)`` gives its folder."""

    def make(**spec: object) -> Path:
        return write_dataset(tmp_path_factory.mktemp("dataset"), Spec(**spec))

    return make


@pytest.fixture(scope="session")
def write_once(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """As ``write``, but the same wishes give the same folder; not to be changed."""
    made: dict[str, Path] = {}

    def make(**spec: object) -> Path:
        wish = repr(spec)
        if wish not in made:
            made[wish] = write_dataset(tmp_path_factory.mktemp("dataset"), Spec(**spec))
        return made[wish]

    return make


@pytest.fixture
def feature_column() -> Callable[..., pa.Field]:
    """Make an arrow field with the flow table's metadata."""
    return column
