"""The nftables rules that mark flows, spoken to the kernel without any `nft` program.

In a host's network namespace three things are copied onto each flow while it is made:

- ``ct mark``: the group id of the process that opened it (``meta skgid``);
- ``ct label``, first half: the control group of the socket that opened it, or that accepts it
  (``socket cgroupv2``), where the kernel and the machine have such groups;
- ``ct label``, second half: which of the two it was.

A packet that conntrack makes no flow of (a FIN without a connection, say, of a scan) is handed over
with its sender's group id instead, by ``log group``.

Standard library only: it runs by itself in a helper container too.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Final

TABLE: Final = b"gsta\0"
OPENED, ACCEPTED = 1, 2
ACCEPTED_MARK: Final = 1 << 31  # of an acceptor's group id, which is never that large

NETFILTER: Final = 12  # NETLINK_NETFILTER
REQUEST, ACK, CREATE, APPEND = 0x1, 0x4, 0x400, 0x800
BATCH_BEGIN, BATCH_END, NLMSG_ERROR = 0x10, 0x11, 0x2
NFTABLES: Final = 10
NEW_TABLE, DELETE_TABLE, NEW_CHAIN, NEW_RULE = (NFTABLES << 8 | n for n in (0, 2, 3, 6))
INET: Final = 1
HOOK_PREROUTING, HOOK_INPUT, HOOK_OUTPUT, PRIORITY_MANGLE = 0, 1, 3, -150
REGISTER: Final = 1
CT_DIRECTION, CT_MARK, CT_LABELS, CT_EVENTMASK, META_SKGID, SOCKET_CGROUP = 1, 3, 13, 18, 11, 3
LABEL_BYTES: Final = 16
CT_STATE, INVALID = 0, 1
LOG_GROUP: Final = 1
EVENT_NEW, EVENT_RELATED, EVENT_DESTROY, EVENT_MARK = 1 << 0, 1 << 1, 1 << 2, 1 << 7


def install(level: int | None, *, log: bool) -> None:
    """Install the table in this thread's namespace, in one transaction, replacing an older one.

    ``level`` is how deep in the v2 hierarchy the control groups of programs are; None: no program
    has one of its own. ``log`` is whether packets of no flow are handed over.

    Raises
    ------
    OSError
        The kernel has no nftables here, lacks an expression, or refuses.
    """
    messages = [
        _message(BATCH_BEGIN, 0, family=0, resource=NFTABLES),
        _message(NEW_TABLE, CREATE, text(1, TABLE)),
        _message(DELETE_TABLE, 0, text(1, TABLE)),
        _message(NEW_TABLE, CREATE, text(1, TABLE)),
        *_chain(b"pre\0", HOOK_PREROUTING, [_FROM_OUTSIDE]),
        *_chain(b"in\0", HOOK_INPUT, [] if level is None else [_label(level, ACCEPTED)]),
        *_chain(
            b"out\0",
            HOOK_OUTPUT,
            [
                _OPENER,
                _ACCEPTOR if level is None else _label(level, OPENED),
                *([_OF_NO_FLOW] if log else []),
            ],
        ),
        _message(BATCH_END, ACK, family=0, resource=NFTABLES),
    ]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER) as request:
        request.settimeout(10)
        request.bind((0, 0))
        request.send(b"".join(messages))
        for kind, body in netlink_messages(request.recv(1 << 16)):
            code = struct.unpack_from("=i", body)[0] if kind == NLMSG_ERROR else 0
            if code:
                raise OSError(-code, f"nftables: {errno.errorcode.get(-code, code)}")


def netlink_messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each netlink message."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 16 or offset + length > len(data):
            return
        yield kind, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _message(
    kind: int, flags: int, body: bytes = b"", *, family: int = INET, resource: int = 0
) -> bytes:
    head = struct.pack("=IHHII", 20 + len(body), kind, flags | REQUEST, 0, 0)
    return head + struct.pack("!BBH", family, 0, resource) + body


def _chain(name: bytes, hook: int, rules: list[bytes]) -> Iterator[bytes]:
    place = number(1, hook) + number(2, PRIORITY_MANGLE)
    chain = text(1, TABLE) + text(3, name) + nested(4, place) + text(7, b"filter\0")
    yield _message(NEW_CHAIN, CREATE, chain)
    for expressions in rules:
        rule = text(1, TABLE) + text(2, name) + nested(4, expressions)
        yield _message(NEW_RULE, CREATE | APPEND, rule)


def _expression(name: bytes, data: bytes) -> bytes:
    return nested(1, text(1, name) + nested(2, data))


def text(kind: int, value: bytes) -> bytes:
    """A netlink attribute."""
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def number(kind: int, value: int) -> bytes:
    """A netlink attribute that is a number in network order."""
    return text(kind, struct.pack("!i", value))


def nested(kind: int, value: bytes) -> bytes:
    """A netlink attribute that holds others."""
    return text(kind | 0x8000, value)


def _get_ct(key: int) -> bytes:
    return _expression(b"ct\0", number(1, REGISTER) + number(2, key))


def _set_ct(key: int) -> bytes:
    return _expression(b"ct\0", number(2, key) + number(4, REGISTER))


def _equal(value: bytes) -> bytes:
    return _expression(b"cmp\0", number(1, REGISTER) + number(2, 0) + nested(3, text(1, value)))


def _load(value: bytes) -> bytes:
    return _expression(b"immediate\0", number(1, REGISTER) + nested(2, text(1, value)))


def _events(mask: int) -> bytes:
    return _load(struct.pack("=I", mask)) + _set_ct(CT_EVENTMASK)


_ORIGINAL: Final = _get_ct(CT_DIRECTION) + _equal(b"\0")
_REPLY: Final = _get_ct(CT_DIRECTION) + _equal(b"\1")
_UNMARKED: Final = _get_ct(CT_MARK) + _equal(bytes(4))
_GROUP_ID: Final = _expression(b"meta\0", number(1, REGISTER) + number(2, META_SKGID))

# Only the events that are read: none for each step of each connection, and the end with its
# counters only where the flow was opened.
_FROM_OUTSIDE: Final = _ORIGINAL + _UNMARKED + _events(EVENT_NEW | EVENT_RELATED | EVENT_MARK)

# ct direction original ct eventmask set … ct mark set meta skgid
_OPENER: Final = (
    _ORIGINAL
    + _events(EVENT_NEW | EVENT_RELATED | EVENT_MARK | EVENT_DESTROY)
    + _GROUP_ID
    + _set_ct(CT_MARK)
)

# ct direction reply ct mark 0 ct mark set meta skgid | 0x80000000: who answers has accepted it
_ACCEPTOR: Final = (
    _REPLY
    + _UNMARKED
    + _GROUP_ID
    + _expression(
        b"bitwise\0",
        number(1, REGISTER)
        + number(2, REGISTER)
        + number(3, 4)
        + nested(4, text(1, struct.pack("=I", ACCEPTED_MARK - 1)))
        + nested(5, text(1, struct.pack("=I", ACCEPTED_MARK))),
    )
    + _set_ct(CT_MARK)
)


# ct state invalid meta skgid … log group 1: only of a packet that a program sent
_OF_NO_FLOW: Final = (
    _get_ct(CT_STATE)
    + _equal(struct.pack("=I", INVALID))
    + _GROUP_ID
    + _expression(b"log\0", text(1, struct.pack("!H", LOG_GROUP)))
)


def _label(level: int, role: int) -> bytes:
    """Ct direction original ct label 0 ct label set socket cgroupv2 level … . role.

    Once per flow, for the kernel adds to a label and never takes away. In the hook for input only
    what no process of this host has opened.
    """
    return (
        _ORIGINAL
        + (_UNMARKED if role == ACCEPTED else b"")
        + _get_ct(CT_LABELS)
        + _equal(bytes(LABEL_BYTES))
        + _load(struct.pack("=QQ", 0, role))
        + _expression(
            b"socket\0", number(1, SOCKET_CGROUP) + number(2, REGISTER) + number(3, level)
        )
        + _set_ct(CT_LABELS)
    )
