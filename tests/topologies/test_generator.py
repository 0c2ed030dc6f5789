"""Generated topologies: always sound, always the same, of the size that was asked for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.compile import check_kinds, compile_run
from topologies import Topology, load_topology
from topologies.document import Document
from topologies.drawing import draw
from topologies.errors import InputError
from topologies.generator import ACTIVITIES, LEAST_HOSTS, MOST_HOSTS, generate


def loaded(hosts: int, seed: int) -> Document[Topology]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "generated.yaml"
        file.write_text(generate(hosts, seed))
        return load_topology(file)


@settings(max_examples=20, deadline=None)
@given(st.integers(LEAST_HOSTS, MOST_HOSTS), st.integers(0, 2**31 - 1))
def test_whatever_is_asked_for_is_sound_and_of_that_size(hosts: int, seed: int) -> None:
    document = loaded(hosts, seed)
    topology = document.model
    assert check_kinds(document) == ()
    assert sum(host.count for host in topology.hosts.values()) == hosts
    assert set(topology.captures or ()) <= set(topology.networks)
    assert generate(hosts, seed) == generate(hosts, seed)


def test_a_large_one_has_everything_and_can_be_run() -> None:
    document = loaded(MOST_HOSTS, 1)
    topology = document.model
    assert {a.kind for a in topology.activities.values()} == set(ACTIVITIES)
    assert any(router.nat for router in topology.routers.values())
    assert any(network.subnet6 for network in topology.networks.values())
    plan = compile_run(document, seed=1)
    machines = MOST_HOSTS + len(topology.routers)
    assert len(plan.lab.nodes) == machines
    # As many sessions as one machine plays, however many hosts share them.
    assert 100 < len(plan.sessions) < 2_000
    # Hosts know one way out, not one for each network.
    assert all(len(n.routes) <= 2 for n in plan.lab.nodes if not n.forwards)
    assert draw(topology).count("<rect") > len(topology.networks)


def test_other_seeds_make_others() -> None:
    assert len({generate(60, seed) for seed in range(5)}) == 5


@pytest.mark.parametrize("hosts", [LEAST_HOSTS - 1, MOST_HOSTS + 1])
def test_other_sizes_are_refused(hosts: int) -> None:
    with pytest.raises(InputError, match="expected 2 to 500"):
        generate(hosts, 1)
