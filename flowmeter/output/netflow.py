"""NetFlow version 9 (RFC 3954): each direction of a flow that had packets is one record."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np
import pyarrow as pa

from flowmeter.output.messages import Element, Flows, Messages, Numbers, Records

_MILLISECOND_NS: Final = 1_000_000
_SECOND_NS: Final = 1_000_000_000
_COMMON: Final = (
    Element("src_port", 7, 2),
    Element("dst_port", 11, 2),
    Element("protocol", 4, 1),
    Element("tos", 5, 1),
    Element("flags", 6, 1),
    Element("packets", 2, 4),
    Element("bytes", 1, 8),
    Element("first", 22, 4),
    Element("last", 21, 4),
)


class NetflowV9(Messages):
    """Flows as NetFlow v9.

    Times are milliseconds since the exporter began, in 32 bits. It begins a day before the first
    flow it is given, so that longer flows that end later fit too; a receiver takes the difference
    to the header's two clocks, which are consistent to the millisecond, and wraps with them after
    49 days. Both directions carry the times of the flow; the class of service is that of the
    flow's first packet, where the feature set has it, and 0 for the way back.
    """

    elements: ClassVar[Mapping[int, Sequence[Element]]] = {
        4: (Element("src", 8, 4), Element("dst", 12, 4), *_COMMON),
        6: (Element("src", 27, 16), Element("dst", 28, 16), *_COMMON),
    }
    template_set = 0
    header_bytes = 20

    def __init__(self, schema: pa.Schema, *, domain: int = 0) -> None:
        super().__init__(schema, domain=domain)
        self._boot_ns = -1

    def begin(self, flows: Flows) -> None:
        """Set the clock at the first flows."""
        if self._boot_ns < 0:
            first_s = int(flows["first_ns"].min()) // _SECOND_NS
            self._boot_ns = (first_s - 86_400) * _SECOND_NS

    def filled(self, records: Records, flows: Flows) -> Records:
        """Both directions of every flow, one behind the other; none without packets."""
        both = np.repeat(records, 2)
        forth, back = both[::2], both[1::2]
        for side, part in (("c2s", forth), ("s2c", back)):
            part["packets"] = flows[f"{side}_packets"]
            part["bytes"] = flows[f"{side}_ip_bytes"]
            part["flags"] = flows.flags(side)
            part["first"] = self._uptime_ms(flows["first_ns"])
            part["last"] = self._uptime_ms(flows["last_ns"])
        for name, other in (("src", "dst"), ("dst", "src"),
                            ("src_port", "dst_port"), ("dst_port", "src_port")):  # fmt: skip
            back[name] = forth[other]
        back["tos"] = 0
        return both[both["packets"] > 0]

    def header(self, length: int, records: int) -> bytes:  # noqa: ARG002 - v9 counts records
        """Version, count, clock since the exporter began, clock since 1970, sequence, source."""
        now_s = -(-self.now_ns // _SECOND_NS)
        uptime_ms = (now_s * _SECOND_NS - self._boot_ns) // _MILLISECOND_NS
        return struct.pack(
            ">HHIIII",
            *(9, records, uptime_ms % 2**32, now_s % 2**32, self.sequence, self.domain),
        )

    def count(self, data_records: int) -> None:  # noqa: ARG002 - v9 counts messages
        """Count the message."""
        self.sequence = (self.sequence + 1) % 2**32

    def _uptime_ms(self, times_ns: Numbers) -> Numbers:
        since: Numbers = (times_ns.astype(np.int64) - self._boot_ns) // _MILLISECOND_NS
        return since % 2**32
