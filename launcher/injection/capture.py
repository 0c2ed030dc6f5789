"""Conversations of a capture: who sent what to whom, without who they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from topologies.errors import InputError, MissingExtraError, NotFoundError, Problem

TCP, UDP = 6, 17
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
MAX_PACKETS: Final = 200_000
IDLE_S: Final = 60.0  # UDP between the same ports after this long is another conversation
_ETHERNET, _LINUX_SLL, _RAW = 1, 113, {12, 14, 101, 228, 229}


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: its transport header as it was, and what of its payload was captured."""

    from_client: bool
    at_s: float  # since the conversation's first
    header: bytes
    size: int  # of the payload on the wire, in bytes
    payload: bytes
    ttl: int

    @property
    def flags(self) -> int:
        """Of TCP; 0 for others."""
        return self.header[13] if len(self.header) >= 20 else 0


@dataclass(frozen=True, slots=True)
class Conversation:
    """What two ends said to each other; the client is who opened it."""

    protocol: int
    client_port: int
    server_port: int
    start_s: float  # since the capture's first packet
    packets: tuple[Packet, ...]


@dataclass(slots=True)
class Reading:
    """The conversations of a capture, and how many packets are of no use, by reason."""

    conversations: tuple[Conversation, ...] = ()
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Seen:
    time_s: float
    protocol: int
    source: tuple[bytes, int]
    target: tuple[bytes, int]
    header: bytes
    size: int
    payload: bytes
    ttl: int

    @property
    def opens(self) -> bool:
        return self.protocol == TCP and self.header[13] & (SYN | ACK) == SYN

    @property
    def answers(self) -> bool:
        return self.protocol == TCP and self.header[13] & (SYN | ACK) == SYN | ACK


def read_conversations(file: Path, *, max_packets: int = MAX_PACKETS) -> Reading:
    """Read TCP and UDP conversations from a pcap or pcapng file, at most so many packets.

    Raises
    ------
    NotFoundError, InputError
        There is no such file, it is no capture, or there is no conversation in it.
    MissingExtraError
        dpkt is not installed.
    """
    reading = Reading()
    seen = list(_packets(file, reading.left_out, max_packets))
    groups: dict[tuple[object, ...], list[_Seen]] = {}
    current: dict[tuple[object, ...], tuple[object, ...]] = {}
    for packet in seen:
        key = (packet.protocol, *sorted((packet.source, packet.target)))
        group = current.get(key)
        if group is None or _begins_anew(groups[group], packet):
            group = current[key] = (*key, len(groups))
            groups[group] = []
        groups[group].append(packet)
    first_s = min((packet.time_s for packet in seen), default=0.0)
    found = (_conversation(group, first_s) for group in groups.values())
    reading.conversations = tuple(talk for talk in found if talk is not None)
    if not reading.conversations:
        raise InputError(
            Problem(str(file), "", "TCP or UDP over IP", "none", "choose another capture")
        )
    return reading


def _begins_anew(group: list[_Seen], packet: _Seen) -> bool:
    last = group[-1]
    if packet.protocol == UDP:
        return packet.time_s - last.time_s > IDLE_S
    return packet.opens and not last.opens and bool(last.header[13] & (FIN | RST | ACK))


def _conversation(group: list[_Seen], first_s: float) -> Conversation | None:
    first = group[0]
    client = first.target if first.answers else first.source
    group = group[next((i for i, p in enumerate(group) if p.source == client), len(group)) :]
    if not group:
        return None
    server = group[0].target
    begin_s = group[0].time_s
    packets = tuple(
        Packet(p.source == client, max(p.time_s - begin_s, 0.0), p.header, p.size, p.payload, p.ttl)
        for p in group
    )
    return Conversation(first.protocol, client[1], server[1], max(begin_s - first_s, 0.0), packets)


def _packets(file: Path, left_out: Counter[str], max_packets: int) -> Iterator[_Seen]:
    try:
        import dpkt
    except ImportError as error:
        raise MissingExtraError("dpkt", extra="inject") from error
    try:
        with file.open("rb") as stream:
            reader = dpkt.pcap.UniversalReader(stream)
            for number, (time_s, frame) in enumerate(reader):
                if number >= max_packets:
                    left_out["beyond the limit"] += 1
                    continue
                packet = _packet(dpkt, reader.datalink(), float(time_s), frame)
                if packet is None:
                    left_out["neither TCP nor UDP, or damaged"] += 1
                else:
                    yield packet
    except OSError as error:
        said = error.strerror or "none"
        raise NotFoundError(Problem(str(file), "", "a capture", said, "check the path")) from error
    except (ValueError, dpkt.Error) as error:
        raise InputError(
            Problem(str(file), "", "a pcap or pcapng file", str(error), "choose another file")
        ) from error


def _packet(dpkt: Any, link: int, time_s: float, frame: bytes) -> _Seen | None:
    try:
        ip = _network(dpkt, link, frame)
        if not isinstance(ip, dpkt.ip.IP | dpkt.ip6.IP6):
            return None
        body = ip.data
        if isinstance(ip, dpkt.ip.IP):
            total, ttl = int(ip.len) - 4 * int(ip.hl), int(ip.ttl)
        else:
            extra = sum(len(header) for header in ip.extension_hdrs.values() if header)
            total, ttl = int(ip.plen) - extra, int(ip.hlim)
        if isinstance(body, dpkt.tcp.TCP):
            protocol, header = TCP, body.pack_hdr() + bytes(body.opts)
        elif isinstance(body, dpkt.udp.UDP):
            protocol, header = UDP, b""
            total -= 8
        else:
            return None
    except (dpkt.Error, ValueError, IndexError):
        return None
    size = max(total - len(header), 0)
    payload = bytes(body.data)[:size]
    source, target = (bytes(ip.src), int(body.sport)), (bytes(ip.dst), int(body.dport))
    return _Seen(time_s, protocol, source, target, header, size, payload, ttl)


def _network(dpkt: Any, link: int, frame: bytes) -> object:
    if link == _ETHERNET:
        return dpkt.ethernet.Ethernet(frame).data
    if link == _LINUX_SLL:
        return dpkt.sll.SLL(frame).data
    if link in _RAW and frame:
        return dpkt.ip6.IP6(frame) if frame[0] >> 4 == 6 else dpkt.ip.IP(frame)
    return None
