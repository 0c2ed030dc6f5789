"""Pictures of topologies, as SVG: drawn here, the same bytes for the same topology."""

from __future__ import annotations

from topologies.drawing.layout import lay_out
from topologies.drawing.scene import scene
from topologies.drawing.svg import render
from topologies.schema import Topology

__all__ = ["draw"]


def draw(topology: Topology) -> str:
    """An SVG document that shows a topology.

    Networks are cards with their host groups and services, routers are dark boxes with badges for
    NAT, firewall and autonomous system; a network that only joins two routers is the line between
    them.
    """
    picture = scene(topology)
    return render(picture, lay_out(picture))
