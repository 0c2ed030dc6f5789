"""NetFlow v9 and IPFIX, as programs that read them see them."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmeter.output.export import check_url, open_exporter
from flowmeter.output.ipfix import Ipfix
from flowmeter.output.messages import FLAGS, MESSAGE_BYTES, RESEND_AFTER, Messages
from flowmeter.output.netflow import NetflowV9
from tests.flowmeter.conftest import START_NS, Packet, ethernet, ip_packet, pcap_bytes
from topologies.errors import InputError

Flow = dict[str, Any]
MS = 1_000_000


def flow(number: int = 0, *, version: int = 4, **values: Any) -> Flow:
    ends = ("192.0.2.1", "198.51.100.255") if version == 4 else ("2001:db8::1", "fe80::ff00")
    return {
        "src_ip": ends[0], "dst_ip": ends[1], "src_port": 40_000 + number, "dst_port": 443,
        "protocol": 6, "first_ns": START_NS + number * MS, "last_ns": START_NS + 9_000 * MS,
        "end_reason": 3, "flags": (0x1B, 0x12), "packets": (7, 5), "bytes": (7_000, 5_000_000_000),
        **values,
    }  # fmt: skip


def batch(flows: Sequence[Flow], *, tos: Sequence[int] | None = None) -> pa.RecordBatch:
    """The columns of the flow table that an exporter reads, and some that it does not."""
    columns: dict[str, pa.Array] = {"flow_id": pa.array(["x"] * len(flows))}
    for name, kind in (
        ("src_ip", pa.string()), ("dst_ip", pa.string()), ("src_port", pa.uint16()),
        ("dst_port", pa.uint16()), ("protocol", pa.uint8()), ("first_ns", pa.int64()),
        ("last_ns", pa.int64()), ("end_reason", pa.uint8()),
    ):  # fmt: skip
        columns[name] = pa.array([item[name] for item in flows], kind)
    for at, side in enumerate(("c2s", "s2c")):
        columns[f"{side}_packets"] = pa.array([item["packets"][at] for item in flows], pa.int32())
        columns[f"{side}_ip_bytes"] = pa.array([item["bytes"][at] for item in flows], pa.int64())
        for bit, flag in enumerate(FLAGS):
            counts = [3 * (item["flags"][at] >> bit & 1) for item in flows]
            columns[f"{side}_{flag}_packets"] = pa.array(counts, pa.int32())
    if tos is not None:
        columns["tos"] = pa.array(tos, pa.int32())
    return pa.RecordBatch.from_pydict(columns)


def decoded(tmp_path: Path, messages: Sequence[bytes], port: int = 2055) -> list[Flow]:
    """Every record of data that tshark finds, in order."""
    path = tmp_path / "export.pcap"
    datagrams = [
        struct.pack(">HHHH", 999, port, 8 + len(message), 0) + message for message in messages
    ]
    packets = [
        Packet(0, ethernet(ip_packet("192.0.2.9", "192.0.2.10", 17, datagram)))
        for datagram in datagrams
    ]
    path.write_bytes(pcap_bytes(packets))
    said = subprocess.run(
        ["tshark", "-n", "-r", path, "-d", f"udp.port=={port},cflow", "-T", "json",
         "--no-duplicate-keys"],
        capture_output=True, check=True,
    )  # fmt: skip
    found: list[Flow] = []
    for packet in json.loads(said.stdout):
        layers = packet["_source"]["layers"]
        assert "_ws.malformed" not in layers
        assert "_ws.expert" not in json.dumps(layers["cflow"])
        found += list(_records(layers["cflow"]))
    return found


def _records(tree: Any) -> Iterator[Flow]:
    if isinstance(tree, list):
        for item in tree:
            yield from _records(item)
    elif isinstance(tree, dict):
        if "cflow.protocol" in tree:
            yield tree
        else:
            for item in tree.values():
                yield from _records(item)


def all_messages(kind: type[Messages], *batches: pa.RecordBatch) -> list[bytes]:
    maker = kind(batches[0].schema, domain=7)
    return [message for part in batches for message in maker.messages(part)]


@pytest.mark.parametrize("version", [4, 6])
def test_tshark_reads_netflow(tmp_path: Path, version: int) -> None:
    sent = [flow(0, version=version), flow(1, version=version, packets=(2, 0))]
    records = decoded(tmp_path, all_messages(NetflowV9, batch(sent, tos=[0xB8, 0])))
    assert len(records) == 3, "the way back of a flow without an answer is no record"
    forth, back, lone = records
    name = "addr" if version == 4 else "addrv6"
    assert (forth[f"cflow.src{name}"], forth[f"cflow.dst{name}"]) == (
        sent[0]["src_ip"], sent[0]["dst_ip"],
    )  # fmt: skip
    assert (back[f"cflow.src{name}"], back["cflow.srcport"]) == (sent[0]["dst_ip"], "443")
    assert (forth["cflow.srcport"], forth["cflow.dstport"]) == ("40000", "443")
    assert (forth["cflow.octets"], forth["cflow.packets"]) == ("7000", "7")
    assert (back["cflow.octets"], back["cflow.packets"]) == ("5000000000", "5")
    assert (int(forth["cflow.tcpflags"], 0), int(back["cflow.tcpflags"], 0)) == (0x1B, 0x12)
    assert (int(forth["cflow.tos"], 0), int(back["cflow.tos"], 0)) == (0xB8, 0)
    assert lone["cflow.srcport"] == "40001"


@pytest.mark.parametrize("version", [4, 6])
def test_tshark_reads_ipfix(tmp_path: Path, version: int) -> None:
    sent = [flow(0, version=version), flow(1, version=version, end_reason=7)]
    messages = all_messages(Ipfix, batch(sent))
    records = decoded(tmp_path, messages, port=4739)
    assert [record["cflow.srcport"] for record in records] == ["40000", "40001"]
    record = records[0]
    # The way back is the same elements again, turned round.
    assert record["cflow.octets"] == ["7000", "5000000000"]
    assert record["cflow.packets"] == ["7", "5"]
    assert [int(flags, 0) for flags in record["cflow.tcpflags"]] == [0x1B, 0x12]
    assert [item["cflow.flow_end_reason"] for item in records] == ["3", "3"]
    assert record["cflow.biflow_direction"] == "1"


def test_scapy_reads_netflow() -> None:
    from scapy.layers.netflow import NetflowDataflowsetV9, NetflowHeader, netflowv9_defragment
    from scapy.packet import Packet as ScapyPacket

    sent = [flow(number, packets=(number + 1, 0), bytes=(100 * number, 0)) for number in range(40)]
    messages = [NetflowHeader(message) for message in all_messages(NetflowV9, batch(sent))]
    records: list[ScapyPacket] = []
    for message in netflowv9_defragment(messages):
        if NetflowDataflowsetV9 in message:
            records += message[NetflowDataflowsetV9].records
    assert [record.IN_PKTS for record in records] == [number + 1 for number in range(40)]
    assert [record.IN_BYTES for record in records] == [100 * number for number in range(40)]
    assert {record.IPV4_SRC_ADDR for record in records} == {"192.0.2.1"}


def test_messages_are_small_counted_and_explained_again() -> None:
    flows = [flow(number % 1000) for number in range(1000)]
    for kind, header, counted in ((NetflowV9, 20, 1), (Ipfix, 16, None)):
        messages = all_messages(kind, batch(flows[:10]), batch(flows[10:]))
        assert max(map(len, messages)) <= MESSAGE_BYTES
        expected = 0
        templates = []
        for number, message in enumerate(messages):
            sequence, domain = struct.unpack_from(">II", message, header - 8)
            set_id, set_bytes = struct.unpack_from(">HH", message, header)
            assert (sequence, domain) == (expected, 7)
            assert header + set_bytes == len(message)
            data = set_id >= 256
            if not data:
                templates.append(number)
            size = {NetflowV9: 35, Ipfix: 68}[kind]
            expected += counted or (data * (set_bytes - 4) // size)
            if kind is Ipfix:
                assert struct.unpack_from(">HH", message) == (10, len(message))
        assert templates[0] == 0
        assert {after - before for before, after in pairwise(templates)} == {RESEND_AFTER + 1}


PORTS = st.integers(0, 65_535)
FLOWS = st.builds(
    lambda version, src, dst, times, **values: flow(
        version=4, **values,
        src_ip=str(ipaddress.ip_address(src >> 96 if version == 4 else src | 1 << 127)),
        dst_ip=str(ipaddress.ip_address(dst >> 96 if version == 4 else dst | 1 << 127)),
        first_ns=times[0], last_ns=times[1],
    ),
    version=st.sampled_from([4, 6]), src=st.integers(0, 2**128 - 1), dst=st.integers(0, 2**128 - 1),
    src_port=PORTS, dst_port=PORTS, protocol=st.integers(0, 255),
    packets=st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1)),
    bytes=st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)),
    flags=st.tuples(st.integers(0, 255), st.integers(0, 255)),
    end_reason=st.sampled_from([1, 2, 3, 4, 6, 7]),
    times=st.tuples(st.integers(START_NS, 2 * START_NS), st.integers(START_NS, 2 * START_NS)).map(
        sorted
    ),
)  # fmt: skip


def ipfix_flows(messages: Sequence[bytes]) -> Iterator[Flow]:
    """Read by the templates, as a collector does; elements of the way back have their sign."""
    templates: dict[int, list[tuple[int, int]]] = {}
    for message in messages:
        at = 16
        set_id, end = struct.unpack_from(">HH", message, at)
        at, end = at + 4, at + end
        if set_id == 2:
            while at < end:
                template, count = struct.unpack_from(">HH", message, at)
                at += 4
                templates[template] = []
                for _ in range(count):
                    number, size = struct.unpack_from(">HH", message, at)
                    at += 4
                    if number & 0x8000:
                        assert message[at : at + 4] == (29305).to_bytes(4)
                        at += 4
                        number = -(number & 0x7FFF)
                    templates[template].append((number, size))
            continue
        width = sum(size for _, size in templates[set_id])
        while end - at >= width:
            record = {}
            for number, size in templates[set_id]:
                record[number] = message[at : at + size]
                at += size
            yield {
                number: ipaddress.ip_address(value) if number in (8, 12, 27, 28) else
                int.from_bytes(value) for number, value in record.items()
            }  # fmt: skip


@given(st.lists(FLOWS, min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_ipfix_loses_nothing(flows: list[Flow]) -> None:
    found = list(ipfix_flows(all_messages(Ipfix, batch(flows))))
    ordered = sorted(flows, key=lambda item: ":" in item["src_ip"])
    assert len(found) == len(ordered)
    for record, item in zip(found, ordered, strict=True):
        six = ":" in item["src_ip"]
        assert str(record[27 if six else 8]) == item["src_ip"]
        assert str(record[28 if six else 12]) == item["dst_ip"]
        assert (record[7], record[11], record[4]) == (
            item["src_port"], item["dst_port"], item["protocol"],
        )  # fmt: skip
        assert ((record[2], record[-2]), (record[1], record[-1])) == (
            item["packets"],
            item["bytes"],
        )
        assert (record[6], record[-6]) == item["flags"]
        assert (record[152], record[153]) == (item["first_ns"] // MS, item["last_ns"] // MS)
        assert record[136] == (3 if item["end_reason"] > 5 else item["end_reason"])


@given(st.lists(FLOWS, min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_the_clocks_of_netflow_give_back_the_times(flows: list[Flow]) -> None:
    """Modulo the 49 days that 32 bits of milliseconds last."""
    expected = sorted(
        (item["first_ns"] // MS % 2**32, item["last_ns"] // MS % 2**32, count)
        for item in flows for count in item["packets"] if count
    )  # fmt: skip
    found = []
    for message in all_messages(NetflowV9, batch(flows)):
        uptime_ms, now_s = struct.unpack_from(">II", message, 4)
        set_id, size = struct.unpack_from(">HH", message, 20)
        if set_id == 0:
            continue
        width = 35 if set_id == 256 else 59
        for at in range(24, 24 + (size - 4) // width * width, width):
            packets, _, first_ms, last_ms = struct.unpack_from(">IQII", message, at + width - 20)
            boot_ms = now_s * 1000 - uptime_ms
            found.append(((boot_ms + first_ms) % 2**32, (boot_ms + last_ms) % 2**32, packets))
    assert sorted(found) == expected


@pytest.mark.parametrize("url", ["netflow9://127.0.0.1:{port}", "ipfix://localhost:{port}"])
def test_each_message_is_a_datagram(url: str) -> None:
    part = batch([flow(number) for number in range(50)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        address = url.format(port=collector.getsockname()[1])
        with open_exporter(address, part.schema) as exporter:
            exporter.write(part)
        received = [collector.recv(65_536) for _ in range(exporter.sent)]
    kind = NetflowV9 if address.startswith("netflow9") else Ipfix
    assert received == list(kind(part.schema).messages(part))
    assert exporter.rows == 50


def test_a_feature_set_without_the_fields() -> None:
    lacking = batch([flow()]).drop_columns(["c2s_urg_packets", "s2c_packets"])
    with pytest.raises(InputError, match=r"c2s_urg_packets, s2c_packets; .*--features full"):
        Ipfix(lacking.schema)


@pytest.mark.parametrize(
    "url", ["netflow5://h:1", "ipfix://h:99999", "127.0.0.1:2055", "ipfix://127.0.0.1/x", "ipfix://h."]
)  # fmt: skip
def test_a_wrong_address(url: str) -> None:
    with pytest.raises(InputError, match=r"expected netflow9://HOST:PORT or ipfix://HOST:PORT"):
        check_url(url)
