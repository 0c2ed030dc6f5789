"""The core under load: it grows, forgets what has ended, and does not care how it is fed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Sequence

import pytest

import flowmeter.core
from flowmeter import MeterConfig, meter
from flowmeter.core.jit import Inner
from flowmeter.core.layout import Records, Rows
from flowmeter.engine import TAKE_FLOWS, Engine
from flowmeter.input import pcap, pcapng
from flowmeter.input.capture import CaptureReader, joined
from flowmeter.table import record_batch
from tests.flowmeter.conftest import (
    Lab,
    Packet,
    ethernet,
    ip_packet,
    pcap_bytes,
    pcapng_bytes,
    udp,
)


def crowd(flows: int, rounds: int, *, gap_s: float) -> list[Packet]:
    """Each of many hosts sends one packet a round."""
    hosts = [f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}" for at in range(flows)]
    frames = [ethernet(ip_packet(host, "192.0.2.1", 17, udp(at % 9)))
              for at, host in enumerate(hosts)]  # fmt: skip
    return [Packet(gap_s * turn, frame) for turn in range(rounds) for frame in frames]


def read(lab: Lab, packets: Sequence[Packet]) -> Records:
    batches = CaptureReader(lab.file(pcap_bytes(packets))).batches()
    return joined([batch.copy() for batch in batches])


def rows(parts: list[Rows]) -> str:
    """The rows in the order in which they came."""
    return repr([row for part in parts for row in record_batch(part).to_pylist()])


def test_it_grows_with_the_flows_open_at_once(lab: Lab) -> None:
    packets = read(lab, crowd(3000, 3, gap_s=1))
    small, large = Engine(MeterConfig(), slots=16), Engine(MeterConfig())
    grown = [*small.feed(packets), *small.finish()]
    assert rows(grown) == rows([*large.feed(packets), *large.finish()])
    assert sum(len(part.flows) for part in grown) == 3000


def test_it_does_not_grow_with_flows_that_ended(lab: Lab) -> None:
    packets = read(lab, crowd(100, 200, gap_s=61))
    engine = Engine(MeterConfig(), slots=TAKE_FLOWS + 1024)
    ended = 0
    for at in range(0, len(packets), 100):
        ended += sum(len(part.flows) for part in engine.feed(packets[at : at + 100]))
    assert ended >= TAKE_FLOWS
    assert engine.slots == TAKE_FLOWS + 1024
    assert ended + sum(len(part.flows) for part in engine.finish()) == 20_000


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_a_batch_changes_nothing(lab: Lab, size: int) -> None:
    packets = read(lab, crowd(50, 20, gap_s=20))
    whole, pieces = Engine(MeterConfig(udp_idle_s=19)), Engine(MeterConfig(udp_idle_s=19), slots=64)
    expected = rows([*whole.feed(packets), *whole.finish()])
    parts = []
    for at in range(0, len(packets), size):
        parts += pieces.feed(packets[at : at + size])
    assert rows([*parts, *pieces.finish()]) == expected


def test_one_wild_time_stamp_ends_no_other_flow(lab: Lab) -> None:
    steady = crowd(8, 2, gap_s=1)
    wild = Packet(1e6, ethernet(ip_packet("10.9.9.9", "192.0.2.1", 17, udp())))
    engine = Engine(MeterConfig(), slots=8)
    ended = engine.feed(read(lab, [*steady[:7], wild, *steady[7:]]))
    assert sum(len(part.flows) for part in [*ended, *engine.finish()]) == 9


def test_hosts_are_told_apart_by_their_whole_key(lab: Lab) -> None:
    mapped = ip_packet("::ffff:10.0.0.1", "::ffff:10.0.0.2", 17, udp())
    plain = ip_packet("10.0.0.1", "10.0.0.2", 17, udp())
    six = ip_packet("::a00:1", "::a00:2", 17, udp())
    assert len(lab.rows([Packet(0, ethernet(ip)) for ip in (mapped, plain, six)])) == 3


def test_every_loop_is_compiled_once_and_in_integers(lab: Lab) -> None:
    """More than one signature means a slow start; a float among the numbers, a wrong type."""
    packets = crowd(2, 2, gap_s=1)
    meter(lab.file(pcap_bytes(packets)))
    meter(lab.file(pcapng_bytes(packets)))
    meter([lab.file(pcap_bytes(packets), name) for name in ("a", "b")])
    names = [module.name for module in pkgutil.iter_modules(flowmeter.core.__path__)]
    core = [importlib.import_module(f"flowmeter.core.{name}") for name in names]
    loops = {
        id(loop): loop
        for module in (pcap, pcapng, *core)
        for loop in vars(module).values()
        if isinstance(loop, Inner) and loop.signatures
    }.values()
    assert len(loops) > 5
    for loop in loops:
        # A constant at the place of a call is an integer, too.
        plain = {
            tuple(re.sub(r"Literal\[int\]\(\d+\)", "int64", kind) for kind in signature)
            for signature in loop.signatures
        }
        assert len(plain) == 1, (loop.__name__, plain)
        (signature,) = plain
        for kind, parameter in zip(
            signature, inspect.signature(loop.py_func).parameters.values(), strict=True
        ):
            meant = parameter.annotation == "float"
            assert kind.startswith("float") == meant, (loop, parameter)


@pytest.mark.parametrize("threads", [3, 4])
def test_shards_change_nothing(lab: Lab, threads: int) -> None:
    packets = read(lab, crowd(300, 12, gap_s=25))
    one, many = Engine(MeterConfig(), slots=64), Engine(MeterConfig(threads=threads), slots=64)
    parts, shared = [], []
    for at in range(0, len(packets), 500):
        parts += one.feed(packets[at : at + 500].copy())
        shared += many.feed(packets[at : at + 500].copy())
    assert rows([*shared, *many.finish()]) == rows([*parts, *one.finish()])


def test_flows_leave_when_they_have_ended(lab: Lab) -> None:
    """By whole second of the capture's clock, then first packet."""
    engine = Engine(MeterConfig(udp_idle_s=10))
    packets = read(lab, crowd(2500, 3, gap_s=8))
    assert list(engine.feed(packets)) == []
    (ended,) = engine.advance(int(packets["time_ns"][-1]) + 12 * 10**9)
    assert len(ended.flows) == 2500
    assert set(ended.flows["end_reason"].tolist()) == {1}
    assert list(engine.finish()) == []


def test_time_that_passes_without_packets_ends_only_what_is_idle(lab: Lab) -> None:
    packets = read(lab, crowd(5, 2, gap_s=8))
    engine = Engine(MeterConfig(udp_idle_s=10))
    assert list(engine.feed(packets)) == []
    assert list(engine.advance(int(packets["time_ns"][-1]) + 9 * 10**9)) == []
    (left,) = engine.finish()
    assert left.flows["end_reason"].tolist() == [4] * 5
