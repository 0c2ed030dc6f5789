"""The flow table: its schema, how rows become columns, and their order."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flowmeter.config import MeterConfig
from flowmeter.core.layout import Rows
from flowmeter.features import FEATURE_SETS, Columns, feature_table
from flowmeter.table import flow_schema, flow_table, record_batch
from tests.flowmeter.handmade import START_NS, blank_rows, random_rows
from topologies.errors import InputError

SEQUENCES = ["seq_size_bytes", "seq_direction", "seq_iat_us", "seq_flags"]


def metadata(role: str, schema: pa.Schema | None = None) -> dict[str, dict[str, str]]:
    fields = {
        field.name: {key.decode(): value.decode() for key, value in field.metadata.items()}
        for field in schema or flow_schema()
    }
    return {name: data for name, data in fields.items() if data["role"] == role}


def with_address(version: int, text: str) -> Rows:
    """A flow between this address, the higher end point that begins, and another."""
    rows = blank_rows(1)
    number = int(ipaddress.ip_address(text))
    rows.flows["tag"] = (version << 40) | (17 << 32) | (53 << 16) | 40000
    rows.flows["client_low"] = 0
    rows.flows["high_hi"], rows.flows["high_lo"] = number >> 64, number & (2**64 - 1)
    return rows


def joined(*parts: Rows) -> Rows:
    return Rows(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def texts(rows: Rows, name: str, **options: Any) -> list[str]:
    column: list[str] = record_batch(rows, **options)[name].to_pylist()
    return column


def test_the_contract_of_the_columns() -> None:
    assert list(metadata("identity")) == ["flow_id", "run_id", "network"]
    assert list(metadata("key")) == ["src_ip", "dst_ip", "src_port", "dst_port", "protocol"]
    assert list(metadata("time")) == ["first_ns", "last_ns"]
    assert list(metadata("meta")) == ["segment", "origin_id", "end_reason"]
    assert {data["group"] for data in metadata("meta").values()} == {"meta"}
    assert list(metadata("sequence")) == SEQUENCES
    assert list(metadata("feature")) == [feature.name for feature in feature_table("full")]
    for data in (*metadata("feature").values(), *metadata("sequence").values()):
        assert all(data[key] for key in ("unit", "group", "definition", "source"))
    assert not any(field.nullable for field in flow_schema())


@pytest.mark.parametrize("features", FEATURE_SETS)
@pytest.mark.parametrize("recent_s", [0.0, 5.0])
def test_batches_have_the_schema_of_their_set(features: Any, recent_s: float) -> None:
    config = MeterConfig(features=features, recent_s=recent_s, sequence=7)
    schema = flow_schema(config)
    batch = record_batch(random_rows(20, sequence=7), config)
    batch.validate(full=True)
    assert batch.schema.equals(schema, check_metadata=True)
    names = [feature.name for feature in feature_table(features, recent=recent_s > 0)]
    assert list(metadata("feature", schema)) == names
    lists = [field.type for field in schema if pa.types.is_fixed_size_list(field.type)]
    assert [kind.list_size for kind in lists] == ([] if features == "netflow" else [7] * 4)


def test_the_netflow_set_is_the_twelve_and_the_four() -> None:
    schema = flow_schema(MeterConfig(features="netflow"))
    kept = {
        *("first_ns", "duration_s", "protocol", "src_ip", "src_port", "dst_ip", "dst_port"),
        *("tcp_flags", "packets", "ip_bytes", "flows", "tos"),
        *("packet_rate_pps", "ip_bytes_per_s", "packets_per_flow", "ip_bytes_per_flow"),
    }
    others = {"flow_id", "run_id", "network", "last_ns", *metadata("meta")}
    assert set(schema.names) == kept | others
    assert len(kept) == 16


def test_features_are_the_columns_they_compute() -> None:
    rows = random_rows(64)
    batch, columns = record_batch(rows), Columns(rows)
    for feature in feature_table("full"):
        expected = feature.compute(columns).astype(feature.dtype)
        assert np.array_equal(batch[feature.name].to_numpy(), expected, equal_nan=True)


def test_end_points_stand_initiator_first() -> None:
    rows = with_address(4, "198.18.0.7")
    rows.flows["low_lo"] = int(ipaddress.ip_address("10.0.0.255"))
    (row,) = record_batch(rows).to_pylist()
    assert (row["src_ip"], row["src_port"]) == ("198.18.0.7", 40000)
    assert (row["dst_ip"], row["dst_port"]) == ("10.0.0.255", 53)
    rows.flows["client_low"] = 1
    (row,) = record_batch(rows).to_pylist()
    assert (row["src_ip"], row["src_port"], row["protocol"]) == ("10.0.0.255", 53, 17)


def test_addresses_as_people_write_them() -> None:
    v4 = ["0.0.0.0", "1.2.3.4", "9.99.100.0", "10.20.30.40", "255.255.255.255"]
    v6 = ["::", "::1", "fe80::1", "2001:db8::ff00:42:8329", "::ffff:1.2.3.4",
          "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]  # fmt: skip
    mixed = [text for pair in zip(v4, v6, strict=False) for text in pair]
    for names in (v4, v6, mixed, mixed * 3):
        rows = joined(*(with_address(6 if ":" in text else 4, text) for text in names))
        assert texts(rows, "src_ip") == names


def test_random_addresses_as_the_standard_library_writes_them() -> None:
    rows = random_rows(3000)
    low, high = (rows.flows[f"{end}_lo"].tolist() for end in ("low", "high"))
    swap = rows.flows["client_low"] != 1
    first = np.where(swap, high, low).tolist()
    assert texts(rows, "src_ip") == [str(ipaddress.IPv4Address(value)) for value in first]


def test_flow_ids_tell_flows_apart() -> None:
    rows = random_rows(500)
    rows.flows["first_ns"] = START_NS
    rows.flows["tag"] = (4 << 40) | (6 << 32)
    for end in ("low", "high"):
        rows.flows[f"{end}_lo"] = 1
    rows.flows["ordinal"] = np.arange(500)
    ids = texts(rows, "flow_id", run_id="run", network="lan")
    assert len(set(ids)) == 500
    assert all(len(text) == 16 and int(text, 16) >= 0 for text in ids)
    assert not set(ids) & set(texts(rows, "flow_id", run_id="run", network="wan"))
    assert not set(ids) & set(texts(rows, "flow_id", run_id="runl", network="an"))


def test_segments_name_the_flow_they_go_on() -> None:
    rows = joined(*[with_address(4, "198.18.0.7")] * 3)
    flows = rows.flows
    flows["first_ns"], flows["segment"] = [START_NS, START_NS + 9, START_NS + 20], [0, 1, 2]
    flows["origin_ns"], flows["ordinal"], flows["origin_ordinal"] = START_NS, [3, 0, 0], 3
    flows["end_reason"] = [2, 2, 4]
    batch = record_batch(rows)
    own = batch["flow_id"].to_pylist()
    assert len(set(own)) == 3
    assert batch["origin_id"].to_pylist() == [own[0]] * 3
    assert batch["segment"].to_pylist() == [0, 1, 2]
    assert batch["end_reason"].to_pylist() == [2, 2, 4]


def test_sequences_by_hand() -> None:
    rows = blank_rows(1, sequence=4)
    rows.words[0, :3] = [60 << 9 | 2, 65535 << 9 | 1 << 8 | 18, 28 << 9 | 255]
    rows.gaps[0, :3] = [0, 1.5, 2e9]
    (row,) = record_batch(rows, MeterConfig(sequence=4)).to_pylist()
    assert row["seq_size_bytes"] == [60, 65535, 28, 0]
    assert row["seq_direction"] == [1, -1, 1, 0]
    assert row["seq_iat_us"] == [0, 1.5, 2e9, 0]
    assert row["seq_flags"] == [2, 18, 255, 0]


def test_names_of_run_and_network_may_be_anything() -> None:
    (row,) = record_batch(blank_rows(1), run_id="läuft", network="").to_pylist()
    assert (row["run_id"], row["network"]) == ("läuft", "")
    assert record_batch(blank_rows(0), run_id="x").num_rows == 0


def test_rows_are_in_order_whatever_their_batches() -> None:
    rows = random_rows(400)
    rows.flows["first_ns"] = START_NS + np.random.default_rng(1).integers(0, 60, 400)
    parts = [Rows(*(part[begin : begin + 90] for part in rows)) for begin in range(0, 400, 90)]
    table = flow_table([record_batch(part) for part in reversed(parts)])
    names = ("first_ns", "src_ip", "src_port", "dst_ip", "dst_port", "protocol", "flow_id")
    order = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    assert order == sorted(order)
    assert table.schema.equals(flow_schema(), check_metadata=True)
    whole = pa.Table.from_batches([record_batch(rows)]).to_pylist()
    assert sorted(map(repr, table.to_pylist())) == sorted(map(repr, whole))


def test_rows_in_order_already_stay() -> None:
    rows = random_rows(50)
    rows.flows["first_ns"] = START_NS + np.arange(50)
    batch = record_batch(rows)
    assert flow_table([batch])["flow_id"].to_pylist() == batch["flow_id"].to_pylist()
    assert flow_table([]).num_rows == 0


def test_making_batches_loads_no_pandas() -> None:
    program = (
        "import sys; from flowmeter.table import record_batch, flow_table;"
        "from tests.flowmeter.handmade import random_rows;"
        "flow_table([record_batch(random_rows(9)), record_batch(random_rows(9, seed=1))]);"
        "assert not {'pandas', 'numba'} & set(sys.modules), 'slow to load'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        MeterConfig(
            tcp_idle_s=0, other_idle_s=True, active_s=float("nan"), recent_s=3600.5, sequence=256,
            threads=0, corrupt="ignore", tunnels="both", semantics="argus", features="all",
        )  # fmt: skip  # type: ignore[arg-type]
    assert [problem.path for problem in caught.value.problems] == [
        "tcp_idle_s", "other_idle_s", "active_s", "recent_s", "sequence", "threads", "corrupt",
        "tunnels", "semantics", "features",
    ]  # fmt: skip
    assert "features: expected 'basic', 'tstat', 'full' or 'netflow', got 'all';" in str(
        caught.value
    )
    assert MeterConfig(recent_s=3600, sequence=255, threads=256).recent_s == 3600
