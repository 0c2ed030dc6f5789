"""A flow in Tstat's table, and what it keeps of each side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.flowmeter.tstat_packets import Packet
from tests.flowmeter.tstat_rules import Rules
from tests.flowmeter.tstat_segments import Sent, elapsed

SECOND_US: Final = 1_000_000
TCP_IDLE_US, UDP_IDLE_US, SINGLE_US = 300 * SECOND_US, 200 * SECOND_US, 10 * SECOND_US


@dataclass
class Side:
    """What one end of a flow sent."""

    sent: Sent
    packets: int = 0
    payload_bytes: int = 0
    syn: int = 0
    fin: int = 0
    rst: int = 0
    acks: int = 0
    pure_acks: int = 0
    data: int = 0
    unique: int = 0
    again: int = 0
    again_bytes: int = 0
    late: int = 0
    fin_end: int = 0
    closed: bool = False
    syn_seq: int = 0
    fin_seq: int = 0
    misbehaved: bool = False
    syn_again: int = 0
    ack: int = 0
    highest_ack: int = -1  # -1: none
    top: int = 0  # end of the highest segment sent
    scale: int = 0
    scales: bool = False
    mss: int = 0
    sacks: int = 0
    least: int = 0
    most: int = 0
    ttl_min: int = 0
    ttl_max: int = 0
    window: int = 0
    window_min: int = 0
    window_max: int = 0
    zero_windows: int = 0
    data_acked: bool = False
    initial: int = 0
    cwin_min: int = 0
    cwin_max: int = 0
    first_ack_us: int = 0
    first_data_us: int = 0
    last_data_us: int = 0


@dataclass
class Flow:
    """A flow in Tstat's table; ``part`` is where it stands, which tells when it is looked at."""

    first: Packet
    part: int
    rules: Rules
    last_us: int = 0
    sides: tuple[Side, Side] = field(init=False)
    ended: bool = False  # before the end of the capture
    packets: int = 0

    def __post_init__(self) -> None:
        self.sides = Side(Sent(self.rules)), Side(Sent(self.rules))

    @property
    def first_us(self) -> int:
        return self.first.time_us

    def idle(self, now_us: int) -> bool:
        """Whether no packet came for too long: for less long if there was but one, or SYNs only."""
        silence = elapsed(self.last_us, now_us)
        if not self.first.tcp:
            return silence > UDP_IDLE_US or (self.packets == 1 and silence > SINGLE_US)
        syns = [side.syn for side in self.sides]
        unanswered = (syns[0] > 0) != (syns[1] > 0) and self.packets == sum(syns)
        return silence > TCP_IDLE_US or (unanswered and silence > SINGLE_US)

    def complete(self) -> bool:
        """Whether it is in the log of complete flows."""
        return self.ended and all(side.syn for side in self.sides)


def add_packet(flow: Flow, side: Side, packet: Packet) -> None:
    """What every packet counts for."""
    flow.packets += 1
    side.packets += 1
    side.ttl_min = min(side.ttl_min, packet.ttl) if side.ttl_min else packet.ttl
    side.ttl_max = max(side.ttl_max, packet.ttl)
