"""Where flows are from: commands, tools, targets and impairments, by what a dataset carries."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np

from audit import load_dataset
from audit.sample import Sample
from audit.scores import left_out_tools
from tests.audit.test_suggest import TOPOLOGY, changes, proposed


def with_topology(new_dataset, **impairments):
    dataset = new_dataset()
    dataset.topology = copy.deepcopy(TOPOLOGY)
    dataset.topology["networks"]["clients"]["impairments"] = impairments
    return dataset


def test_equal_parameters_are_one_command_in_every_run(new_dataset):
    dataset = with_topology(new_dataset)
    dataset.size_of["web-0-1"] = 0
    data = load_dataset(dataset.write())
    commands, sessions = (set(data.context[what].to_pylist()) for what in ("command", "activity"))
    assert len(sessions) == 2 * 3 * 6 * 2  # runs, kinds, variants, sizes
    assert len(commands) == 3 * 6 * 2 - 1
    assert set(data.context["tool"].to_pylist()) == {
        f"{kind} {variant}" for kind in ("web", "ssh", "scan") for variant in range(6)
    }
    assert set(data.context["target"].to_pylist()) == {"198.18.10.1"}


def test_without_records_of_the_sessions_each_is_a_command(new_dataset):
    data = load_dataset(new_dataset().write())
    assert data.context["command"].equals(data.context["activity"])
    assert "tool" not in data.context


def test_impairments_are_those_of_both_ends_at_the_time(new_dataset):
    change = {"at_s": 20, "loss_percent": 2}
    dataset = with_topology(new_dataset, rate_mbit=10, schedule=[change])
    data = load_dataset(dataset.write())
    settings = np.array(data.context["impairment"].to_pylist(), dtype=object)
    assert set(settings) == {
        "rate_mbit 10.0 -> perfect",
        "rate_mbit 10.0, loss_percent 2.0 down, rate_mbit 10.0 up -> perfect",
    }
    first_s = data.values("first_ns") / 1e9
    for run in ("run-train", "run-test"):
        rows = np.array(data.context["run"].to_pylist()) == run
        late = first_s[rows] >= first_s[rows].min() + 20
        assert (np.array(["loss" in one for one in settings[rows]]) == late).all()


def test_a_lab_without_impairments_has_none(new_dataset):
    assert "impairment" not in load_dataset(with_topology(new_dataset).write()).context


def test_tools_unlike_all_others_of_their_class_are_named_and_get_company(new_dataset):
    # Each variant of the handmade classes is a pattern of its own.
    result = proposed(with_topology(new_dataset), "E4")
    assert any(tool.startswith("scan ") for tool in result.culprits)
    assert changes(result)["activities.scanning.params.variants"][0] == ["slow"]


def sample_of(values, classes):
    rows = np.arange(len(classes))
    return Sample(
        rows=rows,
        values=np.asarray(values, dtype=np.float32)[:, None],
        classes=np.asarray(classes),
        labels=("a", "b"),
        train=rows,
        test=rows,
        split="",
        left_out=(),
    )


def test_each_tool_is_judged_by_a_model_that_has_not_seen_it():
    # Class a: tools 0 and 1 alike, 2 like class b; class b: tools 3 and 4 alike.
    sizes = (40, 40, 40, 100, 100)
    tools = np.repeat([0, 1, 2, 3, 4], sizes)
    values = np.repeat([0.0, 0.0, 1.0, 1.0, 1.0], sizes)
    found = left_out_tools(sample_of(values, np.repeat([0, 0, 0, 1, 1], sizes)), tools, most=12)
    _, rows = found.pop(-1)
    assert rows == sum(sizes)
    assert {code: share for code, (share, _) in found.items()} == {0: 1, 1: 1, 2: 0, 3: 1, 4: 1}


def test_the_only_tool_of_a_class_is_not_judged():
    tools = np.repeat([0, 1, 2], 40)
    found = left_out_tools(
        sample_of(np.repeat([0.0, 0.0, 1.0], 40), np.repeat([0, 0, 1], 40)), tools, most=12
    )
    assert set(found) == {-1, 0, 1}
    assert Counter(rows for _, rows in found.values()) == {80: 1, 40: 2}
