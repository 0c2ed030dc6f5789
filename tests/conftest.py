"""What the tests share: which of them this machine can run."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import settings

# How long an example takes says more of the machine, and what runs beside, than of the code.
settings.register_profile("gsta", deadline=None)
settings.load_profile("gsta")


@cache
def lab_problem() -> str | None:
    """Why no lab of namespaces can be built by this user."""
    return None if os.geteuid() == 0 else "needs root"


@cache
def engine_problem() -> str | None:
    """Why no lab of containers can be built."""
    from gsta.labs import docker_problem

    problem = docker_problem()
    return None if problem is None else str(problem)


NEEDS: dict[str, Callable[[], str | None]] = {"lab": lab_problem, "docker": engine_problem}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests of real labs a second go: other work on the machine can starve a program."""
    for item in items:
        if any(item.get_closest_marker(marker) for marker in NEEDS):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here; CI sets GSTA_REQUIRE_LABS, and then it is a failure."""
    for marker, problem in NEEDS.items():
        if item.get_closest_marker(marker) and (why := problem()):
            if os.environ.get("GSTA_REQUIRE_LABS"):
                pytest.fail(f"{marker}: {why}")
            pytest.skip(f"{marker}: {why}")
