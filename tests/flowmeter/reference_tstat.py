"""The reference meter with Tstat's idea of a flow, so far as short captures can tell."""

from __future__ import annotations

from tests.flowmeter.reference import IDLE, TCP, UDP, Flow, Reference
from tests.flowmeter.reference_packets import ACK, SYN, Seen, Unmetered
from tests.flowmeter.reference_rows import SECOND

TCP_IDLE, UDP_IDLE, SINGLE_IDLE = 300 * SECOND, 200 * SECOND, 10 * SECOND
SCAN = 5 * SECOND  # idle flows are looked for so often: a timeout may be so much longer


class TstatReference(Reference):
    """Flows as in Tstat's logs; what is in no log is rejected."""

    def _with_ports(self, packet: Seen) -> Seen:
        if packet.protocol not in (TCP, UDP):
            raise Unmetered
        if packet.fragment is not None and not packet.fragment[1]:
            raise Unmetered
        return packet

    def _opened(self, packet: Seen) -> Flow:
        if packet.protocol == TCP and packet.flags & (SYN | ACK) != SYN:
            raise Unmetered
        return super()._opened(packet)

    def _patience_ns(self, flow: Flow) -> int:
        if len(flow.packets) == 1:
            return SINGLE_IDLE
        return TCP_IDLE if flow.first.protocol == TCP else UDP_IDLE

    def _continued(self, flow: Flow, packet: Seen) -> Flow:
        silence = packet.time_ns - flow.last_ns
        if silence > self._patience_ns(flow) + SCAN:
            self._end(flow, IDLE)
            return self._opened(packet)
        if flow.closed:
            # What has ended is forgotten at once; only a SYN begins anew.
            fresh = self._opened(packet)
            self._end(flow, IDLE)
            return fresh
        up = (packet.src, packet.sport) == flow.initiator
        if packet.tcp is not None and up and packet.payload and not self._answered(flow):
            flow.closed = True
            raise Unmetered
        return flow

    def _end(self, flow: Flow, reason: int) -> None:
        """A reset, or the FINs, end a flow whatever comes later."""
        super()._end(flow, IDLE if flow.closed else reason)

    @staticmethod
    def _answered(flow: Flow) -> bool:
        return any(packet.flags & SYN for packet in flow.sent(up=False))
