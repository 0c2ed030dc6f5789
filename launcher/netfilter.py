"""Which group opened which flow, asked of the kernel: nftables and conntrack over netlink.

A rule in a host's network namespace copies the group id of the sending process onto the flow
(``ct direction original ct mark set meta skgid``); conntrack then reports each new flow with that
mark, and each flow whose mark changes: a UDP port that another process took over while the kernel
still remembered the flow. Everything here acts on the calling thread's namespace. Standard library
only, and no `nft` program: the same file runs by itself in a helper container.
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

TABLE: Final = b"gsta\0"
BUFFER_BYTES: Final = 32 << 20  # 20,000 flows of a burst; 3,000 flows/s need far less

NETFILTER: Final = 12  # NETLINK_NETFILTER
REQUEST, ACK, CREATE, APPEND = 0x1, 0x4, 0x400, 0x800
BATCH_BEGIN, BATCH_END, NLMSG_ERROR = 0x10, 0x11, 0x2
NFTABLES: Final = 10
NEW_TABLE, DELETE_TABLE, NEW_CHAIN, NEW_RULE = (NFTABLES << 8 | n for n in (0, 2, 3, 6))
INET: Final = 1
HOOK_PREROUTING, HOOK_OUTPUT, PRIORITY_MANGLE = 0, 3, -150
REGISTER, CT_DIRECTION, CT_MARK, CT_EVENTMASK, META_SKGID = 1, 1, 3, 18, 11
EVENTS: Final = 1 << 0 | 1 << 1 | 1 << 7  # new, related, mark

CONNTRACK_NEW: Final = 1 << 8  # subsystem conntrack, message new
GROUPS: Final = 1 << 0 | 1 << 1  # new and update
CTA_TUPLE_ORIG, CTA_MARK, CTA_TIMESTAMP_EVENT = 1, 8, 27
TUPLE_IP, TUPLE_PROTO = 1, 2
NESTED: Final = 0x8000
SO_RCVBUFFORCE, SO_MEMINFO, MEMINFO_DROPS = 33, 55, 8

SETTINGS: Final = Path("/proc/sys/net/netfilter")


@dataclass(frozen=True, slots=True)
class NewFlow:
    """A flow that a marked process opened; ``time_ns`` is the kernel's real-time clock."""

    time_ns: int
    protocol: int
    src: str
    sport: int
    dst: str
    dport: int
    owner: int


def start() -> socket.socket:
    """Mark flows in this namespace and return the socket their events come in on.

    Raises
    ------
    OSError
        The kernel has no nftables or conntrack here, or refuses (no CAP_NET_ADMIN).
    """
    for name in ("nf_conntrack_events", "nf_conntrack_timestamp"):
        # A container's /proc/sys is read-only: there the engine sets them (docker_native).
        with contextlib.suppress(OSError):
            (SETTINGS / name).write_text("1")
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETFILTER)
    try:
        try:
            events.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except PermissionError:  # in a user namespace: as much as the machine allows
            events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        events.bind((0, GROUPS))
        events.setblocking(False)
        _mark_flows()
    except OSError:
        events.close()
        raise
    return events


def read(events: socket.socket) -> Iterator[NewFlow]:
    """Every event waiting in the socket; overruns are skipped here and counted by `lost`."""
    while True:
        try:
            data = events.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            continue
        yield from parse(data, received_ns=time.time_ns())


def lost(events: socket.socket) -> int:
    """Events the kernel could not put into the socket."""
    info = events.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (MEMINFO_DROPS + 1))
    return int(struct.unpack_from("=I", info, 4 * MEMINFO_DROPS)[0])


def parse(data: bytes, *, received_ns: int) -> Iterator[NewFlow]:
    """New marked flows in a datagram of conntrack messages.

    Kernels before 6.14 put no time into the event: there it is the time of receipt.
    """
    for kind, body in _messages(data):
        if kind != CONNTRACK_NEW or len(body) < 4:
            continue
        attributes = _attributes(body[4:])
        mark = int.from_bytes(attributes.get(CTA_MARK, b""), "big")
        tuple_ = _attributes(attributes.get(CTA_TUPLE_ORIG, b""))
        if mark == 0 or not {TUPLE_IP, TUPLE_PROTO} <= tuple_.keys():
            continue
        src, dst = _addresses(tuple_[TUPLE_IP])
        if not src:
            continue
        protocol, sport, dport = _ports(tuple_[TUPLE_PROTO])
        stamp = attributes.get(CTA_TIMESTAMP_EVENT)
        time_ns = int.from_bytes(stamp, "big") if stamp else received_ns
        yield NewFlow(time_ns, protocol, src, sport, dst, dport, mark)


def _addresses(data: bytes) -> tuple[str, str]:
    """Attributes 1 and 2 are IPv4 source and destination, 3 and 4 IPv6."""
    values = [value for _, value in sorted(_attributes(data).items())]
    if len(values) != 2 or {len(v) for v in values} not in ({4}, {16}):
        return "", ""
    return str(ipaddress.ip_address(values[0])), str(ipaddress.ip_address(values[1]))


def _ports(data: bytes) -> tuple[int, int, int]:
    """Attributes 1 to 3 are protocol, source and destination port (absent for ICMP)."""
    attributes = _attributes(data)
    protocol, sport, dport = (int.from_bytes(attributes.get(n, b""), "big") for n in (1, 2, 3))
    return protocol, sport, dport


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each netlink message."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 16 or offset + length > len(data):
            return
        yield kind, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
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


def _mark_flows() -> None:
    """Install the table with its rules, in one transaction, replacing an older one."""
    messages = [
        _message(BATCH_BEGIN, 0, family=0, resource=NFTABLES),
        _message(NEW_TABLE, CREATE, _text(1, TABLE)),
        _message(DELETE_TABLE, 0, _text(1, TABLE)),
        _message(NEW_TABLE, CREATE, _text(1, TABLE)),
        _message(NEW_CHAIN, CREATE, _chain(b"in\0", HOOK_PREROUTING)),
        _message(NEW_RULE, CREATE | APPEND, _rule(b"in\0", _ONLY_OUR_EVENTS)),
        _message(NEW_CHAIN, CREATE, _chain(b"out\0", HOOK_OUTPUT)),
        _message(NEW_RULE, CREATE | APPEND | ACK, _rule(b"out\0", _ONLY_OUR_EVENTS + _OWNER)),
        _message(BATCH_END, 0, family=0, resource=NFTABLES),
    ]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as request:
        request.settimeout(10)
        request.bind((0, 0))
        request.send(b"".join(messages))
        for kind, body in _messages(request.recv(1 << 16)):
            code = struct.unpack_from("=i", body)[0] if kind == NLMSG_ERROR else 0
            if code:
                raise OSError(-code, f"nftables: {errno.errorcode.get(-code, code)}")


def _chain(name: bytes, hook: int) -> bytes:
    place = _number(1, hook) + _number(2, PRIORITY_MANGLE)
    return _text(1, TABLE) + _text(3, name) + _nested(4, place) + _text(7, b"filter\0")


def _rule(chain: bytes, expressions: bytes) -> bytes:
    return _text(1, TABLE) + _text(2, chain) + _nested(4, expressions)


def _expression(name: bytes, data: bytes) -> bytes:
    return _nested(1, _text(1, name) + _nested(2, data))


def _text(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _number(kind: int, value: int) -> bytes:
    return _text(kind, struct.pack("!i", value))


def _nested(kind: int, value: bytes) -> bytes:
    return _text(kind | NESTED, value)


# ct eventmask set new,related,mark: no event for each step of each connection
_ONLY_OUR_EVENTS: Final = _expression(
    b"immediate\0", _number(1, REGISTER) + _nested(2, _text(1, struct.pack("=I", EVENTS)))
) + _expression(b"ct\0", _number(2, CT_EVENTMASK) + _number(4, REGISTER))

# ct direction original ct mark set meta skgid: a server's replies must not overwrite the opener
_OWNER: Final = (
    _expression(b"ct\0", _number(1, REGISTER) + _number(2, CT_DIRECTION))
    + _expression(b"cmp\0", _number(1, REGISTER) + _number(2, 0) + _nested(3, _text(1, b"\0")))
    + _expression(b"meta\0", _number(1, REGISTER) + _number(2, META_SKGID))
    + _expression(b"ct\0", _number(2, CT_MARK) + _number(4, REGISTER))
)


def _message(
    kind: int, flags: int, body: bytes = b"", *, family: int = INET, resource: int = 0
) -> bytes:
    head = struct.pack("=IHHII", 20 + len(body), kind, flags | REQUEST, 0, 0)
    return head + struct.pack("!BBH", family, 0, resource) + body


def main() -> int:
    """Write a JSON line for each new flow until SIGTERM, then how many were lost."""
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
        _say({"lost": lost(events)})
    return 0


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
