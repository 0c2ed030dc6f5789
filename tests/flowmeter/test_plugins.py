"""Features of one's own: they see each packet once, in the right flow, and end with it."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from flowmeter import MeterConfig, meter
from flowmeter.plugins import FlowPacket, FlowPlugin, PluginFlow
from tests.flowmeter.conftest import (
    Lab,
    Packet,
    down,
    ethernet,
    ip_packet,
    pcap_bytes,
    tcp,
    udp,
    up,
)
from topologies.errors import InputError

DATA = os.environ.get("GSTA_DATA")


class Counter(FlowPlugin):
    """Counts again what the core counts."""

    def __init__(self) -> None:
        self.expired = 0

    def columns(self) -> list[pa.Field]:
        return [
            pa.field("n", pa.int64()),
            pa.field("up_bytes", pa.int64()),
            pa.field("sizes", pa.list_(pa.int32())),
        ]

    def init(self, packet: FlowPacket, flow: PluginFlow) -> None:
        flow.values = {"n": 0, "up_bytes": 0, "sizes": []}
        self.update(packet, flow)

    def update(self, packet: FlowPacket, flow: PluginFlow) -> None:
        flow.values["n"] += 1
        flow.values["up_bytes"] += packet.ip_bytes if packet.direction > 0 else 0
        if flow.values["n"] <= 20:
            flow.values["sizes"].append(packet.ip_bytes)

    def expire(self, flow: PluginFlow) -> None:
        assert flow.values["n"] > 0
        self.expired += 1


def check(paths: Path | list[Path], config: MeterConfig | None = None) -> int:
    plugin = Counter()
    table = meter(paths, config=config, plugins=[plugin]).table
    rows = table.to_pylist()
    for row in rows:
        assert row["n"] == row["c2s_packets"] + row["s2c_packets"]
        assert row["up_bytes"] == row["c2s_ip_bytes"]
        assert row["sizes"] == [size for size in row["seq_size_bytes"] if size]
    assert plugin.expired == len(rows)
    alone = meter(paths, config=config).table
    assert repr(table.select(alone.schema.names).to_pylist()) == repr(alone.to_pylist())
    return len(rows)


def test_it_sees_what_the_core_sees(lab: Lab) -> None:
    packets = [
        up(0, tcp("S", 1)), down(0.1, tcp("SA", 9, 2)), up(0.2, tcp("A", 2, 10)), up(0.3, udp(5)),
        # The port is used again: the old flow ends in the batch in which the new one begins.
        up(5, tcp("S", 70_000)), down(5.1, tcp("SA", 80_000, 70_001)),
        # A SYN-ACK first: its receiver is the initiator.
        down(6, tcp("SA", 1, 1, sport=50_000)), up(6.1, tcp("A", 1, 2, sport=50_000)),
        up(200, udp(6)),
    ]  # fmt: skip
    assert check(lab.file(pcap_bytes(packets))) == 5


def test_slots_that_many_flows_use_in_turn(lab: Lab) -> None:
    frames = [ethernet(ip_packet(f"10.0.{at >> 8}.{at & 255}", "192.0.2.1", 17, udp(at % 7)))
              for at in range(3000)]  # fmt: skip
    packets = [Packet(turn * 3 + at * 0.001, frame) for turn in range(6)
               for at, frame in enumerate(frames)]  # fmt: skip
    assert check(lab.file(pcap_bytes(packets)), MeterConfig(udp_idle_s=1)) == 18_000


def test_long_flows_keep_their_direction_when_cut(lab: Lab) -> None:
    packets = [step for at in range(0, 100, 4) for step in (up(at, udp(1)), down(at + 2, udp(2)))]
    assert check(lab.file(pcap_bytes(packets)), MeterConfig(active_s=9)) > 5


@pytest.mark.skipif(not DATA, reason="GSTA_DATA names no folder of captures")
def test_real_traffic() -> None:
    folder = Path(DATA or "") / "captures" / "nDPI"
    files = sorted(folder.glob("*.pcap"))[:40]
    assert len(files) == 40
    assert sum(check(path) for path in files) > 100


class Named(FlowPlugin):
    def __init__(self, *fields: pa.Field, value: object = None) -> None:
        self._fields, self._value = list(fields), value

    def columns(self) -> list[pa.Field]:
        return self._fields

    def expire(self, flow: PluginFlow) -> None:
        if self._value is not None:
            flow.values[self._fields[0].name] = self._value


def test_columns_say_what_they_are(lab: Lab) -> None:
    path = lab.file(pcap_bytes([up(0, udp(1))]))
    field = pa.field("x", pa.float32(), metadata={"group": "mine"})
    table = meter(path, plugins=[Named(field), Named(pa.field("y", pa.string()), value="ü")]).table
    assert table.schema.names[-2:] == ["x", "y"]
    assert (table["x"].to_pylist(), table["y"].to_pylist()) == ([None], ["ü"])
    assert table.schema.field("x").metadata == {b"role": b"feature", b"group": b"mine"}


def test_a_name_that_is_taken(lab: Lab) -> None:
    path = lab.file(pcap_bytes([]))
    for plugins in (
        [Named(pa.field("src_ip", pa.string()))],
        [Named(pa.field("x", pa.int8()))] * 2,
    ):
        with pytest.raises(InputError, match=r"column .*: expected a column name of its own"):
            meter(path, plugins=plugins)


@pytest.mark.parametrize(("kind", "value"), [(pa.int8(), 300), (pa.int8(), "x"), (pa.string(), 3)])
def test_a_value_of_another_type(lab: Lab, kind: pa.DataType, value: object) -> None:
    path = lab.file(pcap_bytes([up(0, udp(1))]))
    with pytest.raises(InputError, match="column x: expected values of type"):
        meter(path, plugins=[Named(pa.field("x", kind), value=value)])
