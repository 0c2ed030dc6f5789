"""Packets to flows: what Tstat does in G-STA.

A flow is the packets of one TCP or UDP 5-tuple, both ways. VLAN tags are not part of it, so the
same traffic gives the same flows wherever it is captured.

Initiator (``src``)
    The sender of the first packet if that is a SYN; its receiver if it is a SYN-ACK (the SYN was
    missed); else its sender.
End
    * Idle: a silence longer than 300 s (TCP) or 60 s (UDP).
    * Active: older than 1800 s. The next packet begins a new flow with the same initiator.
    * TCP close: a RST, or both FINs acknowledged. The flow lingers for late packets until a silence
      longer than 10 s, so a forged RST cuts nothing that goes on.
    * Reuse: a SYN whose initial sequence number differs from the one its sender used in this flow
      (a repeated SYN does not), or that comes from a side that was seen without one.
    * End of the capture.
Time
    Integer nanoseconds. Inside a flow time never runs backwards: a packet stamped earlier than the
    one before it counts at that one's time.
Bytes
    From the headers: IP length, and payload without headers. What a snaplen cut off still counts.
Completeness
    Every packet is in exactly one flow or in one counter of `reject_table`.

`feature_table` defines every feature. The core (`flowmeter.track`) is compiled by numba at the
first use and kept on disk; importing this package loads none of it.
"""

from flowmeter.config import MeterConfig
from flowmeter.features import FEATURE_SETS, Feature, feature_table
from flowmeter.layout import SEQUENCE_LENGTH
from flowmeter.metering import MeterResult, meter, reject_table
from flowmeter.runs import MeterReport, NetworkReport, meter_capture, meter_run
from flowmeter.table import flow_schema

__all__ = [
    "FEATURE_SETS",
    "SEQUENCE_LENGTH",
    "Feature",
    "MeterConfig",
    "MeterReport",
    "MeterResult",
    "NetworkReport",
    "feature_table",
    "flow_schema",
    "meter",
    "meter_capture",
    "meter_run",
    "reject_table",
]
