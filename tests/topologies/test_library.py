from __future__ import annotations

import pytest

from topologies import Topology, library, load_topology
from topologies.errors import NotFoundError


def test_the_library_is_found() -> None:
    assert {"pair", "office"} <= set(library())


@pytest.mark.parametrize("name", library())
def test_every_topology_of_the_library_is_sound(name: str) -> None:
    topology = load_topology(name).model
    assert topology.name == name
    assert topology.description
    # As a run directory keeps it, and as a rootless lab is told of it.
    assert Topology.model_validate(topology.model_dump(mode="json")) == topology


def test_an_unknown_name_lists_the_library() -> None:
    with pytest.raises(NotFoundError, match=r"the library has: .*office"):
        load_topology("nowhere")


def test_the_branch_has_a_router_between_three_networks() -> None:
    topology = load_topology("branch").model
    assert topology.routers["core"].networks == ("lan-a", "lan-b", "servers")
    assert topology.members("alice") == ("alice-1", "alice-2")
    assert topology.capture_points == ("servers",)
