"""What to build: the topology schema, its loader and its library. The ground floor of the house."""

from topologies.loader import library, load_topology
from topologies.schema import (
    Activity,
    Host,
    Impairments,
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
