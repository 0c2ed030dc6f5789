"""Firewall and source NAT of a router: nftables rules, encoded and put in over netlink.

No `nft` program is needed, and everything acts on the calling thread's namespace. One table holds
a router's rules; it goes in whole or not at all.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

from launcher.plan import Filter, FilterRule, Node, Translation
from topologies.addresses import Prefix
from topologies.errors import MachineError

TABLE: Final = b"gsta-router\0"
_FORWARDING, _LEAVING = b"forward\0", b"postrouting\0"
_NETFILTER: Final = 12  # NETLINK_NETFILTER
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_BATCH_BEGIN, _BATCH_END, _NLMSG_ERROR, _NFTABLES = 0x10, 0x11, 0x2, 10
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE = (_NFTABLES << 8 | n for n in (0, 3, 6))
_INET, _IPV4, _IPV6 = 1, 2, 10
_FORWARD, _POSTROUTING, _FILTER_PRIORITY, _SRCNAT_PRIORITY = 2, 4, 0, 100
_NESTED: Final = 0x8000
_VERDICT_REGISTER, _REGISTER = 0, 1
_DROP, _ACCEPT = 0, 1
_META_IIFNAME, _META_OIFNAME, _META_NFPROTO, _META_L4PROTO = 6, 7, 15, 16
_EQUAL, _NOT_EQUAL, _AT_MOST, _AT_LEAST = 0, 1, 3, 5
_CT_STATE, _CT_KNOWN = 0, 0x2 | 0x4  # established, related
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_REJECT_WITH_ICMP, _REJECT_WITH_RESET, _PROHIBITED = 2, 1, 3
_PROTOCOLS: Final = {"tcp": (6, 6), "udp": (17, 17), "icmp": (1, 58)}  # in IPv4, in IPv6
_INTERFACE_BYTES: Final = 16
_ANSWER_S: Final = 10


def ruleset(node: Node) -> bytes:
    """The netlink messages that make a router translate and refuse; empty if it does neither."""
    if node.nat is None and node.filter is None:
        return b""
    drops = node.filter is not None and node.filter.default != "accept"
    messages = [
        (_NEW_TABLE, _CREATE, _value(1, TABLE)),
        (_NEW_CHAIN, _CREATE, _chain(_FORWARDING, _FORWARD, _FILTER_PRIORITY, drops=drops)),
        *((_NEW_RULE, _CREATE | _APPEND, rule) for rule in _forward_rules(node)),
    ]
    if node.nat is not None:
        chain = _chain(_LEAVING, _POSTROUTING, _SRCNAT_PRIORITY, kind=b"nat\0")
        messages.append((_NEW_CHAIN, _CREATE, chain))
        messages += [(_NEW_RULE, _CREATE | _APPEND, rule) for rule in _translate(node.nat)]
    # Asked of the last alone: an answer to it says that all went well.
    kind, flags, body = messages.pop()
    messages.append((kind, flags | _ACK, body))
    begin = _message(_BATCH_BEGIN, 0, family=0, resource=_NFTABLES)
    end = _message(_BATCH_END, 0, family=0, resource=_NFTABLES)
    return b"".join((begin, *(_message(*message) for message in messages), end))


def load(messages: bytes) -> None:
    """Put a ruleset into the namespace of the calling thread.

    Raises
    ------
    MachineError
        The kernel lacks nftables or one of its parts.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as request:
        request.settimeout(_ANSWER_S)
        request.bind((0, 0))
        request.send(messages)
        _, kind, _, _, _, code = struct.unpack_from("=IHHIIi", request.recv(1 << 16))
        if kind != _NLMSG_ERROR or code == 0:
            return
    if -code in (errno.EPERM, errno.EACCES):
        raise PermissionError(-code, "nftables")
    raise MachineError(
        f"this kernel cannot filter or translate as a router does ({errno.errorcode.get(-code)})",
        remedy="it takes its modules: modprobe -a nf_tables nft_ct nft_nat nft_reject_inet",
    )


def _forward_rules(node: Node) -> Iterator[bytes]:
    known = _load_state() + _masked(struct.pack("=I", _CT_KNOWN)) + _compare(_NOT_EQUAL, bytes(4))
    yield _rule(_FORWARDING, known + _verdict(_ACCEPT))
    if node.nat is not None:
        from_outside = _on_interface(_META_IIFNAME, node.nat.interface)
        yield _rule(_FORWARDING, from_outside + _verdict(_DROP))
    if node.filter is not None:
        for expressions in _filter(node.filter):
            yield _rule(_FORWARDING, expressions)


def _filter(firewall: Filter) -> Iterator[bytes]:
    for rule in firewall.rules:
        yield from _matching(rule)
    if firewall.default == "reject":
        yield from _matching(FilterRule("reject", (), (), "any", ()))


def _matching(rule: FilterRule) -> Iterator[bytes]:
    """A rule is one of the kernel's for each combination of what it names."""
    ends = list(_pairs(rule.sources, rule.targets))
    for (family, addresses), ports in product(ends, rule.ports or ((0, 0),)):
        for protocol in _protocols(rule.protocol, family):
            match = addresses
            if protocol is not None:
                match += _load_meta(_META_L4PROTO) + _compare(_EQUAL, bytes([protocol]))
            if rule.ports:
                match += _payload(_TRANSPORT_HEADER, 2, 2)
                match += _compare(_AT_LEAST, struct.pack("!H", ports[0]))
                match += _compare(_AT_MOST, struct.pack("!H", ports[1]))
            yield from (match + action for action in _actions(rule, protocol))


def _pairs(
    sources: Sequence[Prefix], targets: Sequence[Prefix]
) -> Iterator[tuple[int | None, bytes]]:
    """IP version (None: any) and match of each source with each target."""
    for source, target in product(sources or (None,), targets or (None,)):
        versions = {prefix.version for prefix in (source, target) if prefix is not None}
        if len(versions) == 2:
            continue
        match = b""
        for version in versions:
            family = _IPV4 if version == 4 else _IPV6
            match += _load_meta(_META_NFPROTO) + _compare(_EQUAL, bytes([family]))
        match += _address(source, 12, 8) + _address(target, 16, 24)
        yield versions.pop() if versions else None, match


def _protocols(name: str, version: int | None) -> Sequence[int | None]:
    if name == "any":
        return (None,)
    pair = _PROTOCOLS[name]
    return sorted(set(pair)) if version is None else (pair[0] if version == 4 else pair[1],)


def _actions(rule: FilterRule, protocol: int | None) -> Iterator[bytes]:
    tcp = _PROTOCOLS["tcp"][0]
    if rule.action != "reject":
        yield _verdict(_ACCEPT if rule.action == "accept" else _DROP)
    if rule.action == "reject" and protocol in (None, tcp):
        only_tcp = _load_meta(_META_L4PROTO) + _compare(_EQUAL, bytes([tcp]))
        yield only_tcp + _expression(b"reject\0", _number(1, _REJECT_WITH_RESET))
    if rule.action == "reject" and protocol != tcp:
        code = _value(2, bytes([_PROHIBITED]))
        yield _expression(b"reject\0", _number(1, _REJECT_WITH_ICMP) + code)


def _translate(nat: Translation) -> Iterator[bytes]:
    leaving = _on_interface(_META_OIFNAME, nat.interface)
    leaving += _load_meta(_META_NFPROTO) + _compare(_EQUAL, bytes([_IPV4]))
    to_address = _number(1, _REGISTER) + _nested(2, _value(1, nat.address.packed))
    source_nat = _number(1, 0) + _number(2, _IPV4) + _number(3, _REGISTER)
    for subnet in nat.inside:
        from_inside = _address(subnet, 12, 8)
        change = _expression(b"immediate\0", to_address) + _expression(b"nat\0", source_nat)
        yield _rule(_LEAVING, leaving + from_inside + change)


def _address(prefix: Prefix | None, place4: int, place6: int) -> bytes:
    if prefix is None:
        return b""
    size = prefix.max_prefixlen // 8
    loaded = _payload(_NETWORK_HEADER, place4 if prefix.version == 4 else place6, size)
    if prefix.prefixlen < prefix.max_prefixlen:
        loaded += _masked(prefix.netmask.packed)
    return loaded + _compare(_EQUAL, prefix.network_address.packed)


def _on_interface(key: int, name: str) -> bytes:
    return _load_meta(key) + _compare(_EQUAL, name.encode().ljust(_INTERFACE_BYTES, b"\0"))


def _load_meta(key: int) -> bytes:
    return _expression(b"meta\0", _number(1, _REGISTER) + _number(2, key))


def _load_state() -> bytes:
    return _expression(b"ct\0", _number(1, _REGISTER) + _number(2, _CT_STATE))


def _payload(base: int, offset: int, size: int) -> bytes:
    place = _number(2, base) + _number(3, offset) + _number(4, size)
    return _expression(b"payload\0", _number(1, _REGISTER) + place)


def _masked(mask: bytes) -> bytes:
    registers = _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, len(mask))
    return _expression(
        b"bitwise\0",
        registers + _nested(4, _value(1, mask)) + _nested(5, _value(1, bytes(len(mask)))),
    )


def _compare(operator: int, value: bytes) -> bytes:
    return _expression(
        b"cmp\0", _number(1, _REGISTER) + _number(2, operator) + _nested(3, _value(1, value))
    )


def _verdict(code: int) -> bytes:
    verdict = _nested(2, _nested(2, _number(1, code)))
    return _expression(b"immediate\0", _number(1, _VERDICT_REGISTER) + verdict)


def _chain(
    name: bytes, hook: int, priority: int, *, kind: bytes = b"filter\0", drops: bool = False
) -> bytes:
    place = _nested(4, _number(1, hook) + _number(2, priority))
    policy = _number(5, _DROP if drops else _ACCEPT)
    return _value(1, TABLE) + _value(3, name) + place + policy + _value(7, kind)


def _rule(chain: bytes, expressions: bytes) -> bytes:
    return _value(1, TABLE) + _value(2, chain) + _nested(4, expressions)


def _expression(name: bytes, data: bytes) -> bytes:
    return _nested(1, _value(1, name) + _nested(2, data))


def _value(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _number(kind: int, value: int) -> bytes:
    return _value(kind, struct.pack("!i", value))


def _nested(kind: int, value: bytes) -> bytes:
    return _value(kind | _NESTED, value)


def _message(
    kind: int, flags: int, body: bytes = b"", *, family: int = _INET, resource: int = 0
) -> bytes:
    head = struct.pack("=IHHII", 20 + len(body), kind, flags | _REQUEST, 0, 0)
    return head + struct.pack("!BBH", family, 0, resource) + body
