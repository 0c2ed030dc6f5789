"""What a failed check proposes, from the dataset's own evidence."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from audit import all_checks, load_dataset
from audit.result import THRESHOLDS, load_thresholds
from audit.suggest import ADVICE, EXHAUSTED, FOREIGN, WITHOUT, advised
from tagger import Agreement, LabelQuality

PLANNED = {
    *(f"A{n}" for n in range(1, 7)),
    *(f"B{n}" for n in range(1, 7)),
    *(f"C{n}" for n in range(1, 10)),
    *(f"D{n}" for n in range(1, 8)),
    *(f"E{n}" for n in range(1, 5)),
    *(f"F{n}" for n in range(1, 8)),
    *("G1", "G2", "H1", "H2", "H3", "H4"),
}
TOPOLOGY: dict[str, Any] = {
    "name": "small",
    "networks": {
        "clients": {"subnet": "198.18.1.0/24", "impairments": {"rate_mbit": 10}},
        "servers": {"subnet": "198.18.10.0/24"},
    },
    "routers": {"core": {"networks": ["servers", "clients"]}},
    "hosts": {
        "desk": {"networks": ["clients"], "count": 4},
        "lab": {"networks": ["clients"], "count": 2},
        "server": {"networks": ["servers"]},
        "other": {"networks": ["servers"]},
    },
    "services": {
        "www": {"kind": "web", "host": "server"},
        "wiki": {"kind": "web", "host": "other"},
        "shell": {"kind": "ssh", "host": "server"},
    },
    "activities": {
        "browsing": {"kind": "web", "hosts": ["desk"], "services": ["www"]},
        "typing": {"kind": "ssh", "hosts": ["desk"], "services": ["shell"]},
        "scanning": {
            "kind": "scan",
            "hosts": ["lab"],
            "services": ["www"],
            "params": {"variants": ["slow"], "max_ports": 5},
            "arrival": {"distribution": "exponential", "mean_s": 20},
        },
    },
    "phases": [
        {"name": "steady", "duration_s": 30},
        {"name": "quiet", "duration_s": 5, "intensity": 0},
    ],
}


@pytest.fixture
def dataset(new_dataset):
    made = new_dataset()
    made.topology = copy.deepcopy(TOPOLOGY)
    return made


def proposed(dataset, id_):
    """The result of a check, with what it proposes."""
    data, checks = load_dataset(dataset.write()), all_checks()
    result = checks[id_](data, load_thresholds(THRESHOLDS, known=checks))
    assert result.verdict == "fail"
    return advised(data, [result])[0]


def changes(result):
    return {one.at: (one.old, one.new) for one in result.changes if not one.decide}


def of_class(dataset, label):
    return [row for row in dataset.all_rows if row["label"] == label]


def test_every_check_proposes_something_or_says_why_it_cannot():
    assert not ADVICE.keys() & WITHOUT.keys()
    assert {*ADVICE, *WITHOUT} == PLANNED
    assert set(all_checks()) <= PLANNED


def test_dropped_packets_ask_for_less_at_once_and_as_much_in_all(dataset):
    dataset.drops = 200
    result = proposed(dataset, "A1")
    assert changes(result) == {
        "phases[0].intensity": (1.0, 0.6),
        "phases[0].duration_s": (30.0, 50.0),
    }
    assert result.changes[0].because == "400 of 2000 packets were dropped"


def test_too_few_labels_to_prove_it_ask_for_a_longer_run(dataset):
    overall = Agreement(checked=400, agreed=400)
    dataset.quality = LabelQuality(note="conntrack", overall=overall)
    assert changes(proposed(dataset, "C1")) == {"phases[0].duration_s": (30.0, 64.0)}


def test_wrong_labels_are_no_fault_of_the_topology(dataset):
    overall = Agreement(checked=2400, agreed=2300)
    dataset.quality = LabelQuality(note="conntrack", overall=overall)
    result = proposed(dataset, "C1")
    assert (result.changes, result.no_change) == ((), EXHAUSTED)


@pytest.mark.parametrize(
    ("session_s", "wanted"),
    [
        (600, {"activities.scanning.session_s": (600.0, 1200.0)}),
        (3_000, {"phases[1].duration_s": (5.0, 3005.0)}),
    ],
)
def test_attacks_that_were_stopped_get_the_time_to_tell_their_effect(dataset, session_s, wanted):
    dataset.outcome = "stopped"  # after the thousand seconds that the flows span
    dataset.topology["activities"]["scanning"]["session_s"] = session_s
    data = load_dataset(dataset.write())
    stopped = all_checks()["F2"](data, load_thresholds(THRESHOLDS, known=all_checks()))
    result = stopped.model_copy(update={"id": "C3", "verdict": "fail"})
    assert changes(advised(data, [result])[0]) == wanted


def torn(dataset, port):
    """Make a third of all flows ambiguous, to a port of the server."""
    for row in of_class(dataset, "ssh")[::2] + of_class(dataset, "web")[::2]:
        row |= {"label": "ambiguous", "dst_ip": "198.18.10.2", "dst_port": port}
    return proposed(dataset, "C2")


def test_activities_that_overlap_on_a_server_make_the_smaller_one_rarer(dataset):
    # Nobody but a scan and the shells talks to port 22 of the server.
    result = torn(dataset, 22)
    assert changes(result) == {
        "activities.typing.arrival.mean_s": (10.0, 40.0),
        "activities.typing.arrival.maximum_s": (60.0, 240.0),
    }
    assert result.changes[0].because == "800 of 800 such flows fit both typing and scanning"


def test_activities_that_share_services_get_services_of_their_own(dataset):
    activities = dataset.topology["activities"]
    activities["typing"] = {**activities["browsing"], "services": ["www", "wiki"]}
    del activities["scanning"]
    assert changes(torn(dataset, 443)) == {
        "activities.typing.services": (["www", "wiki"], ["wiki"]),
    }


def test_a_class_on_hosts_of_its_own_gets_other_hosts_and_as_many_sessions(dataset):
    for row in of_class(dataset, "scan"):
        row |= {"src_ip": f"198.18.1.{20 + row['src_port'] % 2}", "shape_0": row["src_port"] % 2}
    result = proposed(dataset, "D7")
    assert result.culprits.keys() == {"scan"}
    assert changes(result) == {
        "activities.scanning.hosts": (["lab"], ["lab", "desk"]),
        "activities.scanning.arrival.mean_s": (20.0, 60.0),
        "activities.scanning.arrival.maximum_s": (60.0, 180.0),
    }


def behind_nat(topology):
    """The scanned host and those that scan it, where nobody else gets to."""
    topology["networks"]["inside"] = {"subnet": "198.18.20.0/24"}
    topology["routers"]["box"] = {"networks": ["servers", "inside"], "nat": {"outside": "servers"}}
    for name in ("lab", "other"):
        topology["hosts"][name]["networks"] = ["inside"]
    topology["activities"]["scanning"]["services"] = ["wiki"]


def behind_a_firewall(topology):
    rule = {"action": "drop", "from": ["desk"], "to": ["other"]}
    topology["routers"]["core"]["firewall"] = {"rules": [rule]}
    topology["activities"]["scanning"]["services"] = ["wiki"]


@pytest.mark.parametrize("spoilt", [behind_nat, behind_a_firewall])
def test_where_other_hosts_cannot_its_hosts_do_what_the_others_do(dataset, spoilt):
    for row in of_class(dataset, "scan"):
        row |= {"src_ip": f"198.18.1.{20 + row['src_port'] % 2}", "shape_0": row["src_port"] % 2}
    spoilt(dataset.topology)
    assert changes(proposed(dataset, "D7")) == {
        "activities.browsing.hosts": (["desk"], ["desk", "lab"]),
        "activities.typing.hosts": (["desk"], ["desk", "lab"]),
    }


def test_one_long_session_asks_for_variants_and_more_sessions(dataset):
    for row in of_class(dataset, "scan")[::2]:
        row["activity_id"] = "scan-0-0"
    result = proposed(dataset, "F2")
    assert result.culprits["scan"] == pytest.approx(0.54, abs=0.05)
    found = changes(result)
    assert found["activities.scanning.params.variants"][1][:2] == ["slow", "sequential"]
    assert found["activities.scanning.params.max_ports"] == (5, 45)
    old, new = found["activities.scanning.arrival.mean_s"]
    assert new == pytest.approx(old / (1.3 * result.culprits["scan"] / 0.25), rel=0.01)


def test_a_command_given_again_and_again_asks_for_variants_alone(dataset):
    dataset.size_of["scan-0-1"] = 0  # the parameters of scan-0-0
    for row in of_class(dataset, "scan")[::2]:
        row["activity_id"] = f"scan-0-{row['src_port'] % 2}"
    assert set(changes(proposed(dataset, "F2"))) == {
        "activities.scanning.params.variants",
        "activities.scanning.params.max_ports",
    }


def test_near_twins_ask_for_variants_targets_and_hosts(dataset):
    for row in of_class(dataset, "scan"):
        row |= {name: 1 for name, (_, role, _) in dataset.columns.items() if role == "feature"}
    assert set(changes(proposed(dataset, "F1"))) == {
        "activities.scanning.params.variants",
        "activities.scanning.params.max_ports",
        "activities.scanning.services",
        "activities.scanning.hosts",
        "activities.scanning.arrival.mean_s",
        "activities.scanning.arrival.maximum_s",
    }


def test_a_feature_of_the_machine_asks_for_common_hosts(dataset):
    kind = dataset.columns["shape_0"][0]
    dataset.columns["c2s_ttl_min"] = (kind, "feature", "stack")
    for row in dataset.all_rows:
        row["c2s_ttl_min"] = 63 if row["label"] == "scan" else 64
    result = proposed(dataset, "D2")
    assert set(changes(result)) >= {"activities.scanning.hosts"}


def test_what_tells_a_class_asks_for_more_of_what_looks_like_it(dataset):
    for number, row in enumerate(dataset.all_rows):
        like = row["label"] == "scan" or (row["label"] == "ssh" and number % 20 < 3)
        row["shape_0"] = 1.0 if like else 100.0
    result = proposed(dataset, "D2")
    assert result.culprits == {"scan/shape_0": pytest.approx(0.962, abs=0.01)}
    found = changes(result)
    assert set(found) == {"activities.typing.arrival.mean_s"}
    old, new = found["activities.typing.arrival.mean_s"]
    assert old / 4 <= new < old
    (choice,) = (one for one in result.changes if one.decide)
    assert (choice.document, choice.name, choice.at) == ("spec", "handmade", "allow.scan/shape_0")


def test_without_its_topology_a_dataset_proposes_nothing(new_dataset):
    dataset = new_dataset()
    dataset.drops = 3
    result = proposed(dataset, "A1")
    assert (result.changes, result.no_change) == ((), FOREIGN)


def test_a_check_that_traffic_cannot_mend_says_so(dataset):
    dataset.rows["test"][0]["label"] = "SSH "
    assert proposed(dataset, "C6").no_change == WITHOUT["C6"]
