"""Packets straight into the meter: the flow table of the same packets in a file, row by row."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flowmeter import meter_run
from gsta.labs import run_lab
from gsta.streaming import metering
from launcher.capture import CaptureOptions
from launcher.labs import Lab
from launcher.netns import NetnsBackend
from launcher.run import RunOptions, run_experiment
from topologies import load_topology
from topologies.errors import CaptureError, InputError, LabError

TOPOLOGY = """
name: tiny
networks: {clients: {subnet: 198.18.41.0/24}, servers: {subnet: 198.18.42.0/24}}
routers: {core: {networks: [clients, servers]}}
hosts: {client: {networks: [clients], count: 2}, server: {networks: [servers]}}
services: {resolver: {kind: dns, host: server}}
activities:
  resolving:
    kind: dns
    hosts: [client]
    services: [resolver]
    session_s: 2
    arrival: {distribution: constant, value_s: 1}
phases: [{name: busy, duration_s: 2}, {name: quiet, duration_s: 60, intensity: 0}]
captures: [clients, servers]
"""


@pytest.fixture(autouse=True)
def _own_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GSTA_STATE_DIR", str(tmp_path / "state"))


@pytest.mark.slow
def test_a_run_that_fails_does_not_wait_for_packets(tmp_path: Path) -> None:
    with (
        pytest.raises(LabError, match="no lab today"),
        metering("r1", ["lan"], tmp_path / "flows.parquet"),
    ):
        raise LabError("no lab today")
    assert not (tmp_path / "flows.parquet").exists()


@pytest.mark.slow
def test_what_is_no_capture_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(CaptureError),
        metering("r1", ["lan"], tmp_path / "flows.parquet") as sink,
    ):
        sink("lan").write_bytes(b"not a capture at all, but long enough for a header")
    assert not (tmp_path / "flows.parquet").exists()


def copy(source: Path, *targets: Path) -> None:
    """What tee does."""
    with source.open("rb", buffering=0) as stream:
        opened = [target.open("wb", buffering=0) for target in targets]
        while data := stream.read(1 << 16):
            for target in opened:
                target.write(data)
        for target in opened:
            target.close()


@pytest.mark.slow
@pytest.mark.lab
def test_the_rows_are_those_of_the_pcap_of_the_same_run(tmp_path: Path) -> None:
    document = load_topology(str(write(tmp_path)))
    out, streamed = tmp_path / "run", tmp_path / "streamed.parquet"
    threads = []
    with metering("run", ["clients", "servers"], streamed) as sink:

        def tee(point: str) -> Path:
            pipe = tmp_path / f"{point}.pipe"
            os.mkfifo(pipe)
            kept = out / "captures" / f"{point}.pcap"
            threads.append(threading.Thread(target=copy, args=(pipe, sink(point), kept)))
            threads[-1].start()
            return pipe

        with Lab.create(backend="netns", run_dir=out) as lab:
            run_experiment(
                document,
                seed=1,
                out=out,
                backend=NetnsBackend(lab),
                progress=lambda *_: None,
                options=RunOptions(sink=tee),
            )
        for thread in threads:
            thread.join()
    kept = tmp_path / "kept"
    (kept / "captures").mkdir(parents=True)
    manifest = (out / "manifest.json").read_text()
    for point in ("clients", "servers"):
        file = f"captures/{point}.pcap"
        (out / file).rename(kept / file)
        # The manifest says of both that they were streamed.
        head, found, tail = manifest.partition(f'"network": "{point}",\n      "file": ""')
        assert found
        manifest = head + found.replace('""', f'"{file}"') + tail
    (kept / "manifest.json").write_text(manifest)
    meter_run(kept, tmp_path / "kept.parquet")
    assert (tmp_path / "streamed.meter.json").exists()
    table, again = pq.read_table(streamed), pq.read_table(tmp_path / "kept.parquet")
    assert table.num_rows > 5
    assert table.schema.equals(again.schema, check_metadata=True)
    # As text, for what is not a number does not equal itself.
    assert repr(table.to_pylist()) == repr(again.to_pylist())


def write(folder: Path) -> Path:
    (folder / "tiny.yaml").write_text(TOPOLOGY)
    return folder / "tiny.yaml"


@pytest.mark.slow
@pytest.mark.lab
def test_a_lab_without_captures_leaves_flows(tmp_path: Path) -> None:
    document, out = load_topology(str(write(tmp_path))), tmp_path / "run"
    run_lab(
        document,
        seed=1,
        out=out,
        backend="netns",
        progress=lambda *_: None,
        options=RunOptions(capture=CaptureOptions(128), time_scale=2.0),
        flows=tmp_path / "flows.parquet",
    )
    assert list((out / "captures").iterdir()) == []
    assert pq.read_table(tmp_path / "flows.parquet").num_rows > 5
    with pytest.raises(InputError, match="metered while it ran, and not kept"):
        meter_run(out, tmp_path / "again.parquet")
