"""Every packet that is in no flow is in exactly one counter, and the right one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from flowmeter import meter, reject_table
from tests.flowmeter.conftest import (
    CLIENT,
    SERVER,
    START_NS,
    Lab,
    Packet,
    block,
    enhanced,
    ethernet,
    interface,
    ip_packet,
    pcap_bytes,
    section,
    tcp,
    udp,
)
from tests.flowmeter.frames import backbone, mpls, ppp, pppoe

TCP4 = ip_packet(CLIENT, SERVER, 6, tcp("S"))
TCP6 = ip_packet("2001:db8::1", "2001:db8::2", 6, tcp("S"))
UDP4 = ip_packet(CLIENT, SERVER, 17, udp(4))


def patched(packet: bytes, at: int, value: bytes) -> bytes:
    return packet[:at] + value + packet[at + len(value) :]


def v6(protocol: int, body: bytes) -> bytes:
    return ip_packet("2001:db8::1", "2001:db8::2", protocol, body)


def frame(kind: int, body: bytes = b"") -> bytes:
    return bytes(12) + struct.pack(">H", kind) + body


FRAMES = {
    "truncated_link": [b"", bytes(13), ethernet(TCP4, tags=(0x8100,))[:16], mpls(b""),
                       mpls(TCP4)[:20], frame(0x8847, bytes(40)), mpls(bytes(10)),
                       pppoe(ppp(TCP4))[:19], pppoe(ppp(TCP4))[:20], pppoe(ppp(TCP4))[:21],
                       backbone(ethernet(TCP4))[:31]],
    "llc": [frame(38, b"\x42\x42\x03" + bytes(35)), frame(3)],
    "arp": [frame(0x0806, bytes(28)), frame(0x8035, bytes(28))],
    "other_ethertype": [frame(0x88CC, bytes(40)), ethernet(TCP4, tags=(0x8100,) * 9),
                        mpls(b"\x10" + bytes(30)), pppoe(bytes(20), kind=0x8863, code=9),
                        pppoe(ppp(TCP4), code=0xA7), pppoe(b"\xc0\x21" + bytes(10))],
    "truncated_ip": [ethernet(TCP4)[:33], ethernet(TCP6)[:53], ethernet(v6(0, bytes(40)))[:60],
                     ethernet(patched(TCP4, 0, b"\x46"))[:36]],
    "malformed_ip": [
        ethernet(patched(TCP4, 0, b"\x44")),  # header of 16 bytes
        ethernet(patched(TCP4, 0, b"\x65")),
        ethernet(patched(TCP6, 0, b"\x40")),
        ethernet(patched(TCP4, 2, b"\x00\x10")),  # total length 16
        ethernet(v6(60, bytes(4))),  # extension header of 4 bytes
    ],
    "fragment_without_first": [
        ethernet(ip_packet(CLIENT, SERVER, 17, bytes(40), fragment=0x2005)),
        ethernet(ip_packet(CLIENT, SERVER, 1, bytes(40), fragment=5)),
        ethernet(v6(44, struct.pack(">BBHI", 17, 0, 0x0008, 1) + bytes(40))),
    ],
    "truncated_transport": [ethernet(TCP4)[:53], ethernet(UDP4)[:41],
                            ethernet(ip_packet(CLIENT, SERVER, 132, bytes(16)))[:45]],
    "malformed_transport": [
        ethernet(ip_packet(CLIENT, SERVER, 6, tcp("S")[:19])),
        ethernet(ip_packet(CLIENT, SERVER, 6, patched(tcp("S"), 12, b"\x40"))),
        ethernet(ip_packet(CLIENT, SERVER, 6, patched(tcp("S"), 12, b"\x60"))),
        ethernet(ip_packet(CLIENT, SERVER, 17, udp(4)[:7])),
        ethernet(ip_packet(CLIENT, SERVER, 132, bytes(11))),
        ethernet(ip_packet(CLIENT, SERVER, 17, patched(udp(4), 4, b"\x00\x07"))),
        ethernet(ip_packet(CLIENT, SERVER, 17, patched(udp(4), 4, b"\x00\x0d"))),
    ],
}  # fmt: skip


@pytest.mark.parametrize("reason", FRAMES)
def test_reason(lab: Lab, reason: str) -> None:
    frames = FRAMES[reason]
    packets = [Packet(number, each, 200) for number, each in enumerate(frames)]
    result = lab.meter([*packets, Packet(99, ethernet(TCP4))])
    assert result.rejects == {reason: len(frames)}
    assert (result.packets, result.table.num_rows) == (len(frames) + 1, 1)


@pytest.mark.parametrize(("link", "frame"), [(105, bytes(60)), (9999, ethernet(TCP4))])
def test_unknown_link_type(lab: Lab, link: int, frame: bytes) -> None:
    result = meter(lab.file(pcap_bytes([Packet(0, frame)], link=link)))
    assert result.rejects == {"unknown_link_type": 1}


def test_unknown_interface(lab: Lab) -> None:
    data = section() + interface() + enhanced(Packet(0, ethernet(TCP4)), START_NS // 1000, 1)
    assert meter(lab.file(data)).rejects == {"unknown_link_type": 1}


@pytest.mark.parametrize("link", [0, 9, 50, 51, 101, 104, 108, 113, 276])
def test_too_short_for_the_link_type(lab: Lab, link: int) -> None:
    packets = [Packet(0, bytes(size)) for size in range(4)]
    result = meter(lab.file(pcap_bytes(packets, link=link)))
    assert (sum(result.rejects.values()), result.table.num_rows) == (4, 0)


def test_no_time(lab: Lab) -> None:
    packet = Packet(0, ethernet(TCP4))
    simple = block(3, struct.pack("<I", len(packet.frame)) + packet.frame)
    far = enhanced(packet, 2**63)
    assert meter(lab.file(section() + interface() + simple + far)).rejects == {"no_time": 2}
    second = patched(pcap_bytes([packet]), 28, struct.pack("<I", 1_000_000))
    assert meter(lab.file(second)).rejects == {"no_time": 1}


def test_every_reason_is_documented_and_tested() -> None:
    elsewhere = {"unknown_link_type", "no_time", "truncated_tail", "corrupt_tail"}
    elsewhere.add("outside_semantics")  # given by the tracker
    assert reject_table().keys() == FRAMES.keys() | elsewhere
    assert all(reject_table().values())


def test_the_documented_table_is_this_one() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "flow-meter.md"
    text = page.read_text(encoding="utf-8")
    for name, meaning in reject_table().items():
        assert f"| `{name}` | {meaning} |" in text, name


@pytest.mark.parametrize(
    "chain",
    [
        [(0, 8), (43, 24), (60, 8)],  # hop by hop, routing, destination
        [(44, 8)],  # first fragment
        [(51, 24), (135, 8)],  # authentication, mobility
    ],
)
def test_extension_headers(lab: Lab, chain: list[tuple[int, int]]) -> None:
    body, protocol = udp(5), 17
    for kind, size in reversed(chain):
        units = size // 4 - 2 if kind == 51 else size // 8 - 1
        field = 0 if kind == 44 else units
        body, protocol = bytes([protocol, field]) + bytes(size - 2) + body, kind
    (row,) = lab.rows([Packet(0, ethernet(v6(protocol, body)))])
    assert (row["dst_port"], row["c2s_payload_bytes"]) == (53, 5)
    assert row["c2s_ip_bytes"] == 40 + len(body)


def test_offloaded_segments_have_the_length_of_the_frame(lab: Lab) -> None:
    large = patched(ip_packet(CLIENT, SERVER, 6, tcp("A", payload=3000)), 2, b"\x00\x00")
    (row,) = lab.rows([Packet(0, ethernet(large))])
    assert (row["c2s_ip_bytes"], row["c2s_payload_bytes"]) == (3040, 3000)


def test_payload_ends_where_the_frame_did(lab: Lab) -> None:
    claims = patched(ip_packet(CLIENT, SERVER, 6, tcp("A", payload=10)), 2, b"\x10\x00")
    (row,) = lab.rows([Packet(0, ethernet(claims))])
    assert (row["c2s_ip_bytes"], row["c2s_payload_bytes"]) == (4096, 10)
