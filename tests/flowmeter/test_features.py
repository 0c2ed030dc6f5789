"""Every feature: its value by a slow reference, and what the table says about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmeter import FEATURE_SETS, feature_table, flow_schema
from tests.flowmeter.conftest import START_NS, Lab, Packet, down, tcp, udp, up
from topologies.errors import NotFoundError

NAN = math.nan


def moments(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return dict.fromkeys(("min", "mean", "max", "std"), NAN)
    return {
        "min": min(values),
        "mean": float(np.mean(values)),
        "max": max(values),
        "std": float(np.std(values)),
    }


def gaps_ms(packets: Sequence[Packet]) -> dict[str, float]:
    times = [packet.time_ns for packet in packets]
    return moments([(b - a) / 1e6 for a, b in pairwise(times)])


def reference(traffic: Sequence[tuple[bool, Packet]]) -> dict[str, float]:
    """UDP features of one flow, from its packets and whether the initiator sent them."""
    everything = [packet for _, packet in traffic]
    duration_s = (everything[-1].time_ns - everything[0].time_ns) / 1e9
    row: dict[str, float] = {"duration_s": duration_s}
    row |= {f"iat_{name}_ms": value for name, value in gaps_ms(everything).items()}
    total = {}
    for side, is_up in (("c2s", True), ("s2c", False)):
        mine = [packet for sent_up, packet in traffic if sent_up is is_up]
        lengths = [len(packet.frame) - 14 for packet in mine]
        loaded = [packet for packet, length in zip(mine, lengths, strict=True) if length > 28]
        total[side] = sum(lengths)
        row |= {f"{side}_packets": len(mine), f"{side}_ip_bytes": total[side]}
        row[f"{side}_payload_bytes"] = total[side] - 28 * len(mine)
        row[f"{side}_payload_packets"] = len(loaded)
        row |= {f"{side}_size_{name}_bytes": value for name, value in moments(lengths).items()}
        row |= {f"{side}_iat_{name}_ms": value for name, value in gaps_ms(mine).items()}
        begin_ms = (loaded[0].time_ns - everything[0].time_ns) / 1e6 if loaded else NAN
        row[f"{side}_first_payload_ms"] = begin_ms
        row[f"{side}_packet_rate_pps"] = len(mine) / duration_s if duration_s else NAN
        row[f"{side}_ip_bytes_per_s"] = total[side] / duration_s if duration_s else NAN
        row |= dict.fromkeys((f"{side}_ttl_min", f"{side}_ttl_max"), 64.0 if mine else NAN)
    row["down_up_bytes_ratio"] = total["s2c"] / total["c2s"]
    payloads = [(len(p.frame) - 42) * (1 if is_up else -1) for is_up, p in traffic]
    first = ([size for size in payloads if size] + [NAN] * 12)[:12]
    row |= {f"payload_{number}_bytes": size for number, size in enumerate(first, start=1)}
    return row


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 30_000_000), st.integers(0, 1400)), max_size=60
    )
)
def test_values(lab: Lab, steps: list[tuple[bool, int, int]]) -> None:
    traffic, now_us = [(True, up(0, udp(7)))], 0
    for is_up, gap_us, payload in steps:
        now_us += gap_us
        traffic.append((is_up, (up if is_up else down)(now_us / 1e6, udp(payload))))
    (row,) = lab.rows([packet for _, packet in traffic], active_s=1e6)
    expected = reference(traffic)
    assert {name: row[name] for name in expected} == pytest.approx(
        expected, rel=1e-6, abs=1e-3, nan_ok=True
    )
    absent = row.keys() & {feature.name for feature in feature_table()} - expected.keys()
    assert all(row[name] == 0 or math.isnan(row[name]) for name in absent)
    first = traffic[:32]
    padding = [0] * (32 - len(first))
    assert row["seq_size_bytes"] == [len(p.frame) - 14 for _, p in first] + padding
    assert row["seq_direction"] == [1 if is_up else -1 for is_up, _ in first] + padding
    times = [packet.time_ns for _, packet in first]
    gaps = [0, *((b - a) / 1e3 for a, b in pairwise(times)), *padding]
    assert row["seq_iat_us"] == pytest.approx(gaps, rel=1e-6)
    assert (row["first_ns"], row["last_ns"]) == (START_NS, traffic[-1][1].time_ns)


def test_flags_are_counted_one_by_one(lab: Lab) -> None:
    packets = [up(at, tcp(flag)) for at, flag in enumerate("APUEC")]
    (row,) = lab.rows([*packets, up(5, tcp("FSRPAUEC"))])
    names = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
    assert [row[f"c2s_{name}_packets"] for name in names] == [1, 1, 1, 2, 2, 2, 2, 2]
    assert row["c2s_pure_ack_packets"] == 1


def metadata(role: str) -> dict[str, dict[str, str]]:
    fields = {
        field.name: {key.decode(): value.decode() for key, value in field.metadata.items()}
        for field in flow_schema()
    }
    return {name: data for name, data in fields.items() if data["role"] == role}


def test_the_contract_of_the_columns() -> None:
    assert list(metadata("identity")) == ["flow_id", "run_id", "network"]
    assert list(metadata("key")) == ["src_ip", "dst_ip", "src_port", "dst_port", "protocol"]
    assert list(metadata("time")) == ["first_ns", "last_ns"]
    assert list(metadata("sequence")) == ["seq_size_bytes", "seq_direction", "seq_iat_us"]
    assert list(metadata("feature")) == [feature.name for feature in feature_table("full")]
    for data in (*metadata("feature").values(), *metadata("sequence").values()):
        assert data["unit"]
        assert data["group"]
        assert data["definition"]


def test_the_table_keeps_its_schema(lab: Lab) -> None:
    assert lab.meter([up(0, udp(1))]).table.schema.equals(flow_schema(), check_metadata=True)


def test_no_feature_names_a_host_or_a_moment() -> None:
    words = {word for feature in feature_table() for word in feature.name.split("_")}
    assert not words & {"ip", "port", "src", "dst", "ns"} - {"ip"}
    assert all("ip_bytes" in f.name for f in feature_table() if "ip" in f.name.split("_"))


def test_feature_sets() -> None:
    basic, full = feature_table("basic"), feature_table("full")
    assert 40 <= len(basic) < len(full)
    assert set(basic) < set(full)
    assert {feature.group for feature in full} - {feature.group for feature in basic} == {"stack"}
    assert {name for feature in full for name in feature.sets} == FEATURE_SETS.keys()
    assert len({feature.name for feature in full}) == len(full)
    with pytest.raises(NotFoundError, match="one of the feature sets basic, full, got 'fancy'"):
        feature_table("fancy")


def test_rows_are_in_order(lab: Lab) -> None:
    sent = [up(at % 3, udp(1, sport=9000 - at)) for at in range(30)]
    rows: list[dict[str, Any]] = lab.rows(sent)
    order = [(row["first_ns"], row["src_ip"], row["src_port"]) for row in rows]
    assert order == sorted(order)
    assert len({row["flow_id"] for row in rows}) == 30
    assert all(len(row["flow_id"]) == 16 for row in rows)
