"""Sums per 5-tuple against slow independent counters: dpkt on made-up traffic, tshark on real."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmeter import MeterResult, meter
from tests.flowmeter.conftest import Lab, Packet, ethernet, ip_packet, pcap_bytes, tcp, udp

FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
HEADERS = {1: 8, 17: 8, 58: 8, 132: 12}  # of ICMP, UDP, ICMPv6 and SCTP; TCP's vary
Key = tuple[int, tuple[tuple[str, int], ...]]
Sums = dict[Key, list[int]]  # packets, IP bytes, payload bytes, then each flag


def add(sums: Sums, key: Key, size: int, payload: int, flags: int) -> None:
    bits = [flags >> bit & 1 for bit in range(8)]
    sums[key] = [old + new for old, new in zip(sums[key], [1, size, payload, *bits], strict=True)]


def key_of(protocol: int, *ends: tuple[str, int]) -> Key:
    return protocol, tuple(sorted(ends))


def metered(result: MeterResult) -> Sums:
    sums: Sums = defaultdict(lambda: [0] * 11)
    names = ["packets", "ip_bytes", "payload_bytes", *(f"{flag}_packets" for flag in FLAGS)]
    for row in result.table.to_pylist():
        source, target = (row["src_ip"], row["src_port"]), (row["dst_ip"], row["dst_port"])
        key = key_of(row["protocol"], source, target)
        flow = [row[f"c2s_{name}"] + row[f"s2c_{name}"] for name in names]
        sums[key] = [old + new for old, new in zip(sums[key], flow, strict=True)]
    return dict(sums)


def by_dpkt(path: Path) -> tuple[Sums, int]:
    sums: Sums = defaultdict(lambda: [0] * 11)
    rejected = 0
    with path.open("rb") as stream:
        for _, frame in dpkt.pcap.Reader(stream):
            ip = dpkt.ethernet.Ethernet(frame).data
            if not isinstance(ip, dpkt.ip.IP | dpkt.ip6.IP6):
                rejected += 1
                continue
            segment, six = ip.data, isinstance(ip, dpkt.ip6.IP6)
            family = socket.AF_INET6 if six else socket.AF_INET
            source, target = (socket.inet_ntop(family, end) for end in (ip.src, ip.dst))
            is_tcp = isinstance(segment, dpkt.tcp.TCP)
            ported = isinstance(segment, dpkt.tcp.TCP | dpkt.udp.UDP | dpkt.sctp.SCTP)
            ports = (segment.sport, segment.dport) if ported else (0, 0)
            protocol = ip.nxt if six else ip.p
            key = key_of(protocol, (source, ports[0]), (target, ports[1]))
            size = ip.plen + 40 if six else ip.len
            payload = size - (40 if six else 20) - HEADERS.get(protocol, 0)
            if is_tcp:
                payload -= segment.off * 4
            add(sums, key, size, payload, segment.flags if is_tcp else 0)
    return dict(sums), rejected


ADDRESSES = {4: ["10.0.0.1", "10.0.0.2", "10.255.0.3"], 6: ["2001:db8::1", "fe80::2", "::3"]}
PORTS = st.sampled_from([1, 443, 50000, 65535])


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    hosts = st.sampled_from(ADDRESSES[draw(st.sampled_from([4, 6]))])
    sport, dport, payload = draw(PORTS), draw(PORTS), draw(st.integers(0, 1400))
    protocol = draw(st.sampled_from([6, 6, 17, 1, 132, 47, 50]))
    if protocol == 6:
        flags = "".join(draw(st.sets(st.sampled_from("FSRPAUEC"))))
        numbers = st.integers(0, 2**32 - 1)
        body = tcp(flags, draw(numbers), draw(numbers), payload, sport=sport, dport=dport)
    elif protocol == 132:
        chunk = struct.pack(">BBHIHHI", 0, 3, 16 + payload, 1, 1, 1, 0) + bytes(payload)
        body = struct.pack(">HHII", sport, dport, 0, 0) + chunk + bytes(-payload % 4)
    else:
        body = udp(payload, sport=sport, dport=dport) if protocol == 17 else b"\x63" + bytes(7)
    ip = ip_packet(draw(hosts), draw(hosts), protocol, body)
    tags = draw(st.sampled_from([(), (), (0x8100,), (0x88A8, 0x8100)]))
    return Packet(draw(st.floats(0, 5000)), ethernet(ip, tags=tags))


@settings(max_examples=200, deadline=None)
@given(traffic=st.lists(packets(), max_size=60))
def test_sums_equal_those_of_dpkt(lab: Lab, traffic: list[Packet]) -> None:
    file = lab.file(pcap_bytes(traffic))
    result, (expected, rejected) = meter(file), by_dpkt(file)
    assert metered(result) == expected
    assert sum(result.rejects.values()) == rejected


TEXTS = ("frame.protocols", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "frame.time_epoch")
FRAGMENTS = (
    "ip.proto", "ip.id", "ip.frag_offset", "ip.flags.mf",
    "ipv6.fraghdr.nxt", "ipv6.fraghdr.ident", "ipv6.fraghdr.offset", "ipv6.fraghdr.more",
)  # fmt: skip
FRAGMENT_AGE_S = 30
PORT_FIELDS = ("tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport")
LENGTHS = ("ip.len", "ipv6.plen", "ip.hdr_len", "tcp.hdr_len", "tcp.len", "udp.length")
NUMBERS = (*PORT_FIELDS, *LENGTHS, "tcp.flags", *FRAGMENTS)
FIELDS = (*TEXTS, *NUMBERS)
OPTIONS = (
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
    "tcp.relative_sequence_numbers:FALSE",
)
LINKS = (
    r"((eth:ethertype|eth:llc|sll:ethertype|null|raw|sll|ppp|chdlc)"
    r"(:(vlan|ieee8021ad|ieee8021ah):ethertype)*(:mpls)*(:pppoes:ppp)?:)?"
)
LATER = re.compile(rf"^{LINKS}(ip|ipv6(:ipv6\.[a-z]+)*)(:data)?$")
IN_SCOPE = re.compile(rf"^{LINKS}(ip(:ah)?|ipv6(:(ipv6\.[a-z]+|ah|mipv6))*):(tcp|udp)\b")
# Captures of broken packets, where tshark shows the fields of what we reject as malformed.
KNOWN = {
    "fuzz-2006-09-29-28586.pcap": "TCP headers longer than their packet, and one of 15 bytes",
    "ip_fragmented_garbage.pcap": "first fragments that hold less than a TCP header",
    "reasm_crash_anon.pcapng": "a TCP header longer than its packet",
    "ipv6-mobility-dst-opts.pcap": "tshark stops at an odd option; its length still leads to UDP",
    "quic__383379789-decrypt-crash.pcap": "UDP lengths beyond the IP packet",
}


def lines_of_tshark(path: Path) -> Iterator[dict[str, str]]:
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "occurrence=f"]
    command += [word for option in OPTIONS for word in ("-o", option)]
    command += [word for field in FIELDS for word in ("-e", field)]
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in output.splitlines():
        yield dict(zip(FIELDS, line.split("\t"), strict=True))


def by_tshark(path: Path) -> tuple[Sums, int]:
    sums: Sums = defaultdict(lambda: [0] * 11)
    count = 0
    ports: Ports = {}
    for line in lines_of_tshark(path):
        count += 1
        number = {name: _number(line[name]) for name in NUMBERS}
        if later_fragment(sums, ports, line, number):
            continue
        if not (match := IN_SCOPE.match(line["frame.protocols"])):
            continue
        kind = match[match.lastindex or 0]
        source, target = line["ip.src"] or line["ipv6.src"], line["ip.dst"] or line["ipv6.dst"]
        ends = (source, number[f"{kind}.srcport"]), (target, number[f"{kind}.dstport"])
        size = number["ip.len"] if line["ip.len"] else number["ipv6.plen"] + 40
        payload = number["tcp.len"] if kind == "tcp" else number["udp.length"] - 8
        if kind == "tcp" and not line["tcp.len"] and line["ip.len"]:  # blank for a first fragment
            payload = size - number["ip.hdr_len"] - number["tcp.hdr_len"]
        flags = number["tcp.flags"] if kind == "tcp" else 0  # in UDP: those of a tunnel's inside
        add(sums, key_of(6 if kind == "tcp" else 17, *ends), size, payload, flags)
    return dict(sums), count


def _number(text: str) -> int:
    return {"True": 1, "False": 0}.get(text) if text in ("True", "False") else int(text or "0", 0)


Ports = dict[tuple[object, ...], tuple[float, int, int]]


def later_fragment(sums: Sums, ports: Ports, line: dict[str, str], number: dict[str, int]) -> bool:
    """Note a first fragment's ports; add a later one to the flow of its first."""
    four = bool(line["ip.src"])
    names = FRAGMENTS[:4] if four else FRAGMENTS[4:]
    protocol, ident, offset, more = (number[name] for name in names)
    if protocol not in (6, 17) or not (offset or more):
        return False
    source, target = (
        (line["ip.src"], line["ip.dst"]) if four else (line["ipv6.src"], line["ipv6.dst"])
    )
    key, now_s = (source, target, protocol, ident), float(line["frame.time_epoch"])
    if not offset:
        kind = "tcp" if protocol == 6 else "udp"
        ports[key] = now_s, number[f"{kind}.srcport"], number[f"{kind}.dstport"]
        return False
    began_s, sport, dport = ports.get(key, (-1e9, 0, 0))
    if abs(now_s - began_s) <= FRAGMENT_AGE_S and LATER.match(line["frame.protocols"]):
        size = number["ip.len"] if four else number["ipv6.plen"] + 40
        add(sums, key_of(protocol, (source, sport), (target, dport)), size, 0, 0)
    return True


def ported(result: MeterResult) -> Sums:
    """What tshark is asked for: TCP and UDP."""
    return {key: values for key, values in metered(result).items() if key[0] in (6, 17)}


def real_captures() -> list[Path]:
    folder = Path(os.environ.get("GSTA_DATA", "/nonexistent")) / "captures"
    found = sorted(path for path in folder.glob("*/*") if path.is_file())
    part = int(os.environ.get("GSTA_TSHARK_EVERY", "10"))
    return [path for at, path in enumerate(found) if at % part == 0 or path.name in KNOWN]


@pytest.mark.slow
@pytest.mark.skipif(not real_captures(), reason="needs real captures below GSTA_DATA")
@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_sums_of_real_captures_equal_those_of_tshark() -> None:
    """A tenth of the captures; GSTA_TSHARK_EVERY=1 takes all."""
    different = set()
    for path in real_captures():
        result, (expected, count) = meter(path), by_tshark(path)
        assert result.packets == count, path
        if ported(result) != expected:
            different.add(path.name)
    assert different == KNOWN.keys()


@pytest.mark.skipif(not real_captures(), reason="needs real captures below GSTA_DATA")
def test_real_captures_are_read() -> None:
    results = [meter(path) for path in real_captures()]
    assert sum(result.table.num_rows for result in results) > len(results)
