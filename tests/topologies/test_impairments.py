"""What a user may write about impairments, and what it comes to for each direction and time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from topologies.document import parse_yaml, validate
from topologies.errors import InputError, Problem
from topologies.impairments import Impairments, Quality, Values
from topologies.loader import load_topology
from topologies.references import check_references
from topologies.schema import Topology

LAB = (
    "name: x\nhosts: {a: {networks: [n]}}\nnetworks: {n: {subnet: 198.18.1.0/24, impairments: %s}}"
)


def problems_of(impairments: str) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        validate(parse_yaml(LAB % impairments, file="f.yaml"), Topology)
    return caught.value.problems


def test_nothing_asked_for_is_nothing_done() -> None:
    [stage] = Impairments().stages()
    assert stage.down == stage.up == Quality()
    assert stage.down.perfect
    assert not Impairments().active
    assert not Impairments(delay_ms=0.0, rate_mbit=None).active
    assert not Impairments(rate_mbit="unlimited").active


def test_a_packet_meets_all_but_rate_and_queue_once() -> None:
    asked = {"rate_mbit": 8, "queue_ms": 30, "delay_ms": 20, "jitter_ms": 2, "loss_percent": 1}
    [stage] = Impairments.model_validate(asked).stages()
    assert stage.down == Quality(8, 20, 2, "normal", 1, queue_ms=30)
    assert stage.up == Quality(8, queue_ms=30)
    assert stage.up.only_rate
    assert not stage.down.only_rate


def test_a_direction_overrides_what_is_on_top() -> None:
    asked = {
        "rate_mbit": 50,
        "delay_ms": 5,
        "down": {"delay_ms": 9, "rate_mbit": "unlimited"},
        "up": {"rate_mbit": 10, "loss_percent": 3},
    }
    [stage] = Impairments.model_validate(asked).stages()
    assert stage.down == Quality(delay_ms=9)
    assert stage.up == Quality(rate_mbit=10, loss_percent=3)


def test_a_schedule_changes_values_and_leaves_the_rest() -> None:
    asked = {
        "rate_mbit": 10,
        "queue_packets": 50,
        "delay_ms": 5,
        "schedule": [
            {"at_s": 10, "delay_ms": 40, "up": {"loss_percent": 2}},
            {"at_s": 20, "queue_ms": 100},
            {"at_s": 30, "delay_ms": 0},
        ],
    }
    stages = Impairments.model_validate(asked).stages()
    assert [stage.at_s for stage in stages] == [0, 10, 20, 30]
    assert [stage.down.delay_ms for stage in stages] == [5, 40, 40, 0]
    assert [stage.up.loss_percent for stage in stages] == [0, 2, 2, 2]
    assert [(s.up.queue_packets, s.up.queue_ms) for s in stages] == [
        *[(50, None)] * 2,
        *[(None, 100)] * 2,
    ]


@pytest.mark.parametrize(
    ("impairments", "expected", "remedy"),
    [
        (
            "{rate_mbit: 1, queue_ms: 5, queue_packets: 3}",
            "one of queue_packets and queue_ms",
            "the length of a queue is said once",
        ),
        (
            "{queue_ms: 5}",
            "a rate where a queue has a length",
            "give it a rate_mbit: nothing waits on an unlimited link",
        ),
        (
            "{reorder_percent: 5}",
            "a delay where packets are reordered",
            "give it a delay_ms: a packet overtakes those that are delayed",
        ),
        (
            "{schedule: [{at_s: 5, delay_ms: 1}, {at_s: 5, delay_ms: 2}]}",
            "changes at times that rise",
            "sort the schedule by at_s and join changes of the same time",
        ),
    ],
)
def test_what_makes_no_sense_is_said(impairments: str, expected: str, remedy: str) -> None:
    [problem] = problems_of(impairments)
    assert (problem.path, problem.expected) == ("networks.n.impairments", expected)
    assert problem.remedy == remedy
    assert problem.line == 3


def test_a_later_stage_is_checked_too() -> None:
    later = "schedule: [{at_s: 5, up: {delay_ms: 0}}]"
    [problem] = problems_of("{up: {delay_ms: 2, reorder_percent: 5}, " + later + "}")
    assert problem.got == "reorder_percent without delay_ms ('up' from 5 s on)"


def test_the_example_of_the_documentation_is_sound() -> None:
    text = (Path(__file__).parents[2] / "docs/impairments.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    network = yaml.safe_load(example)["networks"]["adsl"]
    start, worse, again = Impairments.model_validate(network["impairments"]).stages()
    assert (start.up.rate_mbit, worse.up.rate_mbit, again.up.rate_mbit) == (1, 0.5, 1)
    assert replace(again, at_s=0) == start
    assert all(f"`{key}`" in text for key in Values.model_fields)


def test_a_change_after_the_end_is_a_fault() -> None:
    topology = load_topology("office").model
    late = {"schedule": [{"at_s": 1e4, "delay_ms": 1}]}
    document = topology.model_dump(mode="json")
    document["networks"]["lan-a"]["impairments"] = late
    [(place, expected, got, _)] = check_references(Topology.model_validate(document))
    assert place == ("networks", "lan-a", "impairments", "schedule", 0, "at_s")
    assert expected.startswith("a time before the end of the last phase")
    assert got == "10000"


numbers = st.none() | st.floats(0, 50)
some = st.builds(
    Values,
    rate_mbit=st.none() | st.just("unlimited") | st.floats(0.1, 1e4),
    jitter_ms=numbers,
    loss_percent=numbers,
    duplicate_percent=numbers,
    jitter_distribution=st.sampled_from([None, "normal", "uniform", "pareto"]),
)


@given(top=some, down=st.none() | some, up=st.none() | some, times=st.sets(st.floats(0, 100)))
def test_what_is_written_down_reads_the_same(
    top: Values, down: Values | None, up: Values | None, times: set[float]
) -> None:
    schedule = [{"at_s": time, **top.model_dump(), "up": down} for time in sorted(times)]
    first = Impairments.model_validate(
        {**top.model_dump(), "down": down, "up": up, "schedule": schedule}
    )
    again = Impairments.model_validate(first.model_dump(mode="json"))
    assert again == first
    assert again.stages() == first.stages()
    assert len(first.stages()) == 1 + len(times)
