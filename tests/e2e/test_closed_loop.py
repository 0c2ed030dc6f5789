"""A topology with a defect: the audit names it, the build mends it and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from audit.patch import read_patch
from gsta.attempts import until_clean
from gsta.generate import Generated, Labs, generate
from gsta.order import Order, load_spec
from gsta.reporting import ConsoleReporter

SHORT = dict.fromkeys(
    ("C1", "C2", "C3", "C4", "C9", "D2", "D3", "D4", "D6", "E1", "F1", "F2"),
    "seconds of traffic prove little",
)
BUSY = dict.fromkeys(("A1", "A2", "A3", "A6"), "the machine that tests has other work")
ACCEPTED = SHORT | BUSY


@pytest.mark.lab
@pytest.mark.slow
def test_scans_from_a_host_of_their_own_are_spread_over_the_clients(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    topology = str(Path(__file__).with_name("apart.yaml"))
    spec.write_text(
        yaml.safe_dump({"name": "apart", "topology": topology, "accept_checks": ACCEPTED})
    )
    reporter = ConsoleReporter()

    def attempt(order: Order, folder: Path) -> Generated:
        return generate(order, folder, Labs("netns"), reporter)

    order, made = until_clean(load_spec(spec), tmp_path / "build", 2, attempt, reporter)
    assert made.report.released
    assert {one.id: one.verdict for one in made.report.checks}["D7"] == "pass"
    assert {"attacker", "client"} <= set(order.topologies[0].model.activities["scanning"].hosts)
    first = tmp_path / "build" / "attempt-1"
    audit = json.loads((first / "dataset" / "audit.json").read_text())
    blocking = {
        one["id"] for one in audit["checks"] if one["verdict"] == "fail" and one["severity"] == "B"
    }
    assert blocking - ACCEPTED.keys() == {"D7"}
    assert "Proposal: in topology apart" in (first / "dataset" / "card.md").read_text()
    assert not audit["released"]
    assert (first / "dataset" / "card.html").exists()
    changes = read_patch(first / "patch.yaml").model.changes
    assert "activities.scanning.hosts" in {change.at for change in changes}
