"""The engines file: what it says, and the exact message for every way to write it wrongly."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from launcher.compile import compile_run
from launcher.scaleout.backend import placed
from launcher.scaleout.engines import load_engines
from topologies import load_topology
from topologies.errors import InputError, NotFoundError

NETWORKS = ("lan", "servers")
GOOD = """
engines:
  here: {underlay: 10.0.0.1, networks: [lan]}
  there:
    underlay: 10.0.0.2
    reach: ssh -o BatchMode=yes root@lab-2
    docker: unix:///run/other.sock
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "engines.yaml"
    file.write_text(text)
    return file


def test_an_engine_is_reached_as_it_says(tmp_path: Path) -> None:
    engines = load_engines(written(tmp_path, GOOD), NETWORKS).model.engines
    assert list(engines) == ["here", "there"]
    assert engines["here"].command("lab", "node") == [sys.executable, "-m", "gsta", "lab", "node"]
    ssh = ["ssh", "-o", "BatchMode=yes", "root@lab-2"]
    there = ["env", "DOCKER_HOST=unix:///run/other.sock", "gsta", "lab", "node"]
    assert engines["there"].command("lab", "node") == [*ssh, *there]


WRONG = {
    "engines: {}": ("engines.yaml:1: engines: expected at least 1 of them, got {}; add to it"),
    "machines: {a: {underlay: 10.0.0.1}}": (
        "engines.yaml:1: machines: expected one of engines, got 'machines'; remove it"
    ),
    "engines: {a: {reach: ssh b}}": (
        "engines.yaml:1: engines.a.underlay: expected a value, got nothing; add the key 'underlay'"
    ),
    "engines: {a: {underlay: lab-2}}": (
        "engines.yaml:1: engines.a.underlay: expected an IP address, got 'lab-2'; write the one by "
        "which the other machines reach it"
    ),
    "engines: {a: {underlay: 10.0.0.1, reach: 'ssh \"b'}}": (
        "engines.yaml:1: engines.a.reach: expected a command as a shell takes it, got 'ssh \"b'; "
        "close every quotation mark"
    ),
    "engines: {a: {underlay: 10.0.0.1, docker: 'tcp://b:2375'}}": (
        "engines.yaml:1: engines.a.docker: expected unix:///PATH, the socket of the engine on its "
        "own machine, got 'tcp://b:2375'; say with reach: how to get to the machine, ssh for "
        "example"
    ),
    "engines: {a: {underlay: 10.0.0.1}, b: {underlay: 10.0.0.1}}": (
        "engines.yaml:1: engines.b.underlay: expected an address of its own, got 10.0.0.1, which "
        "engine 'a' has; give each machine its own address"
    ),
    "engines: {a: {underlay: 10.0.0.1}, b: {underlay: 'fd00::2'}}": (
        "engines.yaml:1: engines.b.underlay: expected an IPv4 address like the others', got "
        "fd00::2; use one version of IP between the machines"
    ),
    "engines: {a: {underlay: 10.0.0.1, networks: [wan]}}": (
        "engines.yaml:1: engines.a.networks[0]: expected a network of the topology, got 'wan'; "
        "use one of: lan, servers"
    ),
    "engines: {a: {underlay: 10.0.0.1, networks: [lan]}, "
    "b: {underlay: 10.0.0.2, networks: [lan]}}": (
        "engines.yaml:1: engines.b.networks[0]: expected each network once, got 'lan', which 'a' "
        "has; remove one of the two"
    ),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_told_exactly(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError) as told:
        load_engines(written(tmp_path, text), NETWORKS)
    assert WRONG[text] in str(told.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = "engines: {a: {underlay: 10.0.0.1, networks: [x, y]}, b: {underlay: 10.0.0.1}}"
    with pytest.raises(InputError) as told:
        load_engines(written(tmp_path, text), NETWORKS)
    assert len(told.value.problems) == 3


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load_engines(tmp_path / "none.yaml", NETWORKS)


def test_hints_may_not_part_what_a_nat_joins(tmp_path: Path) -> None:
    topology = tmp_path / "topology.yaml"
    topology.write_text(
        "name: torn\n"
        "networks: {a: {subnet: 198.18.1.0/24}, b: {subnet: 198.18.2.0/24}, "
        "out: {subnet: 198.18.3.0/24}}\n"
        "routers: {box: {networks: [out, a, b], nat: {outside: out}}}\n"
        "hosts: {x: {networks: [a]}, y: {networks: [b]}, z: {networks: [out]}}\n"
    )
    plan = compile_run(load_topology(str(topology)), seed=1).lab
    text = (
        "engines: {one: {underlay: 10.0.0.1, networks: [a]},\n"
        "  two: {underlay: 10.0.0.2, networks: [b]}}\n"
    )
    with pytest.raises(InputError) as told:
        placed(plan, load_engines(written(tmp_path, text), ("a", "b", "out")))
    assert str(told.value).endswith(
        "engines.yaml:2: engines.two.networks[0]: expected 'b' where 'a' is, for a NAT is between "
        "them, got it on 'two', the other on 'one'; put both on one engine"
    )
