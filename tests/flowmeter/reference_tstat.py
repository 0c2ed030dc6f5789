"""The reference meter with Tstat's idea of a flow."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.flowmeter.reference import IDLE, TCP, UDP, Flow, Reference, Settings
from tests.flowmeter.reference_packets import ACK, SYN, Seen, Unmetered
from tests.flowmeter.reference_rows import SECOND

TCP_IDLE, UDP_IDLE, SINGLE_IDLE = 300 * SECOND, 200 * SECOND, 10 * SECOND
PARTS: Final = 10_000  # of its table of flows
PART_NS: Final = 500_000  # one is looked at in this time


class TstatReference(Reference):
    """Flows as in Tstat's logs; what is in no log is rejected."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings)
        self.scanned_ns = -1
        self.part = 0
        self.begun = Counter({TCP: 1, UDP: 0})
        self.parts: dict[int, int] = {}

    def _with_ports(self, packet: Seen) -> Seen:
        if packet.protocol not in (TCP, UDP):
            raise Unmetered
        if packet.fragment is not None and not packet.fragment[1]:
            raise Unmetered
        return packet

    def _turn(self, time_ns: int) -> None:
        """The clock alone ends nothing."""
        if self.scanned_ns < 0:
            self.scanned_ns = time_ns

    def _opened(self, packet: Seen) -> Flow:
        if packet.protocol == TCP and packet.flags & (SYN | ACK) != SYN:
            raise Unmetered
        self._scan(packet.time_ns)
        flow = super()._opened(packet)
        self.parts[id(flow)] = self.begun[packet.protocol] % PARTS
        self.begun[packet.protocol] += 1
        return flow

    def _scan(self, now_ns: int) -> None:
        """Look for idle flows in as many parts of the table as time has passed for."""
        if now_ns - self.scanned_ns <= PART_NS:
            return
        count = -(-(now_ns - self.scanned_ns) // PART_NS)
        for key, flow in list(self.open.items()):
            far = (self.parts[id(flow)] - self.part) % PARTS
            if far < count and not flow.closed and now_ns - flow.last_ns > self._patience_ns(flow):
                self._end(flow, IDLE)
                del self.open[key]
        self.part = (self.part + count) % PARTS
        self.scanned_ns = now_ns

    def _patience_ns(self, flow: Flow) -> int:
        packets = [packet for _, _, packet in flow.packets]
        if flow.first.protocol == UDP:
            return SINGLE_IDLE if len(packets) == 1 else UDP_IDLE
        only_syns = all(packet.flags & SYN for packet in packets)
        return SINGLE_IDLE if only_syns and not self._answered(flow) else TCP_IDLE

    def _continued(self, flow: Flow, packet: Seen) -> Flow:
        if flow.closed:
            # What has ended is forgotten at once; only a SYN begins anew.
            fresh = self._opened(packet)
            self._end(flow, IDLE)
            return fresh
        up = (packet.src, packet.sport) == flow.initiator
        data = packet.tcp is not None and packet.payload and not packet.flags & SYN
        if data and up and not self._answered(flow):
            flow.closed = True
            raise Unmetered
        return flow

    def _end(self, flow: Flow, reason: int) -> None:
        """A reset, or the FINs, end a flow whatever comes later."""
        super()._end(flow, IDLE if flow.closed else reason)

    @staticmethod
    def _answered(flow: Flow) -> bool:
        return any(packet.flags & SYN for packet in flow.sent(up=False))
