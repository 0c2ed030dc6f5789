"""Tunnels: the outer packet, or the one inside if it is whole, by choice."""

from __future__ import annotations

import struct

import pytest
from scapy.all import IP, TCP, UDP, Ether, IPv6  # type: ignore[attr-defined]
from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header, GTPPDUSessionContainer
from scapy.layers.l2 import GRE, Dot1Q
from scapy.layers.vxlan import VXLAN

from tests.flowmeter.conftest import CLIENT, SERVER, Lab, ethernet, ip_packet, tcp, udp
from tests.flowmeter.frames import (
    A6,
    B6,
    carried,
    dissected,
    fields,
    fragments,
    geneve,
    gre,
    gtp,
    mpls,
    only,
    outer,
    ppp,
    reason,
    vxlan,
    with_payload,
)

IN4 = ip_packet(CLIENT, SERVER, 6, tcp("PA", 1, 2, 30))
IN6 = ip_packet(A6, B6, 17, udp(20))
CONTAINER = struct.pack(">HBB", 7, 0, 0x85) + bytes([1, 0x10, 0, 0])  # sequence, PDU session
TUNNELS = {
    "ip-in-ip": lambda ip: outer(4 if ip[0] >> 4 == 4 else 41, ip),
    "ip-in-ip6": lambda ip: outer(4 if ip[0] >> 4 == 4 else 41, ip, v6=True),
    "gre": lambda ip: gre(ip, 0x0800 if ip[0] >> 4 == 4 else 0x86DD),
    "gre-all-fields": lambda ip: gre(ethernet(ip), 0x6558, flags=0xB000, words=3),
    "gre-key": lambda ip: gre(ethernet(ip, tags=(0x8100,)), 0x6558, flags=0x2000, words=1),
    "gre-mpls": lambda ip: gre(mpls(ip)[14:], 0x8847),
    "pptp": lambda ip: gre(ppp(ip), 0x880B, flags=0x3081, words=3),
    "pptp-no-ack": lambda ip: gre(b"\xff\x03" + ppp(ip), 0x880B, flags=0x3001, words=2),
    "erspan-1": lambda ip: gre(ethernet(ip), 0x88BE),
    "erspan-2": lambda ip: gre(bytes(8) + ethernet(ip), 0x88BE, flags=0x1000, words=1),
    "erspan-3": lambda ip: gre(bytes(12) + ethernet(ip), 0x22EB, flags=0x1000, words=1),
    "erspan-3-long": lambda ip: gre(
        bytes(11) + b"\1" + bytes(8) + ethernet(ip), 0x22EB, flags=0x1000, words=1
    ),
    "vxlan": lambda ip: vxlan(ethernet(ip)),
    "vxlan-linux": lambda ip: vxlan(ethernet(ip, tags=(0x88A8, 0x8100)), port=8472),
    "geneve": lambda ip: geneve(ethernet(ip), 0x6558),
    "geneve-options": lambda ip: geneve(ethernet(ip), 0x6558, options=bytes(252)),
    "geneve-ip": lambda ip: geneve(ip, 0x0800 if ip[0] >> 4 == 4 else 0x86DD, options=bytes(8)),
    "gtp": gtp,
    "gtp-sequence": lambda ip: gtp(ip, flags=0x32, more=bytes(3) + b"\x85"),
    "gtp-extension": lambda ip: gtp(ip, flags=0x34, more=CONTAINER),
    "gtp-extensions": lambda ip: gtp(ip, flags=0x36, more=CONTAINER[:-1] + b"\x40" + bytes([2])
                                     + bytes(7)) if ip else b"",
    "eight-deep": lambda ip: outer(4, outer(4, vxlan(ethernet(gre(outer(4, outer(4, outer(
        4, gre(ip, 0x0800 if ip[0] >> 4 == 4 else 0x86DD))))))))),
}  # fmt: skip


@pytest.mark.parametrize("name", TUNNELS)
@pytest.mark.parametrize("inside", [IN4, IN6], ids=["v4", "v6"])
def test_the_packet_inside(lab: Lab, name: str, inside: bytes) -> None:
    frame = ethernet(TUNNELS[name](inside))
    expected = only(lab, ethernet(inside))
    packet = only(lab, frame, tunnels="inner")
    assert reason(packet) == ""
    assert fields(packet) == fields(expected)
    assert (packet["tag"], packet["hash"]) == (expected["tag"], expected["hash"])
    around = only(lab, frame)
    assert (reason(around), around["ip_bytes"]) == ("", len(frame) - 14)


def test_more_than_eight_deep_stops_there(lab: Lab) -> None:
    ip = IN4
    for _ in range(9):
        ip = outer(4, ip)
    packet = only(lab, ethernet(ip), tunnels="inner")
    assert (reason(packet), packet["protocol"], packet["ip_bytes"]) == ("", 4, 20 + len(IN4))


NOT_WHOLE = {
    "cut-inside": outer(4, IN4[:-1]),
    "inner-port-missing": vxlan(ethernet(IN4)[:40]),
    "not-ip": vxlan(bytes(12) + b"\x08\x06" + bytes(28)),
    "wrong-version": outer(4, IN6),
    "nothing": outer(4, b""),
    "vxlan-control": carried(4789, bytes(8) + ethernet(IN4)),
    "vxlan-short": carried(4789, b"\x08\0\0\0"),
    "geneve-control": carried(6081, struct.pack(">BBHI", 0, 0x80, 0x6558, 0) + ethernet(IN4)),
    "geneve-version": carried(6081, struct.pack(">BBHI", 0x40, 0, 0x6558, 0) + ethernet(IN4)),
    "geneve-options-missing": geneve(b"", 0x6558)[:-8] + b"\x3f\0\x65\x58\0\0\0\0",
    "gtp-echo": gtp(IN4, kind=1),
    "gtp-version-2": gtp(IN4, flags=0x48),
    "gtp-extension-of-nothing": gtp(IN4, flags=0x34, more=CONTAINER[:4] + bytes(4)),
    "gtp-extension-missing": gtp(b"", flags=0x34, more=CONTAINER[:4]),
    "gre-short": outer(47, b"\x00\x00"),
    "gre-version-2": gre(IN4, flags=2),
    "gre-routes": gre(IN4, flags=0x4000, words=1),
    "gre-key-missing": gre(b"", flags=0x2000),
    "gre-keep-alive": gre(b"", 0),
    "pptp-acknowledgement": gre(b"", 0x880B, flags=0x2081, words=2),
    "dns": outer(17, with_payload(udp(dport=53), bytes(8) + ethernet(IN4))),
    "udp-inside-broken": outer(4, ip_packet(CLIENT, SERVER, 17, udp(4)[:7])),
}


@pytest.mark.parametrize("name", NOT_WHOLE)
def test_what_is_not_whole_leaves_the_outer_packet(lab: Lab, name: str) -> None:
    frame = ethernet(NOT_WHOLE[name])
    packet, expected = only(lab, frame, tunnels="inner"), only(lab, frame)
    assert reason(expected) == ""
    assert packet == expected


def test_a_fragmented_tunnel_stays_closed(lab: Lab) -> None:
    body = struct.pack(">HHHH", 9, 4789, 16 + len(ethernet(IN4)), 0) + vxlan(ethernet(IN4))[28:]
    frames = fragments(17, body, [64])
    inner = dissected(lab, frames, tunnels="inner")
    assert [reason(packet) for packet in inner] == ["", ""]
    assert inner["dst_port"].tolist() == [4789, 4789]


def test_fragments_in_a_tunnel_find_their_ports(lab: Lab) -> None:
    frames = [ethernet(outer(4, frame[14:])) for frame in fragments(17, udp(100), [32, 64])]
    packets = dissected(lab, frames, tunnels="inner")
    assert packets["dst_port"].tolist() == [53, 53, 53]
    assert packets["payload_bytes"].tolist() == [100, 0, 0]
    assert packets["ip_bytes"].tolist() == [52, 52, 64]


DEEP4 = IP(src=CLIENT, dst=SERVER) / TCP(sport=1, dport=2, seq=3) / b"abc"
DEEP6 = IPv6(src=A6, dst=B6) / UDP(sport=1, dport=2) / b"abcd"
SCAPY = {
    "gre": Ether() / IP() / GRE(key_present=1, seqnum_present=1, key=5) / DEEP4,
    "gre6": Ether() / IPv6() / GRE(chksum_present=1) / DEEP6,
    "ip": Ether() / IP() / DEEP4,
    "ip6": Ether() / IP() / DEEP6,
    "vxlan": Ether() / IP() / UDP() / VXLAN(vni=5) / Ether() / Dot1Q(vlan=3) / DEEP4,
    "geneve": Ether() / IP() / UDP(dport=6081) / GENEVE(vni=5) / Ether() / DEEP6,
    "gtp": Ether() / IP() / UDP() / GTP_U_Header(teid=9) / DEEP4,
    "gtp-container": Ether()
    / IP()
    / UDP()
    / GTP_U_Header(teid=9, E=1, next_ex=0x85)
    / GTPPDUSessionContainer(type=1, QFI=3)
    / DEEP6,
}


@pytest.mark.parametrize("name", SCAPY)
def test_scapy_says_the_same(lab: Lab, name: str) -> None:
    expected = DEEP4 if DEEP4.src in SCAPY[name].summary() else DEEP6
    packet = only(lab, bytes(SCAPY[name]), tunnels="inner")
    assert reason(packet) == ""
    assert fields(packet) == fields(only(lab, bytes(Ether() / expected)))
