"""Every feature: its value by a slow reference, or by hand, and what the table says about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmeter import FEATURE_SETS, feature_table
from flowmeter.core.layout import OPT_FASTOPEN, OPT_SACK_OK, OPT_TIMESTAMPS, RECENT, Rows
from flowmeter.features import FEATURES, GROUPS, Columns, Feature
from flowmeter.features.page import PAGE, page
from tests.flowmeter.conftest import Lab, Packet, down, tcp, udp, up
from tests.flowmeter.handmade import (
    IDLE_NS,
    START_NS,
    Sent,
    active_parts,
    blank_rows,
    bursts_of,
    gaps_of,
    histogram,
    random_rows,
    rows_of,
)
from topologies.errors import NotFoundError

NAN = math.nan
SHAPES = ("skewness", "kurtosis")
BOTH = ("c2s", "s2c")


def values(rows: Rows, features: Sequence[Feature] = feature_table("full")) -> dict[str, Any]:
    """The first row, as the flow table would have it."""
    columns = Columns(rows)
    return {
        feature.name: feature.compute(columns).astype(feature.dtype)[0].item()
        for feature in features
    }


def netflow(rows: Rows) -> dict[str, Any]:
    return values(rows, feature_table("netflow"))


def moments(numbers: Sequence[float]) -> dict[str, float]:
    """Population moments the plain way, in two passes."""
    if not numbers:
        return dict.fromkeys(("min", "mean", "max", "std", *SHAPES), NAN)
    spread, centred = float(np.std(numbers)), np.array(numbers) - np.mean(numbers)
    equal = min(numbers) == max(numbers)
    return {
        "min": min(numbers),
        "mean": float(np.mean(numbers)),
        "max": max(numbers),
        "std": 0.0 if equal else spread,
        "skewness": NAN if equal else float(np.mean(centred**3)) / spread**3,
        "kurtosis": NAN if equal else float(np.mean(centred**4)) / spread**4 - 3,
    }


def named(prefix: str, unit: str, numbers: Sequence[float]) -> dict[str, float]:
    return {
        f"{prefix}_{name}" if name in SHAPES else f"{prefix}_{name}_{unit}": value
        for name, value in moments(numbers).items()
    }


def in_ms(times_ns: Sequence[int]) -> list[float]:
    return [gap / 1e6 for gap in gaps_of(times_ns)]


def reference(traffic: Sequence[Sent]) -> dict[str, float]:
    """Features of one UDP flow whose packets all have a TTL of 64."""
    times = [sent.time_ns for sent in traffic]
    row = {"duration_s": (times[-1] - times[0]) / 1e9} | named("iat", "ms", in_ms(times))
    for number, side in enumerate(BOTH):
        mine = [sent for sent in traffic if sent.side == number]
        row |= {f"{side}_{name}": value for name, value in of_side(mine, traffic[0]).items()}
        for name, total in (("packet_rate_pps", len(mine)), ("ip_bytes_per_s", row_sum(mine))):
            row[f"{side}_{name}"] = total / row["duration_s"] if row["duration_s"] else NAN
        bursts = [burst for burst in bursts_of(traffic) if burst[0].side == number]
        row[f"{side}_bursts"] = len(bursts)
        for unit, each in (
            ("packets", [len(burst) for burst in bursts]),
            ("bytes", [sum(sent.payload for sent in burst) for burst in bursts]),
        ):
            row[f"{side}_burst_{unit}_max"] = max(each, default=0)
            row[f"{side}_burst_{unit}_mean"] = sum(each) / len(each) if each else NAN
    up_bytes, down_bytes = (row[f"{side}_ip_bytes"] for side in BOTH)
    row["down_up_bytes_ratio"] = down_bytes / up_bytes if up_bytes else NAN
    payloads = [sent.payload * (-1) ** sent.side for sent in traffic if sent.payload]
    first = ([*map(float, payloads)] + [NAN] * 12)[:12]
    row |= {f"payload_{place}_bytes": size for place, size in enumerate(first, start=1)}
    idles = [gap / 1e9 for gap in gaps_of(times) if gap > IDLE_NS]
    active = [(part[-1].time_ns - part[0].time_ns) / 1e9 for part in active_parts(traffic)]
    row["idle_periods"] = len(idles)
    for kind, periods in (("idle", idles), ("active", active)):
        told = {name: value for name, value in moments(periods).items() if name not in SHAPES}
        row |= {f"{kind}_{name}_s": value for name, value in told.items()}
    return row


def row_sum(traffic: Sequence[Sent]) -> int:
    return sum(sent.ip_bytes for sent in traffic)


def of_side(mine: Sequence[Sent], first: Sent) -> dict[str, float]:
    sizes, payloads = [sent.ip_bytes for sent in mine], [sent.payload for sent in mine]
    loaded = [sent for sent in mine if sent.payload]
    shares = [count / len(sizes) for count in histogram(sizes) if count]
    row: dict[str, float] = {
        "packets": len(mine),
        "payload_packets": len(loaded),
        "ip_bytes": sum(sizes),
        "payload_bytes": sum(payloads),
        "unique_payload_bytes": sum(payloads),
        "payload_size_min_bytes": min(filter(None, payloads), default=NAN),
        "payload_size_max_bytes": max(filter(None, payloads), default=NAN),
        "first_payload_ms": (loaded[0].time_ns - first.time_ns) / 1e6 if loaded else NAN,
        "last_payload_ms": (loaded[-1].time_ns - first.time_ns) / 1e6 if loaded else NAN,
        "size_entropy_bits": -sum(p * math.log2(p) for p in shares) if mine else NAN,
        "ttl_min": 64 if mine else NAN,
        "ttl_max": 64 if mine else NAN,
    }
    row |= named("size", "bytes", sizes)
    return row | named("iat", "ms", in_ms([sent.time_ns for sent in mine]))


def assert_as_referenced(row: dict[str, Any], traffic: Sequence[Sent]) -> None:
    expected = reference(traffic)
    assert expected.keys() <= {feature.name for feature in feature_table("full")}
    for name, value in expected.items():
        # Higher moments lose digits to the powers of what they are made of.
        close = {"rel": 1e-4, "abs": 1e-3} if name.endswith(SHAPES) else {"rel": 1e-6, "abs": 1e-3}
        assert row[name] == pytest.approx(value, nan_ok=True, **close), name
    absent = {feature.name for feature in feature_table("full")} - expected.keys()
    assert all(row[name] == 0 or math.isnan(row[name]) for name in absent)


STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 30_000_000), st.integers(0, 1400)), max_size=60
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_values_from_the_core_s_sums(steps: list[tuple[bool, int, int]]) -> None:
    traffic = [Sent(START_NS, 0, 35, 7)]
    for is_up, gap_us, payload in steps:
        at_ns = traffic[-1].time_ns + gap_us * 1000
        traffic.append(Sent(at_ns, 0 if is_up else 1, 28 + payload, payload))
    assert_as_referenced(values(rows_of(traffic)), traffic)


@settings(max_examples=100, deadline=None)
@given(steps=STEPS)
def test_values_from_packets(lab: Lab, steps: list[tuple[bool, int, int]]) -> None:
    frames, traffic, now_us = [up(0, udp(7))], [Sent(START_NS, 0, 35, 7)], 0
    for is_up, gap_us, payload in steps:
        now_us += gap_us
        frames.append((up if is_up else down)(now_us / 1e6, udp(payload)))
        traffic.append(Sent(frames[-1].time_ns, 0 if is_up else 1, 28 + payload, payload))
    (row,) = lab.rows(frames, active_s=1e6)
    assert_as_referenced(row, traffic)
    first, padding = traffic[:20], [0] * (20 - len(traffic[:20]))
    assert row["seq_size_bytes"] == [sent.ip_bytes for sent in first] + padding
    assert row["seq_direction"] == [1 - 2 * sent.side for sent in first] + padding
    gaps = [0, *(gap / 1e3 for gap in gaps_of([sent.time_ns for sent in first])), *padding]
    assert row["seq_iat_us"] == pytest.approx(gaps, rel=1e-6)
    assert row["seq_flags"] == [0] * 20
    assert (row["first_ns"], row["last_ns"]) == (START_NS, traffic[-1].time_ns)


def test_flags_are_counted_one_by_one(lab: Lab) -> None:
    packets: list[Packet] = [up(at, tcp(flag)) for at, flag in enumerate("APUEC")]
    (row,) = lab.rows([*packets, up(5, tcp("FSRPAUEC"))])
    names = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
    assert [row[f"c2s_{name}_packets"] for name in names] == [1, 1, 1, 2, 2, 2, 2, 2]
    assert row["c2s_pure_ack_packets"] == 1


def test_a_flow_that_nothing_is_known_of() -> None:
    row = values(blank_rows(1))
    types = {feature.name: feature.dtype for feature in feature_table("full")}
    known_s = ("duration_s", "active_min_s", "active_mean_s", "active_max_s", "active_std_s")
    for name, value in row.items():
        is_number = types[name].startswith("int") or name in known_s or "cwin_initial" in name
        assert value == 0 if is_number else math.isnan(value), name


def test_equal_values_have_no_shape_however_many() -> None:
    traffic = [Sent(START_NS + 1_000_003 * at, 0, 1499, 1471) for at in range(5000)]
    row = values(rows_of(traffic))
    assert row["c2s_size_std_bytes"] == row["c2s_iat_std_ms"] == row["iat_std_ms"] == 0
    for name in ("c2s_size", "c2s_iat", "iat"):
        assert math.isnan(row[f"{name}_skewness"])
        assert math.isnan(row[f"{name}_kurtosis"])


@pytest.mark.parametrize("place", [0, 1, 2500, 4999])
def test_one_outlier_keeps_its_shape(place: int) -> None:
    sizes = [1500] * 5000
    sizes[place] = 40
    traffic = [Sent(START_NS + at, 0, size, size - 28) for at, size in enumerate(sizes)]
    row, expected = values(rows_of(traffic)), moments(sizes)
    assert row["c2s_size_skewness"] == pytest.approx(expected["skewness"], rel=1e-5)
    assert row["c2s_size_kurtosis"] == pytest.approx(expected["kurtosis"], rel=1e-5)


def test_entropy_by_hand() -> None:
    sizes = [40, 100, 200, 300, 600, 1100, 1400, 9000]  # one in each bin
    traffic = [Sent(START_NS, 0, size, 0) for size in sizes]
    assert values(rows_of(traffic))["c2s_size_entropy_bits"] == 3
    assert values(rows_of(traffic[:1] * 3))["c2s_size_entropy_bits"] == 0
    many = values(rows_of([traffic[0]] * 3000 + [traffic[7]] * 1000))  # beyond the table
    assert many["c2s_size_entropy_bits"] == pytest.approx(2 - 0.75 * math.log2(3))


def test_round_trips_by_hand() -> None:
    rows = blank_rows(1)
    samples = [3_000_000, 1_000_000, 5_000_000]
    side = rows.sides[0, 1]
    side["rtt_count"], side["rtt_first"], side["rtt_sum"] = 3, samples[0], sum(samples)
    side["rtt_min"], side["rtt_max"] = min(samples), max(samples)
    side["rtt_d2"] = float(sum((sample - samples[0]) ** 2 for sample in samples))
    row = values(rows)
    assert (row["s2c_rtt_min_ms"], row["s2c_rtt_mean_ms"], row["s2c_rtt_max_ms"]) == (1, 3, 5)
    assert row["s2c_rtt_std_ms"] == pytest.approx(math.sqrt(8 / 3))
    assert (row["s2c_rtt_samples"], row["c2s_rtt_samples"]) == (3, 0)
    assert math.isnan(row["c2s_rtt_mean_ms"])


def test_handshake_times_by_hand() -> None:
    rows = blank_rows(2)
    rows.flows["syn_ns"], rows.flows["synack_ns"] = 1_000_000, 4_000_000
    rows.flows["ack_ns"] = 9_000_000
    rows.flows["handshake_broken"] = [0, 1]
    names = ("handshake_rtt_ms", "handshake_server_ms", "handshake_client_ms")
    assert [values(rows)[name] for name in names] == [8, 3, 5]
    broken = Rows(*(part[1:] for part in rows))
    assert all(math.isnan(values(broken)[name]) for name in names)


# Feature without its direction, field of SIDE, its value, what becomes of it.
BY_FIELD = (
    ("retransmitted_packets", "retransmitted", 2, 2),
    ("out_of_order_packets", "out_of_order", 3, 3),
    ("duplicate_acks", "duplicate_acks", 4, 4),
    ("rto_retransmissions", "rto", 65535, 65535),
    ("fast_retransmissions", "fast", 6, 6),
    ("reordered_packets", "reordered", 7, 7),
    ("duplicate_packets", "network_duplicates", 8, 8),
    ("unclassified_anomalies", "unknown_anomalies", 9, 9),
    ("window_probes", "window_probes", 10, 10),
    ("unneeded_rto_retransmissions", "unneeded_rto", 11, 11),
    ("unneeded_fast_retransmissions", "unneeded_fast", 12, 12),
    ("syn_retransmissions", "syn_again", 13, 13),
    ("sack_packets", "sack_packets", 14, 14),
    ("zero_window_packets", "zero_windows", 15, 15),
    ("window_min_bytes", "window_min", 16, 16),
    ("cwin_min_bytes", "cwin_min", 17, 17),
    ("cwin_max_bytes", "cwin_max", 18, 18),
    ("cwin_initial_bytes", "cwin_first", 19, 19),
    ("pure_ack_packets", "pure_acks", 20, 20),
    ("initial_window_bytes", "window", 0, 0),
    ("mss_bytes", "mss", 65495, 65495),
    ("window_scale", "window_scale", 14, 14),
    ("window_scale", "window_scale", 0, 0),
    ("sack_permitted", "options", OPT_SACK_OK, 1),
    ("timestamps", "options", OPT_TIMESTAMPS, 1),
    ("fast_open", "options", OPT_FASTOPEN, 1),
    ("first_ack_ms", "first_ack_ns", 7_000_000, 7),
    *((f"{flag}_packets", flag, 5, 5)
      for flag in ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")),
)  # fmt: skip


@pytest.mark.parametrize(("name", "field", "given", "expected"), BY_FIELD)
@pytest.mark.parametrize("side", [0, 1])
def test_what_a_field_becomes(name: str, field: str, given: int, expected: int, side: int) -> None:
    rows, before = blank_rows(1), values(blank_rows(1))
    rows.sides[field][0, side] = given
    row = values(rows)
    assert row[f"{BOTH[side]}_{name}"] == expected
    changed = {key for key in row if repr(row[key]) != repr(before[key])}
    assert changed == {f"{BOTH[side]}_{name}"}


def test_bytes_sent_again_are_not_unique() -> None:
    rows = blank_rows(1)
    rows.sides["payload_bytes"][0, 0], rows.sides["retransmitted_bytes"][0, 0] = 2**40, 2**39
    row = values(rows)
    assert row["c2s_unique_payload_bytes"] == row["c2s_retransmitted_bytes"] == 2**39


def test_the_largest_window_may_be_zero() -> None:
    rows = blank_rows(1)
    rows.sides["window_now"][0, 0] = 0
    row = values(rows)
    assert row["c2s_window_max_bytes"] == 0
    assert math.isnan(row["c2s_window_min_bytes"])
    assert math.isnan(row["s2c_window_max_bytes"])


def test_tls_and_quic_by_hand() -> None:
    rows = blank_rows(1)
    flow, sides = rows.flows[0], rows.sides[0]
    flow["tls_client_version"], flow["tls_server_version"] = 0x0303, 0x0301
    flow["tls_client_hello"], flow["tls_server_hello"] = 512, 122
    flow["first_ns"], flow["tls_data_ns"], flow["quic_version"] = 10, 2_000_010, 0xFF00001D
    sides["quic_long"], sides["quic_first"] = [2, 0], [1200, 0]
    row = values(rows)
    assert (row["tls_client_version"], row["tls_server_version"]) == (771, 769)
    assert (row["tls_client_hello_bytes"], row["tls_server_hello_bytes"]) == (512, 122)
    assert (row["tls_first_data_ms"], row["quic_version"]) == (2, 0xFF00001D)
    assert (row["c2s_quic_long_packets"], row["c2s_quic_initial_bytes"]) == (2, 1200)
    assert math.isnan(row["s2c_quic_initial_bytes"])


def test_netflow_by_hand() -> None:
    rows = rows_of([Sent(START_NS, 0, 100, 0), Sent(START_NS + 2 * 10**9, 1, 300, 0)])
    rows.flows["tos"], rows.sides["syn"], rows.sides["ack"][0, 1] = 184, 1, 1
    assert netflow(rows) == {
        "duration_s": 2, "tcp_flags": 18, "packets": 2, "ip_bytes": 400, "flows": 1, "tos": 184,
        "packet_rate_pps": 1, "ip_bytes_per_s": 200, "packets_per_flow": 2,
        "ip_bytes_per_flow": 400,
    }  # fmt: skip
    instant = netflow(rows_of([Sent(START_NS, 0, 100, 0)]))
    assert math.isnan(instant["packet_rate_pps"])
    assert math.isnan(instant["ip_bytes_per_s"])


def test_recent_by_field() -> None:
    rows = blank_rows(1, recent=True)
    for number, field in enumerate(RECENT.names or ()):
        rows.recent[field] = number
    features = [feature for feature in FEATURES if feature.group == "recent"]
    assert list(values(rows, features).values()) == list(range(6))
    assert [feature.name for feature in features] == [
        f"recent_{field}" for field in RECENT.names or ()
    ]


def test_columns_fit_their_types_and_do_not_warn() -> None:
    columns = Columns(random_rows(300))
    for feature in FEATURES:
        column = feature.compute(columns)
        assert column.shape == (300,), feature.name
        assert np.array_equal(column, feature.compute(columns), equal_nan=True)
        if feature.dtype.startswith("int"):
            assert column.dtype.kind in "iub", feature.name
            assert column.astype(feature.dtype).tolist() == column.tolist()


def test_rows_do_not_depend_on_their_batch() -> None:
    """A value is the same to the bit in whatever company it is computed."""
    rows = random_rows(257)
    whole = Columns(rows)
    parts = [Columns(Rows(*(part[begin : begin + 50] for part in rows)))
             for begin in range(0, 257, 50)]  # fmt: skip
    for feature in FEATURES:
        together = np.concatenate([feature.compute(part) for part in parts])
        assert together.tobytes() == feature.compute(whole).tobytes(), feature.name


def test_every_feature_is_told_of() -> None:
    assert len(FEATURES) == len(feature_table("full", recent=True)) + 9
    assert {feature.group for feature in FEATURES} == GROUPS.keys()
    for feature in FEATURES:
        assert feature.unit
        assert feature.source
        assert "{" not in feature.definition
        assert feature.definition[0] != "{"
    seen = [(feature.name, "netflow" in feature.sets) for feature in FEATURES]
    assert len(set(seen)) == len(seen)


def test_no_feature_names_a_host_or_a_moment() -> None:
    words = {word for feature in FEATURES for word in feature.name.split("_")}
    assert not words & {"ip", "port", "src", "dst", "ns"} - {"ip"}
    assert all("ip_bytes" in f.name for f in FEATURES if "ip" in f.name.split("_"))


def test_feature_sets() -> None:
    sets = {name: {f.name for f in feature_table(name)} for name in FEATURE_SETS}
    assert {name: len(features) for name, features in sets.items()} == {
        "basic": 63, "tstat": 93, "full": 186, "netflow": 10
    }  # fmt: skip
    assert sets["basic"] < sets["full"]
    assert sets["tstat"] < sets["full"]
    assert "stack" not in {feature.group for feature in feature_table("basic")}
    for name in FEATURE_SETS:
        assert len({f.name for f in feature_table(name)}) == len(feature_table(name))
        recent = feature_table(name, recent=True)
        assert [f.group for f in recent].count("recent") == 6
    with pytest.raises(NotFoundError, match="one of the feature sets basic, tstat, full, netflow,"):
        feature_table("fancy")


def test_the_page_is_fresh() -> None:
    written = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
    assert written == page(), "run python -m flowmeter.features.page"
