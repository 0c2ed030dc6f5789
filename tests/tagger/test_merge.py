from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tagger import (
    SplitPlan,
    TaggedRun,
    load_summary,
    merge_datasets,
    split_dataset,
    verify,
    write_dataset,
)
from topologies.errors import InputError
from topologies.files import write_text


@pytest.fixture
def make(busy_run, tmp_path):
    """Write a dataset of runs of one flow schema."""

    def write(name, *pairs, schema=None):
        sources = []
        for run_id, split in pairs:
            run = busy_run(run_id)
            run.schema = schema or run.schema
            sources.append(TaggedRun(run.write().folder, run.table, split))
        write_dataset(tmp_path / name, name, sources)
        return tmp_path / name

    return write


def test_a_merged_dataset_is_the_one_of_all_runs(make, tmp_path):
    one, two = make("one", ("a", "train")), make("two", ("b", "test"))
    merged = merge_datasets([one, two], tmp_path / "all", "all")
    assert verify(tmp_path / "all") == ()
    assert merged == load_summary(tmp_path / "all")
    # Written at once from the same runs, it is the same to the last digest.
    at_once = load_summary(make("all-at-once", ("a", "train"), ("b", "test")))
    assert merged.model_dump() == at_once.model_copy(update={"name": "all"}).model_dump()


def test_what_is_merged_can_be_merged_and_split_again(make, tmp_path):
    first = merge_datasets(
        [make("one", ("a", "train")), make("two", ("b", "train"))], tmp_path / "ab", "ab"
    )
    assert first.splitting.by == "run"
    merge_datasets([tmp_path / "ab", make("three", ("c", "train"))], tmp_path / "abc", "abc")
    plan = SplitPlan(by="run", named=dict.fromkeys("ab", "train") | {"c": "test"})
    assert split_dataset(tmp_path / "abc", plan).classes["test"] == {"web": 5, "ssh": 1, "scan": 1}


def refusal(make, tmp_path, two):
    one = make("one", ("a", "train"))
    with pytest.raises(InputError) as caught:
        merge_datasets([one, two], tmp_path / "all", "all")
    assert not (tmp_path / "all").exists()
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_another_unit_is_refused_by_the_first_column(make, busy_run, tmp_path):
    schema = busy_run("x").schema
    place = schema.get_field_index("c2s_packets")
    other = schema.set(
        place,
        schema.field(place).with_metadata({"role": "feature", "unit": "kilopackets"}),
    ).append(pa.field("more", pa.int64()))
    [said] = refusal(make, tmp_path, make("two", ("b", "test"), schema=other))
    assert said == (
        "two: column 'c2s_packets': expected c2s_packets (int64, role feature), as in one, got "
        "c2s_packets (int64 in kilopackets, role feature); meter the runs of both with one "
        "version and one set of features"
    )


def test_a_column_more_is_refused(make, busy_run, tmp_path):
    other = busy_run("x").schema.append(pa.field("more", pa.int64()))
    [said] = refusal(make, tmp_path, make("two", ("b", "test"), schema=other))
    assert said.startswith(
        "two: column 'more': expected no such column, as in one, got more (int64);"
    )


def test_other_labels_are_refused_by_name(make, tmp_path):
    two = make("two", ("b", "test"))
    values = json.loads((two / "dataset.json").read_text())
    values["vocabulary"]["ssh"]["malicious"] = True
    write_text(two / "dataset.json", json.dumps(values))
    [said] = refusal(make, tmp_path, two)
    assert said.startswith("two: label 'ssh': expected the labels and rules of one (traffic, ")


def test_a_run_that_is_there_twice_is_refused_under_either_name(make, tmp_path):
    [said] = refusal(make, tmp_path, make("two", ("a", "test")))
    assert said.startswith(
        "two: runs: expected each run once, got run 'a', which is in one too; leave one out"
    )


def test_splits_of_another_kind_are_refused(make, tmp_path):
    two = make("two", ("b", "test"))
    split_dataset(two, SplitPlan(by="time", shares={"train": 1, "test": 1}))
    [said] = refusal(make, tmp_path, two)
    assert "expected splits by run, as in one, got splits by time" in said


def test_a_group_on_two_sides_is_refused(make, tmp_path):
    one, two = make("a1", ("a", "train")), make("b1", ("b", "train"))
    for folder, side in ((one, "train"), (two, "test")):
        split_dataset(folder, SplitPlan(by="topology", named={"small": side}))
    with pytest.raises(
        InputError, match=r"expected topology 'small' in train, as in .*, got in test"
    ):
        merge_datasets([one, two], tmp_path / "all", "all")


def test_one_dataset_alone_is_no_merge(make, tmp_path):
    with pytest.raises(InputError, match="expected two or more datasets, got 1"):
        merge_datasets([make("one", ("a", "train"))], tmp_path / "all", "all")


def test_the_flows_come_in_the_order_of_the_datasets(make, tmp_path):
    merge_datasets(
        [make("one", ("b", "train")), make("two", ("a", "test"))], tmp_path / "all", "all"
    )
    rows = pq.read_table(tmp_path / "all" / "splits.parquet").to_pylist()
    assert [row["run_id"] for row in rows] == ["b"] * 8 + ["a"] * 8
