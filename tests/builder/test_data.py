from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.config import BuildConfig, FeatureSelection
from builder.data import read_dataset
from topologies.errors import GateError, InputError, NotFoundError

NAMES = [
    "c2s_size_mean_bytes",
    "s2c_size_mean_bytes",
    "c2s_iat_mean_ms",
    "s2c_iat_mean_ms",
    "c2s_push_count",
    "rtt_handshake_ms",
]


def config(**features):
    return BuildConfig(features=FeatureSelection(**features))


def test_every_flow_lands_in_its_split_with_its_own_label_and_numbers(write):
    folder = write(train_rows=60, test_rows=40)
    data = read_dataset(folder, BuildConfig())
    assert [len(data.train), len(data.test)] == [60, 40]
    assert data.labels == ("bulk", "chat", "video", "web")
    assert [field.name for field in data.features] == NAMES
    assert data.features[2].unit == "ms"
    assert data.features[2].group == "timing"
    assert data.features[2].dtype == "float"
    table = pq.ParquetFile(folder / "flows/run_id=bbbb/part-0.parquet").read()
    assert data.test.flow_ids.tolist() == table["flow_id"].to_pylist()
    for position, name in enumerate(NAMES):
        expected = table[name].to_numpy().astype(np.float32)
        np.testing.assert_array_equal(data.test.inputs.features[:, position], expected)
    # The port was planted to be the class.
    np.testing.assert_array_equal(data.test.classes, table["src_port"].to_numpy() - 1000)
    assert data.train.runs == ("aaaa",)
    assert len(np.unique(data.train.groups)) == 12


def test_sequences_are_size_direction_and_gap_of_32_packets(write):
    folder = write(train_rows=60, test_rows=40)
    data = read_dataset(folder, BuildConfig())
    assert data.channels == ("size_bytes", "direction", "iat_us")
    assert data.train.inputs.sequences.shape == (60, 32, 3)
    assert data.train.inputs.sequences.dtype == np.float32
    table = pq.ParquetFile(folder / "flows/run_id=aaaa/part-0.parquet").read()
    direction = np.array(table["seq_direction"].to_pylist())
    np.testing.assert_array_equal(data.train.inputs.sequences[:, :, 1], direction)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({"groups": ("timing",)}, NAMES[2:4]),
        ({"groups": ("timing",), "include": ("rtt_handshake_ms",)}, [*NAMES[2:4], NAMES[5]]),
        ({"include": ("c2s_push_count",)}, ["c2s_push_count"]),
        ({"exclude": tuple(NAMES[1:])}, NAMES[:1]),
        ({"set": "packets"}, []),
    ],
)
def test_features_are_chosen_by_group_and_name(write, selection, expected):
    data = read_dataset(write(train_rows=60, test_rows=40), config(**selection))
    assert [field.name for field in data.features] == expected
    if expected:
        assert data.train.inputs.features.shape == (60, len(expected))
    else:
        assert data.train.inputs.features is None


def test_set_flow_leaves_the_sequences_out(write):
    data = read_dataset(write(train_rows=60, test_rows=40), config(set="flow"))
    assert data.train.inputs.sequences is None
    assert data.offers == {"features"}


@pytest.mark.parametrize(
    "name",
    ["flow_id", "network", "src_ip", "dst_ip", "src_port", "dst_port", "protocol", "first_ns"],
)
def test_an_identifier_cannot_be_asked_for(write, name):
    with pytest.raises(InputError, match=f"include: {name}: expected a column of role feature"):
        read_dataset(write(train_rows=60, test_rows=40), config(include=(name,)))


def test_every_wrong_name_is_told_at_once(write):
    selection = {"groups": ("size",), "include": ("rtt",), "exclude": ("src_ip",)}
    with pytest.raises(InputError) as caught:
        read_dataset(write(train_rows=60, test_rows=40), config(**selection))
    assert len(caught.value.problems) == 3
    assert "expected one of flags, rtt, sizes, timing, got size" in str(caught.value)
    assert "got a column of role key" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("dst_port", pa.uint16(), np.arange(100)),
        ("last_ns", pa.int64(), np.arange(100)),
        ("server", pa.string(), np.array([str(n) for n in range(100)])),
    ],
)
def test_a_planted_identifier_is_refused_even_when_called_a_feature(
    write, feature_column, name, kind, values
):
    folder = write(train_rows=60, test_rows=40)
    for part, rows in (("aaaa", slice(0, 60)), ("bbbb", slice(60, 100))):
        file = folder / f"flows/run_id={part}/part-0.parquet"
        table = pq.ParquetFile(file).read()
        if name in table.column_names:
            table = table.drop_columns([name])
        planted = feature_column(name, kind, "feature")
        pq.write_table(table.append_column(planted, pa.array(values[rows]).cast(kind)), file)
    with pytest.raises(InputError, match=f"{name}: expected a number that says nothing about who"):
        read_dataset(folder, BuildConfig())


def test_an_absolute_time_is_refused_under_any_name(write, feature_column):
    epoch_ms = np.linspace(1.7e12, 1.7e12 + 6e4, 100)
    extra = {
        "t": (feature_column("c2s_begin_ms", pa.float64(), "feature", "ms", "timing"), epoch_ms)
    }
    with pytest.raises(InputError, match="c2s_begin_ms: expected a duration, got points in time"):
        read_dataset(write(train_rows=60, test_rows=40, extra=extra), BuildConfig())


def test_unlabelled_and_ambiguous_flows_are_left_out_and_counted(write):
    data = read_dataset(
        write(train_rows=100, test_rows=40, unlabelled=9, ambiguous=4), BuildConfig()
    )
    assert data.skipped == {"ambiguous": 4, "unlabelled": 9}
    assert len(data.train) == 87
    assert data.labels == ("bulk", "chat", "video", "web")


def test_a_flow_of_no_split_or_no_label_is_left_out_and_counted(write):
    folder = write(train_rows=100, test_rows=40)
    splits = pq.read_table(folder / "splits.parquet")
    pq.write_table(splits.slice(3), folder / "splits.parquet")
    labels = pq.read_table(folder / "labels.parquet")
    kept = [row for row in labels.to_pylist() if row["flow_id"] != "aaaa000000000050"]
    pq.write_table(pa.Table.from_pylist(kept), folder / "labels.parquet")
    data = read_dataset(folder, BuildConfig())
    assert data.skipped == {"in no split": 3, "no label": 1}
    assert len(data.train) == 96


def test_binary_takes_the_positive_labels_against_the_rest(write):
    folder = write(train_rows=100, test_rows=40)
    data = read_dataset(folder, BuildConfig(task="binary", positive=("video", "web")))
    assert data.labels == ("other", "video+web")
    every = read_dataset(folder, BuildConfig())
    np.testing.assert_array_equal(data.train.classes, every.train.classes >= 2)


def test_the_category_can_be_the_class(write):
    data = read_dataset(write(train_rows=100, test_rows=40), BuildConfig(target="category"))
    assert data.labels == ("interactive", "streaming")


def test_an_unknown_positive_label_is_an_error(write):
    wrong = BuildConfig(task="binary", positive=("mining",))
    with pytest.raises(
        InputError, match="positive: expected among bulk, chat, video, web, got min"
    ):
        read_dataset(write(train_rows=100, test_rows=40), wrong)


def test_a_class_missing_in_a_split_is_an_error_that_names_it(write):
    folder = write(train_rows=100, test_rows=40)
    labels = pq.read_table(folder / "labels.parquet").to_pylist()
    for row in labels:
        if row["flow_id"].startswith("bbbb") and row["label"] == "web":
            row["label"] = "unlabelled"
        if row["flow_id"].startswith("aaaa") and row["label"] == "chat":
            row["label"] = "bulk"
    pq.write_table(pa.Table.from_pylist(labels), folder / "labels.parquet")
    with pytest.raises(InputError) as caught:
        read_dataset(folder, BuildConfig())
    assert [problem.path for problem in caught.value.problems] == ["train: chat", "test: web"]


def test_a_flow_labelled_twice_is_an_error(write):
    folder = write(train_rows=100, test_rows=40)
    labels = pq.read_table(folder / "labels.parquet")
    pq.write_table(pa.concat_tables([labels, labels.slice(0, 1)]), folder / "labels.parquet")
    with pytest.raises(InputError, match="flow_id: expected each flow once"):
        read_dataset(folder, BuildConfig())


def test_a_run_that_lacks_a_column_is_an_error(write):
    folder = write(train_rows=100, test_rows=40)
    file = folder / "flows/run_id=bbbb/part-0.parquet"
    pq.write_table(pq.ParquetFile(file).read().drop_columns(["c2s_push_count"]), file)
    with pytest.raises(InputError, match="c2s_push_count: expected the columns of every run"):
        read_dataset(folder, BuildConfig())


@pytest.mark.parametrize("released", [False, None])
def test_only_a_released_dataset_is_learnt_from_unless_accepted(write, released):
    folder = write(train_rows=100, test_rows=40, released=released)
    with pytest.raises(GateError, match="audit"):
        read_dataset(folder, BuildConfig())
    assert len(read_dataset(folder, BuildConfig(), accept_unreleased=True).train) == 100


@pytest.mark.parametrize("text", ["", "[]", "{}", "null"])
def test_a_broken_audit_is_an_input_error(write, text):
    folder = write(train_rows=60, test_rows=40)
    (folder / "audit.json").write_text(text)
    with pytest.raises(InputError, match=r"audit\.json"):
        read_dataset(folder, BuildConfig())


@pytest.mark.parametrize("name", ["dataset.json", "labels.parquet", "splits.parquet"])
def test_a_missing_file_is_named(write, name):
    folder = write(train_rows=60, test_rows=40)
    (folder / name).unlink()
    with pytest.raises(NotFoundError, match=name):
        read_dataset(folder, BuildConfig())


def test_a_dataset_without_flows_is_an_error(tmp_path):
    for name in ("labels.parquet", "splits.parquet", "dataset.json"):
        (tmp_path / name).touch()
    (tmp_path / "audit.json").write_text(json.dumps({"released": True}))
    with pytest.raises(NotFoundError, match="flows"):
        read_dataset(tmp_path, BuildConfig())
