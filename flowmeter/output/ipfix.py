"""IPFIX (RFC 7011): each flow is one record with both directions, as RFC 5103 says."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from flowmeter.output.messages import Element, Flows, Messages, Records

REVERSE: Final = 29305  # the enterprise number that turns an element round (RFC 5103)
INITIATOR: Final = 1  # biflowDirection: the source is who began
_END_OF_FLOW: Final = 3
_COMMON: Final = (
    Element("src_port", 7, 2),
    Element("dst_port", 11, 2),
    Element("protocol", 4, 1),
    Element("tos", 5, 1),
    Element("start_ms", 152, 8),
    Element("end_ms", 153, 8),
    Element("end_reason", 136, 1),
    Element("biflow", 239, 1),
    Element("c2s_bytes", 1, 8),
    Element("c2s_packets", 2, 8),
    Element("c2s_flags", 6, 2),
    Element("s2c_bytes", 1, 8, REVERSE),
    Element("s2c_packets", 2, 8, REVERSE),
    Element("s2c_flags", 6, 2, REVERSE),
)


class Ipfix(Messages):
    """Flows as IPFIX.

    A flow that ended by port reuse or RST has the registry's "end of flow" as its reason, which
    knows no finer ones.
    """

    elements: ClassVar[Mapping[int, Sequence[Element]]] = {
        4: (Element("src", 8, 4), Element("dst", 12, 4), *_COMMON),
        6: (Element("src", 27, 16), Element("dst", 28, 16), *_COMMON),
    }
    template_set = 2
    header_bytes = 16

    def filled(self, records: Records, flows: Flows) -> Records:
        """Add the counts of both directions, times and the reason of the end."""
        for side in ("c2s", "s2c"):
            records[f"{side}_packets"] = flows[f"{side}_packets"]
            records[f"{side}_bytes"] = flows[f"{side}_ip_bytes"]
            records[f"{side}_flags"] = flows.flags(side)
        records["start_ms"] = flows["first_ns"].astype(np.int64) // 1_000_000
        records["end_ms"] = flows["last_ns"].astype(np.int64) // 1_000_000
        reason = flows["end_reason"].astype(np.int64)
        records["end_reason"] = np.where(reason > 5, _END_OF_FLOW, reason)
        records["biflow"] = INITIATOR
        return records

    def header(self, length: int, records: int) -> bytes:  # noqa: ARG002 - IPFIX gives the length
        """Version, length, export time, sequence, observation domain."""
        now_s = -(-self.now_ns // 1_000_000_000)
        return struct.pack(">HHIII", 10, length, now_s % 2**32, self.sequence, self.domain)

    def count(self, data_records: int) -> None:
        """Count the data records."""
        self.sequence = (self.sequence + data_records) % 2**32
