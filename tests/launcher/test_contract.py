"""One contract for every kind of activity: played in a lab of two hosts, and looked at on the wire.

Every variant runs once as a user's session against the real service, by the back end itself. Then
the journal says that it went well, the evidence who owns its flows, and tshark what was spoken.

All kinds are played on namespaces. In containers, where images take minutes to build, it is every
second one; ``python -m tests.launcher.contract`` plays all on both.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from launcher.activities import catalogue
from tests.launcher.contract import Contract, faults, played_all

DOCKER = pytest.param("docker", marks=pytest.mark.docker)
NETNS = pytest.param("netns", marks=pytest.mark.lab)
KINDS = sorted(catalogue())

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[NETNS, DOCKER])
def contracts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, Contract]]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    wanted = KINDS if request.param == "netns" else KINDS[::2]
    names = [name for name in wanted if request.param in catalogue()[name].backends]
    return request.param, played_all(names, backend=request.param, folder=folder)


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("name", KINDS)
def test_a_kind_does_what_it_says(contracts: tuple[str, dict[str, Contract]], name: str) -> None:
    backend, played = contracts
    if name not in played:
        pytest.skip(f"{name} is not played on {backend}")
    assert faults(played[name], name) == []
