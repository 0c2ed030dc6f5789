"""Tstat's twin: what its published source does with packets, written again, plainly.

It shares no code with the meter but the reading of capture files. With all its rules it gives the
numbers of Tstat's logs; with some left out, those that the meter gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.flowmeter.tstat_flow import Flow, Side, add_packet
from tests.flowmeter.tstat_packets import ACK, SYN, Packet
from tests.flowmeter.tstat_rules import Rules
from tests.flowmeter.tstat_segments import elapsed
from tests.flowmeter.tstat_tcp import add_segment

SCAN_US, PARTS = 500, 10_000  # one part of its table is looked at in this time
BYTE: Final = 255  # its counters of flags have one byte
Key = tuple[bytes, bytes, int, int, bool]


class Twin:
    """Packets in, flows out."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.open: dict[Key, Flow] = {}
        self.ended: list[Flow] = []
        self.now_us = self.scanned_us = -1
        self.part = 0  # to be looked at next
        self.begun = {True: 1, False: 0}  # TCP, UDP: the first one is in this part

    def take(self, packet: Packet) -> None:
        """Put a packet into its flow, if it has one."""
        self.now_us = packet.time_us
        if self.scanned_us < 0:
            self.scanned_us = packet.time_us
        key = (packet.source, packet.target, packet.sport, packet.dport, packet.tcp)
        back = (packet.target, packet.source, packet.dport, packet.sport, packet.tcp)
        if key not in self.open and back in self.open:
            key = back
        flow = self.open.get(key)
        if flow is None:
            if packet.tcp and packet.flags & (SYN | ACK) != SYN:
                return
            self._scan(packet.time_us)
            flow = self.open[key] = Flow(packet, self.begun[packet.tcp] % PARTS, self.rules)
            self.begun[packet.tcp] += 1
        up = (packet.source, packet.sport) == (flow.first.source, flow.first.sport)
        side, other = flow.sides if up else flow.sides[::-1]
        flow.last_us = packet.time_us
        if not packet.tcp:
            add_packet(flow, side, packet)
            side.payload_bytes += packet.payload
        elif add_segment(flow, side, other, packet):
            flow.ended = True
            self.ended.append(self.open.pop(key))

    def finish(self) -> list[Flow]:
        """All flows, also those that are open still."""
        for flow in self.open.values():
            flow.ended = flow.idle(self.now_us)
        return [*self.ended, *self.open.values()]

    def _scan(self, now_us: int) -> None:
        """Look for idle flows in as many parts of the table as time has passed for."""
        waited_us = elapsed(self.scanned_us, now_us)
        if waited_us <= SCAN_US:
            return
        parts = -(-waited_us // SCAN_US)
        for key, flow in list(self.open.items()):
            if (flow.part - self.part) % PARTS < parts and flow.idle(now_us):
                flow.ended = True
                self.ended.append(self.open.pop(key))
        self.part = (self.part + parts) % PARTS
        self.scanned_us = now_us


def twin(packets: Iterable[Packet | int], rules: Rules) -> list[Flow]:
    """The flows that Tstat makes of packets."""
    made = Twin(rules)
    for packet in packets:
        if isinstance(packet, Packet):
            made.take(packet)
        else:
            made.now_us = packet
    return made.finish()


def values(flow: Flow) -> dict[str, float]:
    """The flow as in Tstat's logs, times in the logs' units."""
    row: dict[str, float] = {}
    for letter, side in zip("cs", flow.sides, strict=True):
        for name, value in _values(flow, side).items():
            row[f"{letter}_{name}"] = value
    if flow.first.tcp:
        row["durat"] = elapsed(flow.first_us, flow.last_us) / 1e6
    return row


def _values(flow: Flow, side: Side) -> dict[str, float]:
    if not flow.first.tcp:
        return {"bytes_all": side.payload_bytes, "pkts_all": side.packets}
    rtt, kinds = side.sent.rtt, side.sent.kinds
    return {
        "pkts_all": side.packets, "rst_cnt": side.rst & BYTE, "ack_cnt": side.acks,
        "ack_cnt_p": side.pure_acks, "bytes_uniq": side.unique, "pkts_data": side.data,
        "bytes_all": side.payload_bytes, "pkts_retx": side.again,
        "bytes_retx": side.again_bytes, "pkts_ooo": side.late, "syn_cnt": side.syn & BYTE,
        "fin_cnt": side.fin & BYTE, "first": elapsed(flow.first_us, side.first_data_us) / 1000,
        "last": elapsed(flow.first_us, side.last_data_us) / 1000,
        "first_ack": elapsed(flow.first_us, side.first_ack_us) / 1000,
        "rtt_avg": rtt.mean / 1000, "rtt_min": rtt.least / 1000, "rtt_max": rtt.most / 1000,
        "rtt_std": rtt.deviation / 1000, "rtt_cnt": rtt.count, "ttl_min": side.ttl_min,
        "ttl_max": side.ttl_max, "win_scl": side.scale, "sack_cnt": side.sacks,
        "mss": side.mss, "mss_max": side.most, "mss_min": side.least,
        "win_max": side.window_max, "win_min": side.window_min, "win_0": side.zero_windows,
        "cwin_max": side.cwin_max, "cwin_min": side.cwin_min, "cwin_ini": side.initial,
        "pkts_rto": kinds[1], "pkts_fs": kinds[2], "pkts_reor": kinds[3],
        "pkts_dup": kinds[4], "pkts_fc": kinds[5], "pkts_unrto": kinds[6],
        "pkts_unfs": kinds[7], "pkts_unk": kinds[8],
        "syn_retx": side.misbehaved if flow.rules.new_syn else side.syn_again,
    }  # fmt: skip
