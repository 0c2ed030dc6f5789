"""A flow meter that is slow and plain: scapy reads the headers, lists keep every packet.

It shares no code with the meter. Flows are lists of packets; a flow's row is computed from its list
after it has ended, with exact arithmetic. The rules are those of the package's docstring.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from flowmeter.selftest import ordered
from tests.flowmeter import reference_rows
from tests.flowmeter.reference_packets import ACK, FIN, RST, SYN, Seen, Unmetered, dissected
from tests.flowmeter.reference_rows import SECOND, Sight

IDLE, ACTIVE, CLOSED, FORCED, REUSED, RESET = 1, 2, 3, 4, 6, 7
FRAGMENT_AGE_NS = 30 * SECOND
TCP, UDP = 6, 17
End = tuple[str, int]
Key = tuple[int, int, frozenset[End]]
Capture = Iterable[tuple[int, bytes]]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The choices of `flowmeter.MeterConfig` that change what a flow is."""

    tcp_idle_s: float = 300
    udp_idle_s: float = 60
    other_idle_s: float = 60
    active_s: float = 1800
    linger_s: float = 10
    inner: bool = False
    sequence: int = 20
    link: int = 1


@dataclass
class Flow:
    """The packets of a flow, and who began it."""

    initiator: End
    responder: End
    first: Seen
    segment: int = 0
    origin: Flow | None = None
    packets: list[Sight] = field(default_factory=list)
    closed: bool = False  # by a reset, or by FINs that both were acknowledged
    end_reason: int = FORCED

    @property
    def first_ns(self) -> int:
        return self.packets[0][1]

    @property
    def last_ns(self) -> int:
        return self.packets[-1][1]

    def sent(self, up: bool) -> list[Seen]:
        return [packet for sent_up, _, packet in self.packets if sent_up is up]

    def add(self, packet: Seen) -> None:
        now_ns = max(packet.time_ns, self.last_ns) if self.packets else packet.time_ns
        up = (packet.src, packet.sport) == self.initiator
        self.packets.append((up, now_ns, packet))
        if packet.tcp is None or self.closed:
            return
        if packet.flags & RST or (self._acknowledged(up=True) and self._acknowledged(up=False)):
            self.closed = True

    def _acknowledged(self, *, up: bool) -> bool:
        """Whether that side's FIN was acknowledged after it."""
        end: int | None = None
        for sent_up, _, packet in self.packets:
            if end is None and sent_up is up and packet.flags & FIN:
                end = packet.tcp.seq + packet.length
            elif end is not None and sent_up is not up and packet.flags & ACK:
                ahead = (packet.tcp.ack - end) % 2**32
                if ahead < 2**31:
                    return True
        return False

    def isn(self, *, up: bool) -> int | None:
        """The initial sequence number of a side, from its SYN or the other side's SYN-ACK."""
        for sent_up, _, packet in self.packets:
            if sent_up is up and packet.flags & SYN:
                return int(packet.tcp.seq)
            if sent_up is not up and packet.flags & (SYN | ACK) == SYN | ACK:
                return int(packet.tcp.ack - 1) % 2**32
        return None


class Reference:
    """Packets in, rows out."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.open: dict[Key, Flow] = {}
        self.ended: list[Flow] = []
        self.ports: dict[tuple[Any, ...], tuple[int, int, int]] = {}
        self.rejected = 0
        self.before_ns = 0
        self.second = 0

    def take(self, time_ns: int, frame: bytes, wire: int | None = None) -> None:
        """Put one frame, of which ``wire`` bytes were on the wire, into its flow."""
        try:
            packet = dissected(
                time_ns, frame, wire=wire, link=self.settings.link, inner=self.settings.inner
            )
            packet = self._with_ports(packet)
            self._turn(time_ns)
            source, target = (packet.src, packet.sport), (packet.dst, packet.dport)
            key = (packet.version, packet.protocol, frozenset((source, target)))
            flow = self.open.get(key)
            flow = self._opened(packet) if flow is None else self._continued(flow, packet)
        except Unmetered:
            self.rejected += 1
            return
        self.open[key] = flow
        flow.add(packet)

    def finish(self) -> list[dict[str, Any]]:
        """End what is open; the rows, in the order in which flows ended."""
        for flow in self.open.values():
            self._end(flow, FORCED)
        return [self._row(flow) for flow in self.ended]

    def _with_ports(self, packet: Seen) -> Seen:
        """Later fragments have the ports of their first one, if that was seen lately."""
        if packet.fragment is None:
            return packet
        number, is_first, _ = packet.fragment
        key = (packet.version, packet.src, packet.dst, packet.protocol, number)
        if is_first:
            self.ports[key] = (packet.time_ns, packet.sport, packet.dport)
            return packet
        time_ns, sport, dport = self.ports.get(key, (-(10**30), 0, 0))
        if abs(packet.time_ns - time_ns) > FRAGMENT_AGE_NS:
            raise Unmetered
        return replace(packet, sport=sport, dport=dport)

    def _turn(self, time_ns: int) -> None:
        """End what has been idle too long by the capture's clock.

        The clock is the lower of the last two packets' times, in whole seconds, never backwards: a
        flow ends in the second after the one in which its time-out is over.
        """
        self.second = max(self.second, min(time_ns, self.before_ns) // SECOND)
        self.before_ns = time_ns
        for key, flow in list(self.open.items()):
            if (flow.last_ns + self._patience_ns(flow)) // SECOND + 1 <= self.second:
                self._end(flow, IDLE)
                del self.open[key]

    def _patience_ns(self, flow: Flow) -> int:
        name = {TCP: "tcp_idle_s", UDP: "udp_idle_s"}.get(flow.first.protocol, "other_idle_s")
        name = "linger_s" if flow.closed else name
        return round(getattr(self.settings, name) * SECOND)

    def _opened(self, packet: Seen) -> Flow:
        source, target = (packet.src, packet.sport), (packet.dst, packet.dport)
        if packet.flags & (SYN | ACK) == SYN | ACK:
            source, target = target, source
        return Flow(source, target, packet)

    def _continued(self, flow: Flow, packet: Seen) -> Flow:
        """The flow the packet belongs to: the open one of its key, or one that begins with it."""
        if packet.time_ns - flow.last_ns > self._patience_ns(flow):
            self._end(flow, IDLE)
            return self._opened(packet)
        if packet.flags & (SYN | ACK) == SYN and self._is_new(flow, packet):
            self._end(flow, REUSED)
            return self._opened(packet)
        if packet.time_ns - flow.first_ns > self.settings.active_s * SECOND:
            self._end(flow, ACTIVE)
            rest = Flow(flow.initiator, flow.responder, packet, flow.segment + 1)
            rest.origin = flow.origin or flow
            return rest
        return flow

    @staticmethod
    def _is_new(flow: Flow, packet: Seen) -> bool:
        """Whether a SYN begins another connection than the flow's."""
        known = flow.isn(up=(packet.src, packet.sport) == flow.initiator)
        if known is not None:
            return known != packet.tcp.seq
        return flow.closed or not all(p.flags & SYN for _, _, p in flow.packets)

    def _end(self, flow: Flow, reason: int) -> None:
        if reason == IDLE and flow.closed:
            reset = any(packet.flags & RST for _, _, packet in flow.packets)
            reason = RESET if reset else CLOSED
        flow.end_reason = reason
        self.ended.append(flow)

    def _row(self, flow: Flow) -> dict[str, Any]:
        origin = flow.origin or flow
        row: dict[str, Any] = {
            "src_ip": flow.initiator[0],
            "dst_ip": flow.responder[0],
            "src_port": flow.initiator[1],
            "dst_port": flow.responder[1],
            "protocol": flow.first.protocol,
            "first_ns": flow.first_ns,
            "last_ns": flow.last_ns,
            "segment": flow.segment,
            "end_reason": flow.end_reason,
            "origin_first_ns": origin.first_ns,
        }
        row |= reference_rows.features(flow.packets)
        return row | reference_rows.sequences(flow.packets, self.settings.sequence)


def metered(capture: Capture, settings: Settings | None = None) -> list[dict[str, Any]]:
    """The rows of a capture: times and frames, in the order of the file."""
    meter = Reference(settings)
    for time_ns, frame in capture:
        meter.take(time_ns, frame)
    return ordered(meter.finish())
