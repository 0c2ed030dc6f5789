"""What a lab has on this machine itself: processes, control groups, network namespaces.

The same removal ends a lab in good order and clears one whose launcher was killed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from launcher import cgroups, killing, namespaces

_NAMESPACE: Final = re.compile(r"gsta-([0-9a-z]+)-")


def namespace_name(lab: str, node: str) -> str:
    """Name of a node's network namespace."""
    return f"gsta-{lab}-{node}"


def fabric_name(lab: str) -> str:
    """Name of the namespace that holds a lab's bridges; no host can be called that."""
    return namespace_name(lab, "_fabric")


def find() -> set[str]:
    """Ids of the labs that have something here."""
    found = (_NAMESPACE.match(name) for name in namespaces.names("gsta-"))
    return {match[1] for match in found if match} | cgroups.leftovers()


def remove(lab: str) -> Mapping[str, int]:
    """Remove everything of one lab; how many of each kind there were."""
    names = namespaces.names(namespace_name(lab, ""))
    killed = cgroups.kill(lab) + _kill_inside(names)
    return {
        "processes": killed,
        "namespaces": sum(namespaces.delete(name) for name in names),
        "cgroups": cgroups.remove(lab),
    }


def _kill_inside(names: tuple[str, ...]) -> int:
    """Kill what the control groups do not hold: captures, and everything where there are none."""
    paths = [namespaces.path_of(name) for name in names]
    seen: set[int] = set()
    while living := namespaces.processes_in(paths) - seen:
        seen |= living
        killing.kill(living)
    return len(seen)
