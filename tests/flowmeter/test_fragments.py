"""Fragments: the first one has the ports, and the later ones get them from it."""

from __future__ import annotations

import struct

import pytest
from scapy.all import IP, UDP, Ether, IPv6, fragment, fragment6  # type: ignore[attr-defined]
from scapy.layers.inet6 import IPv6ExtHdrFragment

from flowmeter.core.layout import FIRST_FRAGMENT, LATER_FRAGMENT, WHOLE
from flowmeter.input.capture import CaptureReader, merged
from tests.flowmeter.conftest import (
    CLIENT,
    SERVER,
    Lab,
    Packet,
    ethernet,
    ip_packet,
    pcap_bytes,
    tcp,
    udp,
)
from tests.flowmeter.frames import A6, B6, dissected, fragments, fragments6, only, read, reason

KINDS = [FIRST_FRAGMENT, LATER_FRAGMENT, LATER_FRAGMENT]


@pytest.mark.parametrize("cut", [fragments, fragments6])
def test_a_datagram_in_three(lab: Lab, cut: type[fragments]) -> None:  # type: ignore[valid-type]
    packets = dissected(lab, cut(17, udp(3000), [1000, 2000]))
    head = 20 if cut is fragments else 48
    assert [reason(packet) for packet in packets] == ["", "", ""]
    assert packets["fragment"].tolist() == KINDS
    assert packets["src_port"].tolist() == [5000] * 3
    assert packets["dst_port"].tolist() == [53] * 3
    assert packets["protocol"].tolist() == [17] * 3
    assert packets["ip_bytes"].tolist() == [head + size for size in (1000, 1000, 1008)]
    assert packets["payload_bytes"].tolist() == [3000, 0, 0]
    assert len(set(packets["hash"].tolist())) == 1


def test_a_segment_in_two(lab: Lab) -> None:
    packets = dissected(lab, fragments(6, tcp("PA", 9, 8, 100), [64]))
    assert packets["payload_bytes"].tolist() == [44, 0]
    assert packets["flags"].tolist() == [0x18, 0]
    assert packets["seq"].tolist() == [9, 0]
    assert packets["dst_port"].tolist() == [443, 443]


@pytest.mark.parametrize(("protocol", "payload"), [(1, [56, 36]), (132, [52, 36]), (50, [64, 36])])
def test_other_protocols_count_what_each_part_carries(
    lab: Lab, protocol: int, payload: list[int]
) -> None:
    packets = dissected(lab, fragments(protocol, bytes(100), [64]))
    assert [reason(packet) for packet in packets] == ["", ""]
    assert packets["payload_bytes"].tolist() == payload


def test_fragments_of_several_datagrams_mix(lab: Lab) -> None:
    many = [
        fragments(17, udp(40, sport=1000 + number), [16, 32], number=number)
        for number in range(300)
    ]
    frames = [parts[at] for at in range(3) for parts in many]
    packets = dissected(lab, frames)
    # Datagrams that share a place in the table lose their later parts, and are counted so.
    lost = [reason(packet) for packet in packets].count("fragment_without_first")
    assert lost <= 2 * 30
    for place, packet in enumerate(packets):
        assert packet["src_port"] == 1000 + place % 300 or reason(packet) != ""


@pytest.mark.parametrize(("gap_s", "found"), [(29.9, True), (30.1, False), (-29.9, True)])
def test_a_first_fragment_counts_for_30_s(lab: Lab, gap_s: float, found: bool) -> None:
    first, rest = fragments(17, udp(100), [64])
    packets = read(lab.file(pcap_bytes([Packet(40, first), Packet(40 + gap_s, rest)])))
    assert reason(packets[1]) == ("" if found else "fragment_without_first")


@pytest.mark.parametrize("field", ["number", "addresses", "protocol", "version"])
def test_fragments_of_others_are_told_apart(lab: Lab, field: str) -> None:
    first, rest = fragments(17, udp(100), [64])
    other = {
        "number": fragments(17, udp(100), [64], number=8)[1],
        "addresses": ethernet(ip_packet(SERVER, CLIENT, 17, rest[34:], fragment=8)),
        "protocol": fragments(6, bytes(108), [64])[1],
        "version": fragments6(17, udp(100), [64])[1],
    }[field]
    packets = dissected(lab, [first, other, rest])
    assert [reason(packet) for packet in packets] == ["", "fragment_without_first", ""]


def test_a_first_fragment_in_no_flow_gives_no_ports(lab: Lab) -> None:
    packets = dissected(lab, fragments(17, udp(100)[:4] + b"\0\3" + bytes(50), [24]))
    assert [reason(packet) for packet in packets] == [
        "malformed_transport",
        "fragment_without_first",
    ]


def test_the_protocol_of_ipv6_fragments_is_the_first_ones(lab: Lab) -> None:
    chain = bytes([17, 0, 1, 4, 0, 0, 0, 0])  # destination options before UDP
    first, rest = fragments6(60, chain + udp(100), [64])
    packets = dissected(lab, [first, rest])
    assert packets["protocol"].tolist() == [17, 17]
    assert packets["dst_port"].tolist() == [53, 53]


def test_atomic_fragments_are_whole(lab: Lab) -> None:
    packet = only(lab, fragments6(17, udp(100), [])[0])
    assert (reason(packet), packet["fragment"], packet["payload_bytes"]) == ("", WHOLE, 100)
    unfragmented = ip_packet(CLIENT, SERVER, 17, udp(4), fragment=0x4000)  # may not be fragmented
    assert only(lab, ethernet(unfragmented))["fragment"] == WHOLE


@pytest.mark.parametrize("order", [1, -1])
def test_parts_in_several_captures(lab: Lab, order: int) -> None:
    first, rest = fragments(17, udp(100), [64])
    noise = [Packet(0.01 * at, ethernet(ip_packet(CLIENT, SERVER, 1, bytes(8)))) for at in range(9)]
    files = [
        lab.file(pcap_bytes([*noise, Packet(5, first)]), "firsts.pcap"),
        lab.file(pcap_bytes([Packet(5.1, rest)]), "rests.pcap"),
    ]
    readers = [CaptureReader(file) for file in files[::order]]
    packets = [packet for batch in merged(readers) for packet in batch]
    assert [reason(packet) for packet in packets] == [""] * 11
    assert packets[-1]["dst_port"] == 53


def test_scapy_fragments(lab: Lab) -> None:
    four = fragment(IP(src=CLIENT, dst=SERVER, id=3) / UDP(sport=5, dport=6) / bytes(3000), 1000)
    six = fragment6(
        IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(id=3) / UDP(sport=5, dport=6) / bytes(3000), 1280
    )
    for parts in (four, six):
        packets = dissected(lab, [bytes(Ether() / part) for part in parts])
        assert {reason(packet) for packet in packets} == {""}
        assert len(packets) > 2
        assert set(packets["dst_port"].tolist()) == {6}
        assert packets["payload_bytes"].tolist() == [3000] + [0] * (len(parts) - 1)
        assert packets["ip_bytes"].tolist() == [len(part) for part in parts]


def test_fragment_headers_that_are_cut(lab: Lab) -> None:
    frame = fragments6(17, udp(100), [64])[1]
    (packet,) = read(lab.file(pcap_bytes([Packet(0, frame[:61], len(frame))])))
    assert reason(packet) == "truncated_ip"
    short = ethernet(ip_packet(A6, B6, 44, struct.pack(">BBH", 17, 0, 8)))
    assert reason(only(lab, short)) == "malformed_ip"
