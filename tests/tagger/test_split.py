from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger import SplitPlan, TaggedRun, load_summary, split_dataset, verify, write_dataset
from tagger.splitting import Flows, deal, names_of, split_flows
from topologies.errors import InputError
from topologies.files import write_text

HALVES = {"train": 1, "test": 1}


@pytest.fixture
def folder(busy_run, tmp_path):
    """Three runs, in each web, ssh, scan sessions by alice and a web session by bob, later."""
    runs = []
    for name in ("one", "two", "three"):
        run = busy_run(name)
        late = run.activity("web", start_s=60, stop_s=90, host="bob", address="198.18.2.1")
        for sport in (50_000, 50_001):
            run.flow(61, 62, sport=sport, src="198.18.2.1", owner=late)
        runs.append(TaggedRun(run.write().folder, run.table, "train"))
    out = tmp_path / "data"
    write_dataset(out, "d", runs)
    return out


def splits(folder):
    rows = pq.read_table(folder / "splits.parquet").to_pylist()
    return {row["flow_id"]: row["split"] for row in rows}


def by_owner(folder):
    """The splits that each activity has flows in."""
    found = defaultdict(set)
    side = splits(folder)
    for row in pq.read_table(folder / "labels.parquet").to_pylist():
        if row["activity_id"]:
            found[row["flow_id"].rpartition("-")[0], row["activity_id"]].add(side[row["flow_id"]])
    return found


def test_runs_stay_whole_and_the_split_is_recorded(folder):
    write_text(folder / "audit.json", "{}")
    summary = split_dataset(folder, SplitPlan(by="run", shares={"train": 2, "test": 1}, seed=3))
    assert summary == load_summary(folder)
    assert verify(folder) == ()
    assert not (folder / "audit.json").exists()  # it was about other splits
    sides = {run.run_id: run.split for run in summary.runs}
    assert sorted(sides.values()) == ["test", "train", "train"]
    assert {group.name: group.split for group in summary.splitting.groups} == sides
    assert (summary.splitting.by, summary.splitting.seed) == ("run", 3)
    assert summary.splitting.shares == {"train": 2, "test": 1}
    assert {flow.rpartition("-")[0]: side for flow, side in splits(folder).items()} == sides
    assert summary.classes["test"] == {"web": 7, "ssh": 1, "scan": 1}
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_the_old_dataset_stays_where_a_new_one_is_asked_for(folder, tmp_path):
    before = (folder / "dataset.json").read_bytes()
    named = {"one": "test", "two": "train", "three": "train"}
    new = split_dataset(folder, SplitPlan(by="run", named=named), tmp_path / "new")
    assert (folder / "dataset.json").read_bytes() == before
    assert {run.run_id: run.split for run in new.runs} == named
    assert new.splitting.seed is None
    with (tmp_path / "new" / "labels.parquet").open("ab") as stream:
        stream.write(b"x")
    assert verify(folder) == ()  # no bytes are shared
    assert len(verify(tmp_path / "new")) == 1


def test_hosts_take_their_activities_with_them(folder):
    plan = SplitPlan(by="host", named={"small/alice": "train", "small/bob": "test"})
    summary = split_dataset(folder, plan)
    assert all(len(sides) == 1 for sides in by_owner(folder).values())
    assert summary.classes == {"train": {"web": 15, "ssh": 3, "scan": 3}, "test": {"web": 6}}
    assert {run.split for run in summary.runs} == {None}
    # The flow that nobody's activity explains began at alice's address.
    assert sum(group.flows for group in summary.splitting.groups) == summary.flows


def test_time_cuts_every_run_and_leaves_out_what_lies_across(busy_run, tmp_path):
    run = busy_run()
    run.activity("video", start_s=0, stop_s=100, port=9000)
    for first in (2, 40, 90):
        run.flow(first, first + 1, sport=50_000 + first, dport=9000)
    write_dataset(tmp_path / "d", "d", [TaggedRun(run.write().folder, run.table, "train")])
    summary = split_dataset(tmp_path / "d", SplitPlan(by="time", shares={"test": 3, "train": 1}))
    assert summary.classes == {"train": {"web": 5, "ssh": 1, "scan": 1}, "test": {}}
    assert summary.left_out == {"video": 3}
    assert summary.label_counts["video"] == 3
    assert summary.splitting.left_out == 3
    assert set(splits(tmp_path / "d").values()) == {"train", "test", ""}
    assert [g.name for g in summary.splitting.groups] == ["run-1/test", "run-1/train"]


def test_the_same_plan_gives_the_same_bytes_and_another_seed_another_split(folder, tmp_path):
    made = []
    for number, seed in enumerate((0, 0, 1, 2, 3)):
        out = tmp_path / f"out-{number}"
        split_dataset(folder, SplitPlan(by="run", shares=HALVES, seed=seed), out)
        made.append((out / "splits.parquet").read_bytes())
    assert made[0] == made[1]
    assert len(set(made)) > 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"by": "run"}, "expected shares, or the splits of named groups, got neither"),
        ({"by": "run", "shares": {"train": 0}}, "expected a share above zero"),
        ({"by": "time", "named": {"one": "train"}}, "expected two or more shares to cut time by"),
        ({"by": "run", "named": {"four": "train"}}, "got 'four'; choose among one, three, two"),
        ({"by": "run", "named": {"one": "train"}}, "got none for three, two; name these too"),
        (
            {"by": "topology", "shares": HALVES},
            r"expected as many topologys as splits, got 1 \(small\) and no flow for",
        ),
    ],
)
def test_plans_that_do_not_fit_are_refused_and_change_nothing(folder, values, message):
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    with pytest.raises(InputError, match=message.replace("topologys", "topologies")):
        split_dataset(folder, SplitPlan(**values))
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


def test_a_damaged_dataset_is_not_split(folder):
    values = json.loads((folder / "dataset.json").read_text())
    values["files"]["labels.parquet"] = "0" * 64
    write_text(folder / "dataset.json", json.dumps(values))
    with pytest.raises(InputError, match=r"labels\.parquet: expected SHA-256"):
        split_dataset(folder, SplitPlan(by="run", shares=HALVES))


@given(
    sizes=st.dictionaries(st.text(min_size=1), st.integers(1, 1000), min_size=3, max_size=30),
    seed=st.integers(0, 100),
)
def test_every_group_is_dealt_out_and_no_split_is_empty(sizes, seed):
    shares = {"train": 7, "validation": 1, "test": 2}
    chosen = deal(sizes, SplitPlan(by="host", shares=shares, seed=seed))
    assert set(chosen) == set(sizes)
    assert set(chosen.values()) == set(shares)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["", "x", "y", "z"]),
                  st.integers(0, 1000), st.integers(0, 200)),
        min_size=4,
    )
)  # fmt: skip
def test_windows_of_time_never_tear_an_activity(rows):
    run, owner, first, length = zip(*rows, strict=True)
    flows = Flows(
        run=names_of(run),
        owner=names_of(owner),
        group=names_of(run),
        first_ns=np.array(first),
        last_ns=np.array(first) + np.array(length),
    )
    try:
        split, _ = split_flows(flows, SplitPlan(by="time", shares={"train": 1, "test": 1}))
    except InputError:  # one window has no flow
        return
    for key in set(zip(run, owner, strict=True)):
        rows_of = [one == key for one in zip(run, owner, strict=True)]
        if key[1]:
            assert len(set(split[rows_of])) == 1
    for one in set(run):
        last = flows.last_ns[(flows.run == one) & (split == "train")]
        begin = flows.first_ns[(flows.run == one) & (split == "test")]
        if len(last) and len(begin):
            assert last.max() <= begin.min()
