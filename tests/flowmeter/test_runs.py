"""A run directory in, one Parquet file and its report out."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flowmeter import MeterConfig, flow_schema, meter, meter_capture, meter_run
from launcher.records import CaptureRecord, Manifest
from tests.flowmeter.conftest import down, pcap_bytes, tcp, udp, up
from topologies.errors import CaptureError, InputError, NotFoundError
from topologies.files import write_text

TRAFFIC = {
    "clients": [up(0, tcp("S", 1)), down(1, tcp("SA", 1, 2)), up(2, udp(1))],
    "servers": [up(0, tcp("S", 1))],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    records = []
    for network, packets in TRAFFIC.items():
        file = folder / "captures" / f"{network}.pcap"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pcap_bytes(packets))
        records.append(
            CaptureRecord(
                network=network,
                file=f"captures/{network}.pcap",
                packets=len(packets),
                received=len(packets),
                dropped_by_kernel=0,
                dropped_by_interface=0,
            )
        )
    manifest = Manifest(
        run_id="r1", name="demo", status="complete", reason="", seed=1, backend="netns",
        topology_sha256="", images={}, versions={}, machine={}, evidence="", start_ns=0,
        stop_ns=1, counts={}, captures=tuple(records), sha256={}, notes=(),
    )  # fmt: skip
    write_text(folder / "manifest.json", manifest.model_dump_json())
    return folder


def test_flows_of_every_network(run: Path, tmp_path: Path) -> None:
    report = meter_run(run, tmp_path / "out" / "flows.parquet")
    table = pq.read_table(report.flows_file)
    assert table.schema.equals(flow_schema())
    told = table.schema.metadata
    assert (told[b"run_id"], json.loads(told[b"networks"])) == (b"r1", ["clients", "servers"])
    assert set(table.column("run_id").to_pylist()) == {"r1"}
    assert table.column("network").to_pylist() == ["clients", "clients", "servers"]
    assert len(set(table.column("flow_id").to_pylist())) == 3
    assert (report.packets, report.flows, report.rejects) == (4, 3, {})
    alone = meter(run / "captures/servers.pcap", run_id="r1", network="servers")
    assert table.column("flow_id")[2] == alone.table.column("flow_id")[0]


def test_the_report_beside_it(run: Path, tmp_path: Path) -> None:
    truncated = run / "captures/servers.pcap"
    truncated.write_bytes(truncated.read_bytes()[:-1])
    meter_run(run, tmp_path / "flows.parquet", config=MeterConfig(udp_idle_s=5))
    report = json.loads((tmp_path / "flows.meter.json").read_text())
    assert (report["packets"], report["flows"], report["config"]["udp_idle_s"]) == (4, 2, 5)
    assert report["networks"][1] == {
        "network": "servers",
        "packets": 1,
        "flows": 0,
        "rejects": {"truncated_tail": 1},
        "tails": {str(truncated): "truncated_tail"},
    }


def test_the_same_run_gives_the_same_file(run: Path, tmp_path: Path) -> None:
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for file in files:
        meter_run(run, file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_other_formats(run: Path, tmp_path: Path) -> None:
    meter_run(run, tmp_path / "flows.jsonl")
    lines = (tmp_path / "flows.jsonl").read_text().splitlines()
    assert [json.loads(line)["network"] for line in lines] == ["clients", "clients", "servers"]
    with pytest.raises(InputError, match="a name that ends with"):
        meter_run(run, tmp_path / "flows")
    assert not (tmp_path / "flows").exists()


def test_captures_of_one_point_are_merged(run: Path, tmp_path: Path) -> None:
    captures = [run / "captures" / f"{network}.pcap" for network in TRAFFIC]
    report = meter_capture(captures, tmp_path / "flows.csv")
    assert (report.packets, report.flows) == (4, 2)


def test_flows_can_be_exported_and_not_kept(run: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        url = f"ipfix://127.0.0.1:{collector.getsockname()[1]}"
        report = meter_capture(run / "captures/clients.pcap", None, export=url)
        versions = [int.from_bytes(collector.recv(2000)[:2]) for _ in range(2)]
    assert (report.flows, report.flows_file, versions) == (2, None, [10, 10])


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"expected a run directory, got no manifest.json"):
        meter_run(tmp_path, tmp_path / "flows.parquet")


def test_a_broken_manifest(run: Path, tmp_path: Path) -> None:
    write_text(run / "manifest.json", '{"run_id": 5}')
    with pytest.raises(InputError, match="run_id: expected a run manifest") as caught:
        meter_run(run, tmp_path / "flows.parquet")
    assert len(caught.value.problems) > 5


def test_a_broken_capture_leaves_no_file(run: Path, tmp_path: Path) -> None:
    (run / "captures/servers.pcap").write_bytes(b"nothing of the kind")
    with pytest.raises(CaptureError, match=r"servers.pcap: byte 0"):
        meter_run(run, tmp_path / "flows.parquet")
    assert not (tmp_path / "flows.parquet").exists()
