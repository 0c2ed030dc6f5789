"""What to build: the topology schema, its loader and its library. The ground floor of the house.

The schema's libraries load when one of the names here is first used: the stages above need the
errors and files of this floor more often than its topologies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topologies.impairments import Impairments
    from topologies.loader import library, load_topology
    from topologies.schema import (
        Activity,
        Host,
        Limits,
        Network,
        Phase,
        Router,
        Service,
        Topology,
    )

__all__ = [
    "Activity",
    "Host",
    "Impairments",
    "Limits",
    "Network",
    "Phase",
    "Router",
    "Service",
    "Topology",
    "library",
    "load_topology",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "loader" if name in ("library", "load_topology") else "schema"
    return getattr(import_module(f"topologies.{home}"), name)
