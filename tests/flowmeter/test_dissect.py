"""Every field that the dissector fills, from frames made by hand; scapy says the same."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest
from scapy.all import IP, TCP, UDP, Ether, IPv6  # type: ignore[attr-defined]
from scapy.contrib.mpls import MPLS
from scapy.layers.l2 import Dot1AD, Dot1Q
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.sctp import SCTP

from flowmeter.core.layout import (
    NO_HELLO,
    OPT_FASTOPEN,
    OPT_MSS,
    OPT_SACK,
    OPT_SACK_OK,
    OPT_TIMESTAMPS,
    OPT_WSCALE,
    QUIC_LONG,
    TLS_CLIENT_HELLO,
    TLS_DATA,
    TLS_OTHER_HANDSHAKE,
    TLS_SERVER_HELLO,
    WHOLE,
)
from tests.flowmeter.conftest import CLIENT, SERVER, Lab, Packet, ethernet, ip_packet, pcap_bytes
from tests.flowmeter.conftest import tcp as tcp_segment
from tests.flowmeter.conftest import udp as udp_datagram
from tests.flowmeter.frames import (
    A6,
    B6,
    backbone,
    dissected,
    fields,
    handshake,
    mpls,
    only,
    ppp,
    pppoe,
    read,
    reason,
    with_options,
    with_payload,
)

TCP4 = ip_packet(CLIENT, SERVER, 6, tcp_segment("PA", 7, 9, 30))
UDP6 = ip_packet(A6, B6, 17, udp_datagram(11))
CISCO = struct.pack(">H", 0x0F00)
# Whatever stands before the IP header: the packet is the same.
LINKS = {
    "vlan-x8": (1, lambda ip: ethernet(ip, tags=(0x8100, 0x88A8, 0x9100, 0x9200) * 2)),
    "mpls": (1, mpls),
    "mpls-one-label": (1, lambda ip: mpls(ip, labels=1)),
    "mpls-multicast": (1, lambda ip: mpls(ip, kind=0x8848)),
    "mpls-in-vlan": (1, lambda ip: ethernet(ip, tags=(0x8100,))[:16] + mpls(ip)[12:]),
    "pseudowire": (1, lambda ip: mpls(bytes(4) + ethernet(ip))),
    "pppoe": (1, lambda ip: pppoe(ppp(ip))),
    "pppoe-compressed": (1, lambda ip: pppoe(ppp(ip)[1:])),
    "pppoe-in-vlan": (1, lambda ip: bytes(12) + b"\x81\0\0\5" + pppoe(ppp(ip))[12:]),
    "backbone": (1, lambda ip: backbone(ethernet(ip, tags=(0x8100,)))),
    "ppp": (9, lambda ip: b"\xff\x03" + ppp(ip)),
    "ppp-bare": (9, ppp),
    "ppp-serial": (50, lambda ip: b"\xff\x03" + ppp(ip)),
    "ppp-serial-cisco": (50, lambda ip: CISCO + ethernet(ip)[12:]),
    "pppoe-link": (51, lambda ip: pppoe(ppp(ip))[14:]),
    "ppp-cisco": (9, lambda ip: CISCO + ethernet(ip)[12:]),
    "cisco-hdlc": (104, lambda ip: CISCO + ethernet(ip)[12:]),
    "cooked-vlan": (113, lambda ip: bytes(14) + b"\x81\0\0\5" + ethernet(ip)[12:]),
    "cooked-2-vlan": (276, lambda ip: b"\x81\0" + bytes(18) + b"\0\5" + ethernet(ip)[12:]),
}


@pytest.mark.parametrize("name", LINKS)
def test_what_stands_before_the_ip_header_changes_nothing(lab: Lab, name: str) -> None:
    link, wrap = LINKS[name]
    for ip in (TCP4, UDP6):
        expected = only(lab, ethernet(ip))
        packet = only(lab, wrap(ip), link=link)
        assert (reason(packet), reason(expected)) == ("", "")
        assert fields(packet) == fields(expected)
        assert (packet["tag"], packet["hash"]) == (expected["tag"], expected["hash"])


def test_every_field_of_a_segment(lab: Lab) -> None:
    ip = bytearray(ip_packet(CLIENT, SERVER, 6, tcp_segment("PA", 7, 9, 30, window=512)))
    ip[1], ip[4:6], ip[8] = 0x2E, b"\x12\x34", 61
    assert fields(only(lab, ethernet(bytes(ip)))) == {
        "src_hi": 0, "src_lo": int(ipaddress.ip_address(CLIENT)),
        "dst_hi": 0, "dst_lo": int(ipaddress.ip_address(SERVER)),
        "src_port": 40000, "dst_port": 443, "version": 4, "protocol": 6, "fragment": WHOLE,
        "ttl": 61, "tos": 0x2E, "flags": 0x18, "options": 0, "window_scale": -1, "mss": 0,
        "window": 512, "ip_id": 0x1234, "hello": NO_HELLO, "ip_bytes": 70, "payload_bytes": 30,
        "seq": 7, "ack": 9, "hello_version": 0, "hello_bytes": 0,
    }  # fmt: skip


def test_every_field_of_an_ipv6_datagram(lab: Lab) -> None:
    ip = bytearray(UDP6)
    ip[:4] = struct.pack(">I", 6 << 28 | 0xB9 << 20 | 0x12345)
    packet = only(lab, ethernet(bytes(ip)))
    address = int(ipaddress.ip_address(A6))
    told = fields(packet)
    assert (told["src_hi"], told["src_lo"]) == (address >> 64, address & 2**64 - 1)
    assert (packet["tos"], packet["ttl"], packet["ip_id"], packet["version"]) == (0xB9, 64, 0, 6)
    assert (packet["ip_bytes"], packet["payload_bytes"], packet["seq"]) == (59, 11, 0)


def test_nothing_is_left_of_the_packet_before(lab: Lab) -> None:
    segment = with_options(tcp_segment("SA", 5, 6), b"\x02\x04\x05\xb4\x03\x03\x07")
    frames = [ethernet(ip_packet(CLIENT, SERVER, 6, segment))] * 5000 + [ethernet(UDP6)] * 5000
    packets = dissected(lab, frames)
    clean = fields(only(lab, ethernet(UDP6)))
    assert fields(packets[-1]) == fields(packets[5000]) == clean


def tcp_options(lab: Lab, options: bytes, *, captured: int | None = None) -> Any:
    segment = with_options(tcp_segment("S", 5, payload=9), options)
    frame = ethernet(ip_packet(CLIENT, SERVER, 6, segment))
    packet = Packet(0, frame[:captured], len(frame))
    (found,) = read(lab.file(pcap_bytes([packet])))
    assert (reason(found), found["payload_bytes"]) == ("", 9)
    return found["options"], found["mss"], found["window_scale"]


STAMPS = b"\x08\x0a" + bytes(8)


def test_tcp_options(lab: Lab) -> None:
    linux = b"\x02\x04\x05\xb4\x04\x02" + STAMPS + b"\x01\x03\x03\x07"
    everything = OPT_MSS | OPT_SACK_OK | OPT_TIMESTAMPS | OPT_WSCALE
    assert tcp_options(lab, linux) == (everything, 1460, 7)
    assert tcp_options(lab, b"\x01\x01" + STAMPS) == (OPT_TIMESTAMPS, 0, -1)
    assert tcp_options(lab, b"\x01\x01\x05\x12" + bytes(16)) == (OPT_SACK, 0, -1)
    assert tcp_options(lab, b"\x22\x0a" + bytes(8)) == (OPT_FASTOPEN, 0, -1)
    assert tcp_options(lab, b"\x03\x03\xff") == (OPT_WSCALE, 0, 14)
    assert tcp_options(lab, b"") == (0, 0, -1)


@pytest.mark.parametrize("broken", ["0200", "0201", "02ff", "0404ff", "0403", "04", "00"])
def test_broken_tcp_options_end_the_list(lab: Lab, broken: str) -> None:
    options = b"\x03\x03\x02\x01\x01" + bytes.fromhex(broken)
    assert tcp_options(lab, options) == (OPT_WSCALE, 0, 2)
    if broken != "04":  # what follows would be its length
        assert tcp_options(lab, options + b"\x04\x02") == (OPT_WSCALE, 0, 2)


def test_tcp_options_that_were_not_captured(lab: Lab) -> None:
    options = b"\x02\x04\x05\xb4" + STAMPS + b"\x03\x03\x07"
    at = 14 + 20 + 20
    assert tcp_options(lab, options, captured=at) == (0, 0, -1)
    assert tcp_options(lab, options, captured=at + 4) == (OPT_MSS, 1460, -1)
    assert tcp_options(lab, options, captured=at + 13) == (OPT_MSS, 1460, -1)
    assert tcp_options(lab, options, captured=at + 14) == (OPT_MSS | OPT_TIMESTAMPS, 1460, -1)


def hello(lab: Lab, payload: bytes, *, cut: int = 0) -> tuple[int, int, int]:
    ip = ip_packet(CLIENT, SERVER, 6, with_payload(tcp_segment("PA"), payload))
    (packet,) = read(lab.file(pcap_bytes([Packet(0, ethernet(ip)[: 54 + len(payload) - cut])])))
    return packet["hello"], packet["hello_version"], packet["hello_bytes"]


def test_tls_hellos(lab: Lab) -> None:
    client, server = handshake(1, 0x0303, 508), handshake(2, 0x0301, 70000)
    assert hello(lab, client) == (TLS_CLIENT_HELLO, 0x0303, 508)
    assert hello(lab, server) == (TLS_SERVER_HELLO, 0x0301, 70000)
    assert hello(lab, client, cut=len(client) - 11) == (TLS_CLIENT_HELLO, 0x0303, 508)
    assert hello(lab, client, cut=len(client) - 10) == (NO_HELLO, 0, 0)
    assert hello(lab, handshake(11, 0x0303, 9)) == (TLS_OTHER_HANDSHAKE, 0, 0)
    assert hello(lab, handshake(1, 0x7777, 9)) == (TLS_OTHER_HANDSHAKE, 0, 0)
    assert hello(lab, b"\x17\x03\x03\x00\x09" + bytes(9)) == (TLS_DATA, 0, 0)


@pytest.mark.parametrize("payload", ["1703050009", "17020309", "140303000101", "1503030002", "16"])
def test_no_hello(lab: Lab, payload: str) -> None:
    assert hello(lab, bytes.fromhex(payload) + bytes(4)) == (NO_HELLO, 0, 0)


def quic(lab: Lab, payload: bytes) -> tuple[int, int, int]:
    ip = ip_packet(CLIENT, SERVER, 17, with_payload(udp_datagram(), payload))
    packet = only(lab, ethernet(ip))
    return packet["hello"], packet["hello_version"], packet["hello_bytes"]


@pytest.mark.parametrize(
    "version", [1, 0x6B3343CF, 0xFF00001D, 0x51303530, 0x54303531, 0xFACEB002, 0x1A2A3A4A]
)
def test_quic_long_headers(lab: Lab, version: int) -> None:
    payload = b"\xc3" + struct.pack(">I", version) + bytes(1195)
    assert quic(lab, payload) == (QUIC_LONG, version, 1200)
    assert quic(lab, b"\x43" + payload[1:]) == (NO_HELLO, 0, 0)
    assert quic(lab, b"\x83" + payload[1:]) == (NO_HELLO, 0, 0)


def test_quic_version_negotiation(lab: Lab) -> None:
    packet = b"\x80\0\0\0\0" + b"\x02ab" + b"\x03cde" + struct.pack(">II", 1, 0x0A1A2A3A)
    assert quic(lab, packet) == (QUIC_LONG, 0, 20)
    assert quic(lab, packet[:-1]) == (NO_HELLO, 0, 0)
    assert quic(lab, packet[:12]) == (NO_HELLO, 0, 0)
    assert quic(lab, packet.replace(b"\0\0\0\1", b"\0\0\0\2")) == (NO_HELLO, 0, 0)
    assert quic(lab, b"\xc0\0\0\0\2" + bytes(20)) == (NO_HELLO, 0, 0)


@pytest.mark.parametrize(
    ("protocol", "body", "ports", "payload"),
    [
        (1, bytes(64), (0, 0), 56),
        (1, bytes(4), (0, 0), 0),
        (58, bytes(24), (0, 0), 16),
        (132, struct.pack(">HHII", 2905, 2906, 1, 0) + bytes(16), (2905, 2906), 16),
        (50, bytes(40), (0, 0), 40),
        (59, b"", (0, 0), 0),
        (89, bytes(44), (0, 0), 44),
        (255, bytes(1), (0, 0), 1),
    ],
)
@pytest.mark.parametrize("version", [4, 6])
def test_other_protocols(  # noqa: PLR0917 - pytest
    lab: Lab, protocol: int, body: bytes, ports: tuple[int, int], payload: int, version: int
) -> None:
    ends = (CLIENT, SERVER) if version == 4 else (A6, B6)
    packet = only(lab, ethernet(ip_packet(*ends, protocol, body)))
    assert reason(packet) == ""
    assert (packet["protocol"], packet["payload_bytes"]) == (protocol, payload)
    assert (packet["src_port"], packet["dst_port"]) == ports
    assert packet["ip_bytes"] == (20 if version == 4 else 40) + len(body)


def test_an_address_pair_needs_no_more_than_the_ip_header(lab: Lab) -> None:
    frame = ethernet(ip_packet(CLIENT, SERVER, 1, bytes(64)))
    (packet,) = read(lab.file(pcap_bytes([Packet(0, frame[:34], len(frame))])))
    assert (reason(packet), packet["payload_bytes"]) == ("", 56)


SCAPY = {
    "qinq": Ether() / Dot1AD(vlan=2) / Dot1Q(vlan=3) / IP(tos=4, id=5, ttl=6) / TCP(seq=7) / b"abc",
    "mpls": Ether(type=0x8847) / MPLS(label=9, s=0) / MPLS(label=8, s=1) / IP() / UDP() / b"abcd",
    "pppoe": Ether() / PPPoE(sessionid=3) / PPP() / IP(id=9) / TCP(flags="SA", window=99),
    "pppoe6": Ether() / PPPoE(sessionid=3) / PPP() / IPv6(tc=3, hlim=9) / UDP(sport=9) / b"x",
    "sctp": Ether() / IP(id=77) / SCTP(sport=3, dport=4) / b"abcdef",
    "options": Ether()
    / IPv6()
    / TCP(options=[("MSS", 1220), ("NOP", None), ("WScale", 9), ("SAckOK", b"")]),
}


@pytest.mark.parametrize("name", SCAPY)
def test_scapy_says_the_same(lab: Lab, name: str) -> None:
    frame = bytes(SCAPY[name])
    packet, scapy = only(lab, frame), Ether(frame)
    assert reason(packet) == ""
    ip = scapy[IP] if IP in scapy else scapy[IPv6]
    head = ip.ihl * 4 if IP in scapy else 40
    assert packet["ip_bytes"] == (ip.len if IP in scapy else ip.plen + 40)
    assert packet["tos"] == (ip.tos if IP in scapy else ip.tc)
    assert packet["ttl"] == (ip.ttl if IP in scapy else ip.hlim)
    assert packet["ip_id"] == (ip.id if IP in scapy else 0)
    upper = next(scapy[kind] for kind in (TCP, UDP, SCTP) if kind in scapy)
    assert (packet["src_port"], packet["dst_port"]) == (upper.sport, upper.dport)
    size = upper.dataofs * 4 if TCP in scapy else 8 if UDP in scapy else 12
    assert packet["payload_bytes"] == packet["ip_bytes"] - head - size
    if TCP in scapy:
        assert (packet["seq"], packet["window"]) == (upper.seq, upper.window)
        assert packet["flags"] == int(upper.flags)
        options = dict(upper.options)
        assert packet["mss"] == options.get("MSS", 0)
        assert packet["window_scale"] == options.get("WScale", -1)
