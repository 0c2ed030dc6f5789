"""``gsta meter``: what it writes where, and what it refuses in one message."""

from __future__ import annotations

import csv
import io
import json
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from flowmeter import FEATURE_SETS
from gsta.cli import cli
from tests.flowmeter.conftest import down, pcap_bytes, tcp, udp, up


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["meter", *map(str, arguments)])


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "day.pcap"
    packets = [up(0, tcp("S", 1)), down(1, tcp("SA", 1, 2)), up(2, udp(1)), up(30, udp(2))]
    path.write_bytes(pcap_bytes(packets))
    return path


def test_the_file_is_beside_the_capture(capture: Path, tmp_path: Path) -> None:
    result = run(capture)
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == ["network", "packets", "flows", "rejected", "4", "2", "0"]
    assert pq.read_table(tmp_path / "day.flows.parquet").num_rows == 2


def test_options_become_settings(capture: Path, tmp_path: Path) -> None:
    out = tmp_path / "flows.parquet"
    result = run(
        capture, "--out", out, "--udp-idle", 20, "--tcp-idle", 7, "--active", 9.5, "--features",
        "basic", "--sequence", 3, "--tunnels", "inner", "--semantics", "gsta", "--recent", 2,
        "--keep-corrupt", "--compression", "zstd",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(pq.read_schema(out).metadata[b"config"])
    assert told | {
        "udp_idle_s": 20, "tcp_idle_s": 7, "active_s": 9.5, "features": "basic", "sequence": 3,
        "tunnels": "inner", "recent_s": 2, "corrupt": "keep",
    } == told  # fmt: skip
    table = pq.read_table(out)
    assert (table.num_rows, len(table["seq_size_bytes"][0])) == (3, 3)
    written = pq.ParquetFile(out).metadata.row_group(0)
    columns = [written.column(number) for number in range(written.num_columns)]
    compressions = {column.path_in_schema: column.compression for column in columns}
    assert compressions["duration_s"] == "ZSTD"
    assert compressions["flow_id"] == "UNCOMPRESSED"  # chance has nothing to compress


def test_flows_on_stdout_are_nothing_but_flows(capture: Path) -> None:
    result = run(capture, "--out", "-", "--format", "jsonl")
    assert [json.loads(line)["c2s_packets"] for line in result.stdout.splitlines()] == [1, 2]
    assert "4 packets, 2 flows, 0 rejected" in result.stderr


def test_standard_input(capture: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "gsta", "meter", "-", "--out", "-", "--format", "csv"],
        input=capture.read_bytes(), capture_output=True, check=True,
    )  # fmt: skip
    assert len(list(csv.DictReader(io.StringIO(said.stdout.decode())))) == 2


def test_a_folder_gets_a_file_for_each_capture(capture: Path, tmp_path: Path) -> None:
    other = tmp_path / "night.pcap"
    other.write_bytes(pcap_bytes([up(0, udp(1))]))
    result = run(capture, other, "--out", f"{tmp_path}/flows/", "--format", "csv")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "flows").glob("*.csv")} == {
        "day.flows.csv", "night.flows.csv",
    }  # fmt: skip
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "capture", "day.pcap", "night.pcap",
    ]  # fmt: skip


def test_export_alone_writes_no_file(capture: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        result = run(capture, "--export", f"netflow9://127.0.0.1:{collector.getsockname()[1]}")
        assert result.exit_code == 0, result.output
        assert collector.recv(2000)[:2] == b"\0\x09"
    assert list(tmp_path.iterdir()) == [capture]


@pytest.mark.parametrize("chosen", FEATURE_SETS)
def test_the_columns_can_be_listed(chosen: str) -> None:
    result = run("--list-features", "--features", chosen, "--format", "jsonl")
    columns = {column["name"]: column for column in map(json.loads, result.stdout.splitlines())}
    assert columns["src_ip"]["role"] == "key"
    assert columns["duration_s" if chosen != "netflow" else "tcp_flags"]["definition"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give captures, a run directory, or --live IFACE"),
        (["{capture}", "--live", "lo"], "give captures, a run directory, or --live IFACE"),
        (["{capture}", "--seconds", "3"], "--seconds goes with --live"),
        (["{capture}", "--ray-address", "auto"], "--ray-address goes with --parallel"),
        (["{capture}", "--parallel"], "give --out DIR"),
        (["{capture}", "--out", "flows.xlsx"], "a name that ends with .parquet, .csv, .jsonl"),
        (["{capture}", "--out", "-"], "--format parquet|csv|jsonl"),
        (["-"], "say where the flows go"),
        (["nowhere.pcap"], "nowhere.pcap"),
        (["{capture}", "--udp-idle", "0"], "--udp-idle"),
        (["{capture}", "--udp-idle", "1e12"], "udp_idle_s: expected a time"),
        (["{capture}", "--export", "netflow5://h:1"], "netflow9://HOST:PORT or ipfix://HOST:PORT"),
        (
            ["{capture}", "--features", "netflow", "--export", "ipfix://127.0.0.1:9"],
            "choose --features full or tstat",
        ),
    ],
)
def test_what_is_refused(capture: Path, arguments: list[str], message: str) -> None:
    result = run(*(argument.format(capture=capture) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert list(capture.parent.iterdir()) == [capture]


def test_a_cut_capture_is_told(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-3])
    result = run(capture)
    assert (result.exit_code, result.stdout.split()[-3:]) == (0, ["4", "2", "1"])
    assert f"truncated tail: {capture}" in result.stderr
