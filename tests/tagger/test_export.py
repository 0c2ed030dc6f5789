from __future__ import annotations

import csv
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv
from sklearn.externals import _arff  # reads what Weka reads

from tagger import SplitPlan, TaggedRun, split_dataset, write_dataset
from tagger.export import FORMATS, Privacy, export_dataset
from tagger.export.rows import Rows
from tagger.export.text import quoted, write_arff, write_csv
from topologies.errors import InputError
from topologies.files import sha256_file, write_json

STEPS = 3
EXTRA = (
    pa.field("mean_ms", pa.float64(), metadata={"role": "feature", "unit": "ms"}),
    pa.field("origin_id", pa.string(), metadata={"role": "meta"}),
    pa.field("seq_size_bytes", pa.list_(pa.int32(), STEPS), metadata={"role": "sequence"}),
    pa.field("seq_iat_us", pa.list_(pa.float32(), STEPS), metadata={"role": "sequence"}),
)


@pytest.fixture
def folder(busy_run, tmp_path):
    """A dataset of a training and a test run."""
    runs = []
    for name, split in (("one", "train"), ("two", "test")):
        run = busy_run(name)
        for field in EXTRA:
            run.schema = run.schema.append(field)
        for number, flow in enumerate(run.flows):
            flow["mean_ms"] = [0.1, float("nan"), float("inf"), None][number % 4]
            flow["origin_id"] = flow["flow_id"]
            flow["seq_size_bytes"] = [40, 1500, number]
            flow["seq_iat_us"] = [0.0, 0.1 * number, 2.5]
        runs.append(TaggedRun(run.write().folder, run.table, split))
    write_dataset(tmp_path / "data", "two runs", runs)
    return tmp_path / "data"


def test_one_parquet_file_holds_everything(folder, tmp_path):
    report = export_dataset(folder, tmp_path / "all.parquet", "parquet")
    assert (report.flows, report.left_out) == (16, 0)
    table = pq.read_table(tmp_path / "all.parquet")
    flows = [pq.ParquetFile(path).read() for path in sorted((folder / "flows").rglob("*.parquet"))]
    whole = pa.concat_tables(flows)
    exact = [name for name in whole.column_names if name != "mean_ms"]
    assert table.select(exact).equals(whole.select(exact))
    assert repr(table["mean_ms"].to_pylist()) == repr(whole["mean_ms"].to_pylist())  # with NaN
    assert table.schema.field("mean_ms").metadata == {b"role": b"feature", b"unit": b"ms"}
    labels = pq.read_table(folder / "labels.parquet")
    assert table.select(labels.column_names).cast(labels.schema).equals(labels)
    assert table["run_id"].to_pylist() == ["one"] * 8 + ["two"] * 8
    assert table["split"].to_pylist() == ["train"] * 8 + ["test"] * 8


def test_csv_has_a_column_per_packet(folder, tmp_path):
    export_dataset(folder, tmp_path / "all.csv", "csv")
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 16
    assert rows[1]["flow_id"] == "one-1"
    assert [rows[1][f"seq_size_bytes_{n}"] for n in range(STEPS)] == ["40", "1500", "1"]
    assert np.float32(rows[1]["seq_iat_us_1"]) == np.float32(0.1)
    assert [row["mean_ms"] for row in rows[:4]] == ["0.1", "nan", "inf", ""]
    assert (rows[0]["label"], rows[0]["malicious"], rows[0]["split"]) == ("web", "false", "train")


def test_arff_is_read_as_it_was_meant(folder, tmp_path):
    export_dataset(folder, tmp_path / "all.arff", "arff")
    read = _arff.loads((tmp_path / "all.arff").read_text())
    assert read["relation"] == "two runs"
    kinds = dict(read["attributes"])
    assert kinds["mean_ms"] == "NUMERIC"
    assert kinds["split"] == ["train", "validation", "test", "unseen"]
    assert "unlabelled" in kinds["label"]
    rows = [dict(zip(kinds, row, strict=True)) for row in read["data"]]
    assert [row["mean_ms"] for row in rows[:4]] == [0.1, None, None, None]
    assert [rows[1][f"seq_size_bytes_{n}"] for n in range(STEPS)] == [40, 1500, 1]
    assert rows[0]["reason"] == pq.read_table(folder / "labels.parquet")["reason"][0].as_py()
    assert rows[0]["first_ns"] == 1_700_000_001_500_000_000


def test_hugging_face_reads_the_folder(folder, tmp_path, monkeypatch):
    for name in ("HF_HOME", "HF_DATASETS_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    datasets.disable_progress_bars()
    report = export_dataset(folder, tmp_path / "hf", "huggingface")
    read = datasets.load_dataset(str(tmp_path / "hf"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in read.items()} == {"train": 8, "test": 8}
    row = read["train"][1]
    assert (row["flow_id"], row["label"], row["seq_size_bytes"]) == ("one-1", "web", [40, 1500, 1])
    assert "split" not in row
    assert (report.flows, report.left_out) == (16, 0)
    assert (tmp_path / "hf" / "README.md").read_text().startswith("---\npretty_name: two runs\n")


def test_numpy_has_sequences_and_labels(folder, tmp_path):
    export_dataset(folder, tmp_path / "all.npz", "numpy")
    with np.load(tmp_path / "all.npz", allow_pickle=False) as read:
        assert set(read) == {
            *("seq_size_bytes", "seq_iat_us", "label", "classes", "split", "splits"),
            *("flow_id", "run_id"),
        }
        assert read["seq_size_bytes"].shape == (16, STEPS)
        assert read["seq_size_bytes"].dtype == np.int32
        assert read["seq_size_bytes"][1].tolist() == [40, 1500, 1]
        assert read["classes"][read["label"][:5]].tolist() == ["web"] * 5
        assert read["label"][7] == -1  # nobody's
        assert read["splits"][read["split"][[0, 15]]].tolist() == ["train", "test"]


def test_flows_in_no_split_are_told_so(folder, tmp_path):
    # The cut is at 3 s: the ssh sessions, of 1.5 to 4.9 s, lie across.
    split_dataset(folder, SplitPlan(by="time", shares={"train": 3, "test": 97}))
    ssh = pq.read_table(folder / "labels.parquet")["label"].to_pylist().index("ssh")
    export_dataset(folder, tmp_path / "p", "parquet")
    assert pq.read_table(tmp_path / "p")["split"][ssh].as_py() is None
    export_dataset(folder, tmp_path / "n.npz", "numpy")
    with np.load(tmp_path / "n.npz") as read:
        assert read["split"][ssh] == -1
    report = export_dataset(folder, tmp_path / "hf", "huggingface")
    assert (report.flows, report.left_out) == (14, 2)


def test_numpy_needs_sequences(busy_run, tmp_path):
    run = busy_run().write()
    write_dataset(tmp_path / "d", "d", [TaggedRun(run.folder, run.table, "train")])
    with pytest.raises(InputError, match="expected packet sequences, got none in the flow table"):
        export_dataset(tmp_path / "d", tmp_path / "all.npz", "numpy")
    assert not (tmp_path / "all.npz").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_no_form_tells_what_is_to_be_hidden(folder, tmp_path, form):
    privacy = Privacy(bytes(32), frozenset({"times", "ids"}))
    (folder / "card.md").write_text("run one, host alice")
    out = tmp_path / "out"
    report = export_dataset(folder, out, form, privacy)
    assert not {"first_ns", "last_ns", "flow_id", "run_id", "network", "origin_id", "activity_id",
                "reason"} & set(report.columns)  # fmt: skip
    assert {"src_ip", "c2s_packets", "label", "split", "seq_iat_us"} <= set(report.columns)
    files = [path for path in [out, *out.rglob("*")] if path.is_file()]
    if form == "parquet":
        assert set(pq.read_table(out)["dst_ip"].to_pylist()) != {"198.18.10.1"}
    if form in ("csv", "arff"):
        text = out.read_text()
        assert "198.18." not in text
        assert "alice" not in text
    if form == "huggingface":
        assert "alice" not in (out / "README.md").read_text()
    assert files


def test_the_same_key_hides_two_exports_alike(folder, tmp_path):
    tables = []
    for name, key in (("a", bytes(32)), ("b", bytes(32)), ("c", bytes(range(32)))):
        export_dataset(folder, tmp_path / name, "parquet", Privacy(key))
        tables.append(pq.read_table(tmp_path / name, columns=["src_ip", "dst_ip"]))
    assert tables[0] == tables[1] != tables[2]
    export_dataset(folder, tmp_path / "d", "parquet", Privacy(drop=frozenset({"addresses"})))
    assert "src_ip" not in pq.read_schema(tmp_path / "d").names


def test_exports_never_take_the_place_of_something_else(folder, tmp_path):
    with pytest.raises(InputError, match="expected a file, got something else"):
        export_dataset(folder, folder, "csv")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        export_dataset(folder, folder, "huggingface")


# -- texts of every kind -----------------------------------------------------------------------


class Handmade(Rows):
    """Rows of texts and numbers that no dataset would have."""

    table: pa.Table

    @property
    def schema(self):
        return self.table.schema

    def batches(self):
        yield self.table


TEXTS = st.lists(
    st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))), min_size=1
)
NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))


def handmade(folder, texts, numbers):
    from tagger import load_summary

    rows = Handmade(folder, load_summary(folder), Privacy())
    columns = {"note": pa.array(texts, pa.string()), "value": pa.array(numbers, pa.float64())}
    object.__setattr__(rows, "table", pa.table(columns))
    return rows


@pytest.fixture(scope="module")
def some_dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("summary")
    write_json(folder / "dataset.json", json.loads(SUMMARY))
    return folder


SUMMARY = """{"name": "d", "versions": {}, "rules": {"name": "r", "sha256": ""}, "vocabulary": {},
 "flows": 0, "classes": {}, "unlabelled": 0, "ambiguous": 0, "duplicate_observations": 0,
 "quality": {"note": "", "overall": {"checked": 0, "agreed": 0}}, "runs": [], "files": {}}"""


@settings(max_examples=60)
@given(data=st.data(), texts=TEXTS)
def test_any_text_comes_back_from_csv(some_dataset, data, texts):
    numbers = data.draw(st.lists(NUMBERS, min_size=len(texts), max_size=len(texts)))
    rows = handmade(some_dataset, texts, numbers)
    with TemporaryDirectory() as place:
        write_csv(rows, Path(place) / "out.csv")
        read = arrow_csv.read_csv(
            Path(place) / "out.csv",
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=rows.schema,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )
    assert read.to_pydict() == {"note": texts, "value": numbers}


@settings(max_examples=60)
@given(data=st.data(), texts=TEXTS)
def test_any_text_comes_back_from_arff(some_dataset, data, texts):
    numbers = data.draw(st.lists(NUMBERS, min_size=len(texts), max_size=len(texts)))
    rows = handmade(some_dataset, texts, numbers)
    with TemporaryDirectory() as place:
        write_arff(rows, Path(place) / "out.arff")
        with (Path(place) / "out.arff").open(newline="\n", encoding="utf-8") as stream:
            read = _arff.load(stream)
    assert [row[0] for row in read["data"]] == texts
    assert [row[1] for row in read["data"]] == numbers


def test_arff_quoting_in_words():
    assert quoted('it\'s 5 % \\ of\n"all"') == "'it\\'s 5 \\% \\\\ of\\n\\\"all\\\"'"


def test_a_damaged_dataset_is_not_exported(folder, tmp_path):
    digest = sha256_file(folder / "labels.parquet")
    with (folder / "labels.parquet").open("ab") as stream:
        stream.write(b"x")
    assert sha256_file(folder / "labels.parquet") != digest
    with pytest.raises(InputError, match=r"labels\.parquet: expected SHA-256"):
        export_dataset(folder, tmp_path / "out.csv", "csv")
    assert not (tmp_path / "out.csv").exists()
