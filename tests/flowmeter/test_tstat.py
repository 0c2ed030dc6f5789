"""Tstat's rules: the meter with ``semantics='tstat'`` beside Tstat's twin on made-up traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmeter import MeterConfig, meter
from tests.flowmeter.conftest import Lab, Packet, down, pcap_bytes, tcp, udp, up
from tests.flowmeter.tstat_packets import packets
from tests.flowmeter.tstat_rules import Rules
from tests.flowmeter.tstat_twin import twin, values

PAUSES_S: Final = (0.0, 0.0001, 0.0005, 0.02, 1.0, 4.9, 6.0, 11.0, 150.0, 201.0, 301.0)
COLUMNS: Final = {
    "pkts_all": "packets", "bytes_all": "payload_bytes", "syn_cnt": "syn_packets",
    "fin_cnt": "fin_packets", "rst_cnt": "rst_packets", "ack_cnt": "ack_packets",
    "ack_cnt_p": "pure_ack_packets", "pkts_data": "payload_packets",
    "pkts_retx": "retransmitted_packets", "pkts_ooo": "out_of_order_packets",
    "rtt_cnt": "rtt_samples",
}  # fmt: skip


@st.composite
def captures(draw: st.DrawFn) -> list[Packet]:
    """A few flows with long silences, opened, answered and closed in any order."""
    time_s, made = 10.0, []
    for _ in range(draw(st.integers(1, 30))):
        time_s += draw(st.sampled_from(PAUSES_S))
        ports = {"sport": draw(st.sampled_from([4001, 4002, 4003]))}
        numbers = draw(st.sampled_from([100, 101, 121])), draw(st.sampled_from([500, 501, 502]))
        payload = draw(st.sampled_from([0, 0, 10]))
        flags = draw(st.sampled_from(["S", "S", "SA", "A", "A", "PA", "FA", "RA"]))
        if draw(st.booleans()):
            made.append(up(time_s, udp(payload, **ports)))
        elif draw(st.booleans()):
            made.append(up(time_s, tcp(flags, *numbers, payload, **ports)))
        else:
            made.append(down(time_s, tcp(flags, *numbers[::-1], payload, **ports)))
    return made


@settings(max_examples=80, deadline=None)
@given(traffic=captures())
def test_flows_are_those_of_tstats_twin(lab: Lab, traffic: list[Packet]) -> None:
    file = lab.file(pcap_bytes(traffic))
    expected: Counter[tuple[float, ...]] = Counter()
    for flow in twin(packets(file, Rules()), Rules()):
        row = values(flow)
        counts = [row[f"{side}_{name}"] for side in "cs" for name in COLUMNS if f"c_{name}" in row]
        expected[flow.first.tcp, flow.first.sport, flow.first_us, *counts] += 1
    got: Counter[tuple[float, ...]] = Counter()
    for row in meter(file, config=MeterConfig(semantics="tstat")).table.to_pylist():
        names = COLUMNS.values() if row["protocol"] == 6 else ("packets", "payload_bytes")
        counts = [row[f"{side}_{name}"] for side in ("c2s", "s2c") for name in names]
        got[row["protocol"] == 6, row["src_port"], row["first_ns"] // 1000, *counts] += 1
    assert sorted(got.elements()) == sorted(expected.elements())


def rows(lab: Lab, traffic: Sequence[Packet], threads: int = 1) -> list[dict[str, Any]]:
    config = MeterConfig(semantics="tstat", threads=threads)
    file = lab.file(pcap_bytes(traffic))
    made: list[dict[str, Any]] = meter(file, config=config).table.to_pylist()
    return made


def test_time_runs_backwards_but_not_before_the_first_packet(lab: Lab) -> None:
    """As in Tstat's logs: the last packet counts, not the latest."""
    times = [(10.0, "S"), (12.0, "S"), (11.5, "S")]
    (row,) = rows(lab, [up(time_s, tcp(flags, 100)) for time_s, flags in times])
    assert row["duration_s"] == pytest.approx(1.5)
    (row,) = rows(lab, [up(time_s, tcp("S", 100)) for time_s in (10.0, 9.0)])
    assert row["duration_s"] == 0


def test_data_before_the_answer_end_the_flow(lab: Lab) -> None:
    """They do not count, but their time does; data in the SYN are none of that."""
    data = [up(0, tcp("S", 100, 0, 20)), up(1, tcp("PA", 121, 1, 30))]
    (row,) = rows(lab, [*data, down(2, tcp("SA", 500, 121))])
    assert (row["c2s_packets"], row["c2s_payload_bytes"], row["s2c_packets"]) == (1, 20, 0)
    assert row["duration_s"] == pytest.approx(1)


def test_packets_without_an_ip_length_are_dropped(lab: Lab) -> None:
    """Segmentation offload; without Tstat's rules they have the length of their frame."""
    whole, huge = up(0, udp(5)), up(1, udp(7))
    unsized = Packet(1, huge.frame[:16] + b"\0\0" + huge.frame[18:])
    (row,) = rows(lab, [whole, unsized])
    assert (row["c2s_packets"], row["c2s_payload_bytes"]) == (1, 5)
    (row,) = lab.rows([whole, unsized])
    assert (row["c2s_packets"], row["c2s_payload_bytes"]) == (2, 12)


def test_lengths_beyond_the_frame_are_believed(lab: Lab) -> None:
    """Without Tstat's rules payload ends where the frame did."""
    for segment, claimed in ((tcp("S", 100, 0, 30), 30), (udp(30), 30)):
        packet = up(0, segment)
        cut = Packet(0, packet.frame[:-10])
        assert [row["c2s_payload_bytes"] for row in rows(lab, [cut])] == [claimed]
        assert [row["c2s_payload_bytes"] for row in lab.rows([cut])] == [claimed - 10]


def test_threads_change_nothing(lab: Lab) -> None:
    """When an idle flow ends depends on all other flows: they must not be shared out."""
    times = [0, 2, 8, 11, 12.5, 13, 220, 430, 431]
    traffic = [up(time_s, udp(1, sport=4000 + at % 4)) for at, time_s in enumerate(times)]
    one, four = (
        [
            (row["src_port"], row["first_ns"], row["c2s_packets"])
            for row in rows(lab, traffic, threads)
        ]
        for threads in (1, 4)
    )
    assert one == four
    assert len(one) > 4
