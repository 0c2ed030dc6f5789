from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tagger import TaggedRun, load_summary, verify, write_dataset
from topologies.errors import InputError, NotFoundError
from topologies.files import write_text


def sources(*pairs):
    return [TaggedRun(run.folder, run.table, split) for run, split in pairs]


def test_the_directory_follows_its_contract(busy_run, tmp_path):
    one, two = busy_run("one").write(), busy_run("two (b)/2").write()
    out = tmp_path / "data"
    report = write_dataset(out, "mine", sources((one, "train"), (two, "test")))

    flows = ds.dataset(out / "flows", partitioning="hive").to_table()
    assert flows.num_rows == 16
    assert set(flows["run_id"].to_pylist()) == {"one", "2"}
    file = pq.ParquetFile(out / "flows" / "run_id=one" / "part-0.parquet")
    assert "run_id" not in file.schema_arrow.names
    assert file.schema_arrow.field("c2s_packets").metadata == {b"role": b"feature"}

    labels = pq.read_table(out / "labels.parquet")
    splits = pq.read_table(out / "splits.parquet")
    assert labels["flow_id"].to_pylist() == splits["flow_id"].to_pylist()
    assert splits.group_by(["run_id", "split"]).aggregate([]).to_pylist() == [
        {"run_id": "one", "split": "train"},
        {"run_id": "2", "split": "test"},
    ]

    summary = load_summary(out)
    assert summary == report.contents
    assert summary.classes == {
        "train": {"web": 5, "ssh": 1, "scan": 1},
        "test": {"web": 5, "ssh": 1, "scan": 1},
    }
    assert (summary.flows, summary.unlabelled, summary.ambiguous) == (16, 2, 0)
    assert (summary.quality.overall.agreed, summary.quality.overall.checked) == (14, 14)
    assert [(run.run_id, run.split) for run in summary.runs] == [("one", "train"), ("2", "test")]
    assert verify(out) == ()
    assert report.summary().splitlines()[0] == (
        "dataset mine: 16 flows: 10 web, 2 ssh, 2 scan; 2 unlabelled, 0 ambiguous"
    )


def test_only_the_observations_that_count_are_copied(new_run, tmp_path):
    run = new_run()
    run.activity("web", start_s=0, stop_s=9)
    run.flow(1, 2, sport=1000, network="lan-a")
    kept = run.flow(1, 2, sport=1000, network="servers")
    run.write()
    out = tmp_path / "data"
    assert write_dataset(out, "d", sources((run, "train"))).contents.duplicate_observations == 1
    flows = pq.ParquetFile(out / "flows" / "run_id=run-1" / "part-0.parquet").read()
    assert flows["flow_id"].to_pylist() == [kept]


def test_the_same_input_gives_the_same_bytes(busy_run, tmp_path):
    run = busy_run().write()
    for name in ("a", "b"):
        write_dataset(tmp_path / name, "same", sources((run, "train")))
    assert (tmp_path / "a" / "dataset.json").read_bytes() == (
        tmp_path / "b" / "dataset.json"
    ).read_bytes()


def test_an_own_dataset_is_replaced_and_a_foreign_folder_never(busy_run, tmp_path):
    run = busy_run().write()
    out = tmp_path / "data"
    write_dataset(out, "first", sources((run, "train")))
    write_text(out / "audit.json", "{}")
    write_dataset(out, "second", sources((run, "train")))
    assert load_summary(out).name == "second"
    assert not (out / "audit.json").exists()

    foreign = tmp_path / "photos"
    write_text(foreign / "cat.txt", "meow")
    with pytest.raises(InputError, match="expected a new folder or a dataset to replace"):
        write_dataset(foreign, "d", sources((run, "train")))
    assert (foreign / "cat.txt").read_text() == "meow"


def test_a_failure_leaves_the_old_dataset_and_no_litter(busy_run, tmp_path):
    good, bad = busy_run("good").write(), busy_run("bad").write()
    out = tmp_path / "sets" / "data"
    write_dataset(out, "old", sources((good, "train")))
    write_text(bad.folder / "journal.jsonl", "{broken\n")
    with pytest.raises(InputError, match="journal"):
        write_dataset(out, "new", sources((good, "train"), (bad, "test")))
    assert load_summary(out).name == "old"
    assert [path.name for path in out.parent.iterdir()] == ["data"]


def test_one_run_in_both_splits_is_refused(busy_run, tmp_path):
    run = busy_run().write()
    with pytest.raises(InputError, match="expected each run once, in one split, got run 'run-1'"):
        write_dataset(tmp_path / "d", "d", sources((run, "train"), (run, "test")))
    assert not (tmp_path / "d").exists()


def test_mixed_feature_schemas_are_refused_by_name(busy_run, tmp_path):
    one, two = busy_run("one").write(), busy_run("two")
    place = two.schema.get_field_index("c2s_packets")
    two.schema = two.schema.set(
        place, two.schema.field(place).with_metadata({"role": "feature", "unit": "packets"})
    ).append(pa.field("s2c_packets", pa.int64()))
    two.write()
    with pytest.raises(InputError, match=r"other ones \(c2s_packets, s2c_packets\)"):
        write_dataset(tmp_path / "d", "d", sources((one, "train"), (two, "test")))


def test_an_incomplete_run_is_refused(busy_run, tmp_path):
    run = busy_run()
    run.status = "incomplete"
    run.write()
    with pytest.raises(InputError, match="expected a complete run"):
        write_dataset(tmp_path / "d", "d", sources((run, "train")))


def test_no_run_at_all_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected at least one run"):
        write_dataset(tmp_path / "d", "d", [])


def test_flow_ids_that_repeat_are_refused(busy_run, tmp_path):
    run = busy_run()
    run.flows[1]["flow_id"] = run.flows[0]["flow_id"]
    run.write()
    with pytest.raises(InputError, match="expected each flow id once"):
        write_dataset(tmp_path / "d", "d", sources((run, "train")))


def test_verify_finds_missing_changed_and_added_files(busy_run, tmp_path):
    run = busy_run().write()
    out = tmp_path / "data"
    write_dataset(out, "d", sources((run, "train")))
    (out / "splits.parquet").unlink()
    with (out / "labels.parquet").open("ab") as stream:
        stream.write(b"x")
    write_text(out / "flows" / "run_id=stranger" / "part-0.parquet", "")
    assert [p.file.removeprefix(f"{out}/") for p in verify(out)] == [
        "labels.parquet",
        "splits.parquet",
        "flows/run_id=stranger/part-0.parquet",
    ]


def test_a_damaged_summary_is_an_input_error(busy_run, tmp_path):
    with pytest.raises(NotFoundError, match=r"no dataset\.json in it"):
        load_summary(tmp_path)
    run = busy_run().write()
    out = tmp_path / "data"
    write_dataset(out, "d", sources((run, "train")))
    values = json.loads((out / "dataset.json").read_text())
    write_text(out / "dataset.json", json.dumps(values | {"flows": "many"}))
    with pytest.raises(InputError, match=r"dataset\.json: flows: expected a dataset summary"):
        load_summary(out)


def test_flows_to_judge_on_that_repeat_a_training_flow_are_in_no_split(busy_run, tmp_path):
    train, test, other = busy_run("a"), busy_run("b"), busy_run("c")
    web, ssh = test.flows[0], test.flows[5]
    web["c2s_packets"] = train.flows[0]["c2s_packets"]  # a twin of its own kind
    ssh["c2s_packets"] = train.flows[5]["c2s_packets"]
    train.flows[5]["c2s_packets"] = 99  # the twins that are left are of other kinds
    out = tmp_path / "data"
    sides = ((train, "train"), (test, "test"), (other, "unseen"))
    made = write_dataset(out, "mine", sources(*((run.write(), split) for run, split in sides)))
    rows = pq.read_table(out / "splits.parquet").to_pylist()
    assert [row["flow_id"] for row in rows if row["split"] == ""] == [web["flow_id"]]
    assert made.contents.splitting.left_out == 1
    assert made.contents.left_out == {"web": 1}
    assert made.contents.classes["test"] == {"web": 4, "ssh": 1, "scan": 1}
    assert made.contents.classes["unseen"] == {"web": 5, "ssh": 1, "scan": 1}
    assert "1 flows nearly repeat a training flow" in made.summary()
