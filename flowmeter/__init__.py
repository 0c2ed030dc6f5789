"""Packets to flows: what Tstat does in G-STA.

A flow is the packets of one 5-tuple, both ways; protocols without ports (ICMP, ESP, ...) go by the
pair of addresses. VLAN tags, MPLS labels and PPPoE sessions are not part of it, so the same traffic
gives the same flows wherever it is captured. What a tunnel carries is one flow between the tunnel's
ends, or with ``tunnels='inner'`` the flows inside.

Initiator (``src``)
    The sender of the first packet if that is a SYN; its receiver if it is a SYN-ACK (the SYN was
    missed); else its sender.
End
    * Idle: a silence longer than 300 s (TCP) or 60 s (all else).
    * Active: older than 1800 s. The next packet begins the flow's next ``segment``, with the same
      initiator, and ``origin_id`` names the first segment.
    * TCP close: a RST, or both FINs acknowledged. The flow lingers for late packets until a silence
      longer than 10 s, so a forged RST cuts nothing that goes on.
    * Reuse: a SYN whose initial sequence number differs from the one its sender used in this flow
      (a repeated SYN does not), or that comes from a side that was seen without one.
    * End of the capture.

    ``end_reason`` tells which: 1 idle, 2 active, 3 closed by FINs, 4 end of the capture, 6 reuse,
    7 RST (1 to 4 as in RFC 5102, flowEndReason).
Time
    Integer nanoseconds. Inside a flow time never runs backwards: a packet stamped earlier than the
    one before it counts at that one's time.
Bytes
    From the headers: IP length, and payload without headers. What a snaplen cut off still counts.
Fragments
    Later fragments belong to the flow of their first one, which came in the 30 s before. A UDP
    datagram's payload counts whole, once, with its first fragment.
Order
    Flows leave in the order in which they ended: by whole second of the capture's clock, then first
    packet, then key. So the rows depend neither on how packets were batched nor on threads, and a
    live capture gives the rows that a file of the same packets gives.
Completeness
    Every packet is in exactly one flow or in one counter of `reject_table`.

`docs/reference/flow-meter.md` holds these rules beside Tstat's and NFStream's; `feature_table`
defines every feature. The core (`flowmeter.core.track`) is compiled by numba at the first use and
kept on disk; importing this package loads none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowmeter.config import MeterConfig
from flowmeter.features import FEATURE_SETS, Feature, feature_table
from flowmeter.metering import MeterResult, meter
from flowmeter.parallel import meter_many
from flowmeter.plugins import FlowPacket, FlowPlugin, PluginFlow
from flowmeter.rejected import reject_table
from flowmeter.runs import MeterReport, NetworkReport, meter_capture, meter_run
from flowmeter.stream import FlowStream, flows
from flowmeter.table import flow_schema

if TYPE_CHECKING:
    from flowmeter.live import Interface

__all__ = [
    "FEATURE_SETS",
    "Feature",
    "FlowPacket",
    "FlowPlugin",
    "FlowStream",
    "Interface",
    "MeterConfig",
    "MeterReport",
    "MeterResult",
    "NetworkReport",
    "PluginFlow",
    "feature_table",
    "flow_schema",
    "flows",
    "meter",
    "meter_capture",
    "meter_many",
    "meter_run",
    "reject_table",
]


def __getattr__(name: str) -> Any:
    if name == "Interface":  # what it captures with takes a while to load
        from flowmeter.live import Interface

        return Interface
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
