"""Which program opened which flow, and what became of it, asked of the kernel over netlink.

Rules in a host's network namespace (`launcher.nftrules`) copy onto each flow who opened or accepted
it; conntrack then reports each new flow with that, each flow whose mark changes (a UDP port that
another process took over while the kernel still remembered the flow), and each flow's end with its
packets and bytes. Packets that are of no flow come one by one. Everything here acts on the calling
thread's namespace. Standard library only: it runs by itself in a helper container too.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import json
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from launcher import nftrules
from launcher.nftrules import ACCEPTED, ACCEPTED_MARK, NETFILTER, OPENED, netlink_messages

BUFFER_BYTES: Final = 32 << 20  # 20,000 flows of a burst; 3,000 flows/s need far less

CONNTRACK_NEW, CONNTRACK_DELETE = 1 << 8, 1 << 8 | 2  # subsystem conntrack
LOG_PACKET, LOG_CONFIG = 4 << 8, 4 << 8 | 1  # subsystem log
LOG_PAYLOAD, LOG_GID = 9, 14
LOG_BYTES: Final = 64  # of each packet: the headers with addresses and ports
GROUPS: Final = 1 << 0 | 1 << 1 | 1 << 2  # new, update, destroy
CTA_TUPLE_ORIG, CTA_MARK, CTA_ORIG, CTA_REPLY, CTA_TIMESTAMP, CTA_LABELS = 1, 8, 9, 10, 20, 22
CTA_TIMESTAMP_EVENT: Final = 27
TUPLE_IP, TUPLE_PROTO = 1, 2
NESTED: Final = 0x8000
SO_RCVBUFFORCE, SO_MEMINFO, MEMINFO_DROPS = 33, 55, 8
ENDED, PACKET = 3, 4  # beside OPENED and ACCEPTED
PORTS: Final = (6, 17, 132, 136)  # protocols with ports

SETTINGS: Final = Path("/proc/sys/net/netfilter")
# A closed connection is remembered for 10 s, not 120: its end is known soon, and 2,000 connections
# a second need no more than 20,000 entries of the kernel's table.
WANTED: Final = {
    "nf_conntrack_events": "1",
    "nf_conntrack_timestamp": "1",
    "nf_conntrack_acct": "1",
    "nf_conntrack_tcp_timeout_time_wait": "10",
    # A connection's last packets, after the kernel has forgotten it, are no new one.
    "nf_conntrack_tcp_loose": "0",
    # Packets outside the window are counted too.
    "nf_conntrack_tcp_be_liberal": "1",
}


@dataclass(frozen=True, slots=True)
class Flow:
    """What the kernel said of a flow; times are of its real-time clock.

    ``owner`` is the group id, ``cgroup`` the id of the control group of who opened or accepted it
    (0: not known). An end has the counters of both directions, the opener's first.
    """

    what: int  # OPENED, ACCEPTED, ENDED or PACKET
    time_ns: int
    protocol: int
    src: str
    sport: int
    dst: str
    dport: int
    owner: int
    cgroup: int = 0
    start_ns: int = 0
    packets: int = 0
    bytes: int = 0
    reply_packets: int = 0
    reply_bytes: int = 0


def start(level: int | None = None) -> socket.socket:
    """Mark flows in this namespace and return the socket their events come in on.

    ``level`` is that of `launcher.nftrules.install`.

    Raises
    ------
    OSError
        The kernel has no nftables or conntrack here, or refuses (no CAP_NET_ADMIN).
    """
    for name, value in WANTED.items():
        _set(name, value)
    events = listen(GROUPS)
    try:
        _install(events, level)
    except OSError:
        events.close()
        raise
    return events


def listen(groups: int) -> socket.socket:
    """A socket that hears netfilter's messages to these multicast groups, in this namespace."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    try:
        try:
            events.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except PermissionError:  # in a user namespace: as much as the machine allows
            events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        events.bind((0, groups))
        events.setblocking(False)
    except OSError:
        events.close()
        raise
    return events


def _install(events: socket.socket, level: int | None) -> None:
    events.send(_log_settings())
    try:
        nftrules.install(level, log=True)
    except OSError:  # no nfnetlink_log: what begins within a connection must be a flow, then
        nftrules.install(level, log=False)
        _set("nf_conntrack_tcp_loose", "1")


def _log_settings() -> bytes:
    """Bind the log's group to the socket that sends this: headers, each packet at once."""
    bind = nftrules.text(1, b"\1")
    copy = nftrules.text(2, struct.pack("!IBB", LOG_BYTES, 2, 0)) + nftrules.number(5, 1)
    return b"".join(
        struct.pack("=IHHII", 20 + len(body), LOG_CONFIG, nftrules.REQUEST, 0, 0)
        + struct.pack("!BBH", socket.AF_UNSPEC, 0, nftrules.LOG_GROUP)
        + body
        for body in (bind, copy)
    )


def _set(name: str, value: str) -> None:
    # A container's /proc/sys is read-only: there the engine sets them (docker_native).
    with contextlib.suppress(OSError):
        (SETTINGS / name).write_text(value)


def end_all(events: socket.socket) -> None:
    """Make the kernel forget every flow of the namespace that ``events`` is of, and say so."""
    head = struct.pack("=IHHII", 20, CONNTRACK_DELETE, nftrules.REQUEST, 0, 0)
    events.send(head + struct.pack("!BBH", socket.AF_UNSPEC, 0, 0))


def read(events: socket.socket) -> Iterator[Flow]:
    """Every event waiting in the socket; overruns are skipped here and counted by `lost`."""
    for data in received(events):
        yield from parse(data, received_ns=time.time_ns())


def received(events: socket.socket) -> Iterator[bytes]:
    """What is waiting in the socket, unparsed; overruns are skipped here and counted by `lost`."""
    while True:
        try:
            data = events.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            continue
        yield data


def lost(events: socket.socket) -> int:
    """Events the kernel could not put into the socket."""
    info = events.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (MEMINFO_DROPS + 1))
    return int(struct.unpack_from("=I", info, 4 * MEMINFO_DROPS)[0])


def parse(data: bytes, *, received_ns: int) -> Iterator[Flow]:
    """What a datagram of conntrack messages says of flows with an owner.

    Kernels before 6.14 put no time into the event: there it is the time of receipt.
    """
    for kind, body in netlink_messages(data):
        if kind == LOG_PACKET and (packet := _packet(attributes_of(body[4:]), received_ns)):
            yield packet
        if kind not in (CONNTRACK_NEW, CONNTRACK_DELETE) or len(body) < 4:
            continue
        attributes = attributes_of(body[4:])
        mark = int.from_bytes(attributes.get(CTA_MARK, b""), "big")
        label = attributes.get(CTA_LABELS, b"")
        if not mark and (kind == CONNTRACK_DELETE or not any(label)):
            continue
        cgroup, role = struct.unpack("=QQ", label) if len(label) == 16 else (0, OPENED)
        role = ACCEPTED if role == ACCEPTED else OPENED
        if mark & ACCEPTED_MARK:
            mark, role = mark & ~ACCEPTED_MARK, ACCEPTED
        end_points = _end_points(attributes.get(CTA_TUPLE_ORIG, b""))
        if end_points is None:
            continue
        stamp = attributes.get(CTA_TIMESTAMP_EVENT)
        time_ns = int.from_bytes(stamp, "big") if stamp else received_ns
        if kind == CONNTRACK_NEW:
            yield Flow(role, time_ns, *end_points, mark, cgroup)
        elif role == OPENED:
            yield _end(attributes, end_points, mark, received_ns)


_EndPoints = tuple[int, str, int, str, int]


def _packet(attributes: dict[int, bytes], received_ns: int) -> Flow | None:
    """A packet of no flow; None if its headers are no such thing."""
    owner, data = attributes.get(LOG_GID, b""), attributes.get(LOG_PAYLOAD, b"")
    if len(owner) != 4 or len(data) < 40:
        return None
    if data[0] >> 4 == 4:
        protocol, ends, rest = data[9], (data[12:16], data[16:20]), data[4 * (data[0] & 15) :]
    else:
        protocol, ends, rest = data[6], (data[8:24], data[24:40]), data[40:]
    ports = struct.unpack_from("!HH", rest) if protocol in PORTS and len(rest) >= 4 else (0, 0)
    src, dst = (str(ipaddress.ip_address(end)) for end in ends)
    group = int.from_bytes(owner, "big")
    return Flow(PACKET, received_ns, protocol, src, ports[0], dst, ports[1], group)


def _end(attributes: dict[int, bytes], end_points: _EndPoints, mark: int, received_ns: int) -> Flow:
    begun, ended = (
        int.from_bytes(attributes_of(attributes.get(CTA_TIMESTAMP, b"")).get(n, b""), "big")
        for n in (1, 2)
    )
    counters = (
        int.from_bytes(attributes_of(attributes.get(way, b"")).get(n, b""), "big")
        for way in (CTA_ORIG, CTA_REPLY)
        for n in (1, 2)
    )
    return Flow(ENDED, ended or received_ns, *end_points, mark, 0, begun, *counters)


def _end_points(data: bytes) -> _EndPoints | None:
    """Protocol, source and destination; None of what has none."""
    parts = attributes_of(data)
    # Attributes 1 and 2 are IPv4 source and destination, 3 and 4 IPv6.
    ends = [value for _, value in sorted(attributes_of(parts.get(TUPLE_IP, b"")).items())]
    if TUPLE_PROTO not in parts or len(ends) != 2 or {len(x) for x in ends} not in ({4}, {16}):
        return None
    src, dst = (str(ipaddress.ip_address(x)) for x in ends)
    # Attributes 1 to 3 are protocol, source and destination port (absent for ICMP).
    numbers = attributes_of(parts[TUPLE_PROTO])
    protocol, sport, dport = (int.from_bytes(numbers.get(n, b""), "big") for n in (1, 2, 3))
    return protocol, src, sport, dst, dport


def attributes_of(data: bytes) -> dict[int, bytes]:
    """Netlink attributes by type; a broken tail is left out."""
    found: dict[int, bytes] = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4 or offset + length > len(data):
            break
        found[kind & ~NESTED] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def main() -> int:
    """Write a JSON line for each event until SIGTERM, then how many were lost."""
    wake, woken = socket.socketpair()
    signal.signal(signal.SIGTERM, lambda *_: None)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    with start() as events:
        _say({"ready": True})
        ending = False
        while not ending:
            readable, _, _ = select.select([events, woken], [], [])
            ending = woken in readable
            for flow in read(events):
                _say(astuple(flow))
        missed = lost(events)
        end_all(events)
        for flow in read(events):
            _say(astuple(flow))
        _say({"lost": missed, "ends_lost": lost(events) - missed})
    return 0


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
