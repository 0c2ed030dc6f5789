"""Every column of every row equals the reference meter's, on random flows."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowmeter import MeterConfig, flow_schema, meter
from flowmeter.selftest import NAMES, rows_of, same, tiny
from tests.flowmeter import reference
from tests.flowmeter.conftest import SECOND_NS, Lab
from tests.flowmeter.reference_datagrams import captures, datagrams
from tests.flowmeter.reference_traffic import Timed, conversations


def written(lab: Lab, packets: Sequence[Timed], *, link: int = 1) -> Path:
    """A nanosecond pcap."""
    data = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, link)
    for time_ns, frame in packets:
        seconds, rest = divmod(time_ns, SECOND_NS)
        data += struct.pack("<IIII", seconds, rest, len(frame), len(frame)) + frame
    return lab.file(data, "random.pcap")


def differences(got: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each wrong column of each flow."""
    lines = []
    for mine, theirs in zip_longest(got, expected):
        if mine is None or theirs is None:
            lines.append(f"only {'expected' if mine is None else 'got'}: {label(mine or theirs)}")
            continue
        for name, value in mine.items():
            if name in NAMES:
                continue
            if not same(name, value, theirs[name]) and not tiny(name, theirs):
                lines.append(f"{label(theirs)}: {name} is {value}, expected {theirs[name]}")
    return lines


def label(row: dict[str, Any]) -> str:
    ends = f"{row['src_ip']}:{row['src_port']} > {row['dst_ip']}:{row['dst_port']}"
    return f"{ends} protocol {row['protocol']} at {row['first_ns']} segment {row['segment']}"


def check(lab: Lab, packets: list[Timed], **limits: float) -> None:
    result = meter(written(lab, packets), config=MeterConfig(**limits))
    meter_of_lists = reference.Reference(reference.Settings(**limits))
    for time_ns, frame in packets:
        meter_of_lists.take(time_ns, frame)
    expected = reference.ordered(meter_of_lists.finish())
    wrong = differences(rows_of(result.table), expected)
    assert not wrong, "\n".join(wrong)
    assert sum(result.rejects.values()) == meter_of_lists.rejected


SLOW = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow,
                                                           HealthCheck.data_too_large],
)  # fmt: skip


def test_the_reference_knows_every_column() -> None:
    ((_, frame),) = [(0, bytes(12) + b"\x08\x00" + b"\x45\0\0\x1c" + bytes(5) + b"\x11" + bytes(10)
                      + b"\0\1\0\2\0\x08\0\0")]  # fmt: skip
    (row,) = reference.metered([(0, frame)])
    assert set(flow_schema().names) - NAMES == row.keys() - {"origin_first_ns"}


@SLOW
@given(packets=conversations())
def test_tcp(lab: Lab, packets: list[Timed]) -> None:
    check(lab, packets)


@SLOW
@given(packets=datagrams())
def test_other_protocols(lab: Lab, packets: list[Timed]) -> None:
    check(lab, packets)


@SLOW
@given(
    packets=captures(),
    tcp_idle_s=st.sampled_from([1.0, 60.0, 300.0]),
    active_s=st.sampled_from([0.5, 20.0, 1800.0]),
    linger_s=st.sampled_from([0.1, 10.0]),
)
def test_flows_side_by_side(
    lab: Lab, packets: list[Timed], tcp_idle_s: float, active_s: float, linger_s: float
) -> None:
    check(lab, packets, tcp_idle_s=tcp_idle_s, active_s=active_s, linger_s=linger_s)
