"""Where flows begin and end, and who their initiator is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from tests.flowmeter.conftest import CLIENT, SERVER, Lab, Packet, down, tcp, udp, up


def handshake(at_s: float = 0.0, *, isn: int = 100) -> list[Packet]:
    return [
        up(at_s, tcp("S", isn)),
        down(at_s + 0.02, tcp("SA", 500, isn + 1)),
        up(at_s + 0.03, tcp("A", isn + 1, 501)),
    ]


def farewell(at_s: float, *, isn: int = 100) -> list[Packet]:
    return [
        up(at_s, tcp("FA", isn + 1, 501)),
        down(at_s + 0.01, tcp("FA", 501, isn + 2)),
        up(at_s + 0.02, tcp("A", isn + 2, 502)),
    ]


def sizes(lab: Lab, packets: Sequence[Packet], **config: float) -> list[int]:
    """Packets of each flow."""
    return [row["c2s_packets"] + row["s2c_packets"] for row in lab.rows(packets, **config)]


def test_a_whole_connection_is_one_flow(lab: Lab) -> None:
    data = [up(0.1, tcp("PA", 101, 501, 200)), down(0.15, tcp("A", 501, 301))]
    (row,) = lab.rows([*handshake(), *data, *farewell(0.2)])
    assert (row["src_ip"], row["src_port"]) == (CLIENT, 40000)
    assert (row["dst_ip"], row["dst_port"], row["protocol"]) == (SERVER, 443, 6)
    assert (row["c2s_packets"], row["s2c_packets"]) == (5, 3)
    assert (row["c2s_payload_bytes"], row["c2s_ip_bytes"]) == (200, 400)
    assert (row["c2s_pure_ack_packets"], row["s2c_pure_ack_packets"]) == (2, 1)
    assert (row["c2s_syn_packets"], row["s2c_syn_packets"], row["c2s_fin_packets"]) == (1, 1, 1)
    assert row["handshake_rtt_ms"] == pytest.approx(30)
    assert row["handshake_server_ms"] == pytest.approx(20)
    assert row["handshake_client_ms"] == pytest.approx(10)
    assert row["c2s_first_payload_ms"] == pytest.approx(100)
    assert math.isnan(row["s2c_first_payload_ms"])
    assert row["c2s_initial_window_bytes"] == 65535
    assert row["duration_s"] == pytest.approx(0.22)
    assert row["seq_direction"][:9] == [1, -1, 1, 1, -1, 1, -1, 1, 0]
    assert row["seq_size_bytes"][:9] == [40, 40, 40, 240, 40, 40, 40, 40, 0]
    assert row["seq_iat_us"][:4] == pytest.approx([0, 20_000, 10_000, 70_000])


def test_half_open(lab: Lab) -> None:
    (row,) = lab.rows([up(0, tcp("S", 7)), up(1, tcp("S", 7)), up(3, tcp("S", 7))])
    assert (row["c2s_syn_packets"], row["s2c_packets"]) == (3, 0)
    assert math.isnan(row["handshake_rtt_ms"])
    assert math.isnan(row["s2c_size_mean_bytes"])


@pytest.mark.parametrize(
    ("packets", "initiator"),
    [
        ([up(0, tcp("S"))], CLIENT),
        ([down(0, tcp("SA", 5, 1)), up(1, tcp("A", 1, 6))], CLIENT),
        ([down(0, tcp("A", 5, 1)), up(1, tcp("A", 1, 6))], SERVER),
        ([down(0, tcp("RA", 5, 1))], SERVER),
        ([down(0, udp(9)), up(1, udp(9))], SERVER),
    ],
)
def test_initiator(lab: Lab, packets: list[Packet], initiator: str) -> None:
    (row,) = lab.rows(packets)
    assert row["src_ip"] == initiator


def test_a_syn_captured_after_its_answer_stays_in_the_flow(lab: Lab) -> None:
    (row,) = lab.rows([down(0, tcp("SA", 500, 101)), up(0.001, tcp("S", 100))])
    assert (row["src_ip"], row["c2s_packets"]) == (CLIENT, 1)


def test_simultaneous_open_is_one_flow(lab: Lab) -> None:
    both = [up(0, tcp("S", 1)), down(0.01, tcp("S", 9)), up(0.02, tcp("SA", 1, 10))]
    (row,) = lab.rows(both)
    assert (row["src_ip"], row["c2s_packets"]) == (CLIENT, 2)


@pytest.mark.parametrize(
    ("name", "end"),
    [("fin", farewell(1)), ("reset", [down(1, tcp("RA", 501, 101))]), ("none", [])],
)
def test_a_new_isn_opens_a_new_flow(lab: Lab, name: str, end: list[Packet]) -> None:
    first, second = [*handshake(), *end], handshake(1.5, isn=90_000)
    assert sizes(lab, [*first, *second]) == [len(first), 3]


def test_a_repeated_syn_does_not(lab: Lab) -> None:
    refused = [up(0, tcp("S", 7)), down(0.1, tcp("RA", 0, 8))]
    again = [up(0.5, tcp("S", 7)), down(0.6, tcp("RA", 0, 8))]
    assert sizes(lab, [*refused, *again]) == [4]


def test_a_syn_from_a_side_seen_without_one_opens_a_new_flow(lab: Lab) -> None:
    packets = [up(0, tcp("A", 5, 9)), down(0.1, tcp("A", 9, 5)), up(0.2, tcp("S", 6))]
    assert sizes(lab, packets) == [2, 1]


def test_the_server_may_open_the_next_one(lab: Lab) -> None:
    first, second = lab.rows([*handshake(), *farewell(1), down(2, tcp("S", 70_000))])
    assert (first["src_ip"], second["src_ip"]) == (CLIENT, SERVER)


def test_late_packets_stay_with_a_closed_flow_until_the_linger_is_over(lab: Lab) -> None:
    closed = [*handshake(), *farewell(1)]
    late = [down(5, tcp("FA", 501, 102)), up(13, tcp("A", 102, 502))]
    assert sizes(lab, [*closed, *late]) == [8]
    assert sizes(lab, [*closed, up(12, tcp("A", 102, 502))]) == [6, 1]
    assert sizes(lab, [*closed, *late], linger_s=3.9) == [6, 2]


def test_one_acknowledged_fin_does_not_close(lab: Lab) -> None:
    half = [up(1, tcp("FA", 101, 501)), down(1.01, tcp("A", 501, 102))]
    assert sizes(lab, [*handshake(), *half, down(100, tcp("A", 501, 102, 10))]) == [6]


def test_an_ack_that_misses_the_fin_does_not_close(lab: Lab) -> None:
    packets = [
        *handshake(),
        up(1, tcp("FA", 101, 501)),
        down(1.01, tcp("FA", 501, 102)),
        up(1.02, tcp("A", 102, 501)),
        up(100, tcp("A", 102, 501)),
    ]
    assert sizes(lab, packets) == [7]


@pytest.mark.parametrize(
    ("segment", "idle_s"), [(tcp("A", 1, 1), 300), (udp(1), 60), (tcp("S", 1), 300)]
)
def test_idle_timeout(lab: Lab, segment: bytes, idle_s: float) -> None:
    assert sizes(lab, [up(0, segment), up(idle_s, segment)]) == [2]
    assert sizes(lab, [up(0, segment), up(idle_s + 0.001, segment)]) == [1, 1]


def test_active_timeout_keeps_the_initiator(lab: Lab) -> None:
    talk = [up(0, udp(1)), *(down(second, udp(1)) for second in range(30, 1860, 30))]
    first, second = lab.rows(talk)
    assert first["c2s_packets"] + first["s2c_packets"] == 61
    assert (second["src_ip"], second["c2s_packets"], second["s2c_packets"]) == (CLIENT, 0, 1)


def test_timeouts_can_be_chosen(lab: Lab) -> None:
    steady = [up(second, udp(1)) for second in range(10)]
    assert sizes(lab, steady, active_s=4) == [5, 5]
    assert sizes(lab, steady, udp_idle_s=0.5) == [1] * 10


def test_time_never_runs_backwards_inside_a_flow(lab: Lab) -> None:
    (row,) = lab.rows([up(5, udp(1)), down(3, udp(1)), up(6, udp(1))])
    assert row["seq_iat_us"][:3] == [0, 0, 1_000_000]
    assert (row["iat_min_ms"], row["duration_s"]) == (0, 1)


def test_flows_that_begin_in_the_same_instant_have_different_ids(lab: Lab) -> None:
    rows = lab.rows([up(0, tcp("S", isn)) for isn in (1, 2, 3)])
    assert len({row["flow_id"] for row in rows}) == 3


def test_a_host_talking_to_itself_on_one_port(lab: Lab) -> None:
    loop = up(0, udp(1, sport=9, dport=9), src=CLIENT, dst=CLIENT)
    (row,) = lab.rows([loop, loop])
    assert (row["c2s_packets"], row["s2c_packets"]) == (2, 0)


@pytest.mark.parametrize(
    "packets",
    [
        [up(0, tcp("S", 1)), *handshake(1, isn=1)],  # a repeated SYN: which one was answered?
        [up(0, tcp("S", 1)), down(1, tcp("SA", 5, 99)), up(2, tcp("A", 2, 6))],
        [up(0, tcp("S", 1)), down(1, tcp("SA", 5, 2)), up(2, tcp("A", 2, 999))],
        [up(0, tcp("S", 1)), down(1, tcp("SA", 5, 2)), up(2, tcp("R", 2))],
    ],
)
def test_an_uncertain_handshake_has_no_rtt(lab: Lab, packets: list[Packet]) -> None:
    (row,) = lab.rows(packets)
    assert math.isnan(row["handshake_rtt_ms"])


def test_fast_open_has_an_rtt(lab: Lab) -> None:
    opening = [up(0, tcp("S", 1, 0, 50)), down(0.1, tcp("SA", 5, 52)), up(0.2, tcp("A", 52, 6))]
    (row,) = lab.rows(opening)
    assert row["handshake_rtt_ms"] == pytest.approx(200)


def test_sequence_numbers_wrap(lab: Lab) -> None:
    isn = 2**32 - 2
    closing = [*handshake(isn=isn), *farewell(1, isn=isn), up(12, tcp("A", isn + 2, 502))]
    assert sizes(lab, closing) == [6, 1]


def test_ipv6(lab: Lab) -> None:
    ends = {"src": "2001:db8::1", "dst": "2001:db8::2"}
    (row,) = lab.rows([up(0, tcp("PA", 1, 1, 10), **ends)])
    assert (row["src_ip"], row["dst_ip"]) == ("2001:db8::1", "2001:db8::2")
    assert (row["c2s_ip_bytes"], row["c2s_payload_bytes"]) == (70, 10)
