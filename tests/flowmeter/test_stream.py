"""Flows as they end: the same rows as all at once, early, in batches, and nothing lost count of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from flowmeter import MeterConfig, flow_schema, flows, meter
from flowmeter.engine import TAKE_FLOWS
from tests.flowmeter.conftest import (
    SERVER,
    Lab,
    Packet,
    down,
    ethernet,
    exact,
    ip_packet,
    pcap_bytes,
    tcp,
    udp,
    up,
)
from topologies.errors import CaptureError, MissingExtraError


def crowd(flows: int, *, gap_s: float) -> list[Packet]:
    """Each of many hosts sends one packet, one after the other."""
    return [
        Packet(at * gap_s, ethernet(ip_packet(f"10.1.{at >> 8}.{at & 255}", SERVER, 17, udp())))
        for at in range(flows)
    ]


TALK = [up(0, tcp("S", 1)), down(0.1, tcp("SA", 5, 2)), up(0.2, udp(3)), up(90, udp(4))]


def test_it_is_the_same_table(lab: Lab) -> None:
    path = lab.file(pcap_bytes(crowd(5000, gap_s=0.01) + TALK))
    with flows(path, run_id="r", network="n") as stream:
        table = stream.read_all()
    whole = meter(path, run_id="r", network="n")
    assert sorted(map(repr, table.to_pylist())) == sorted(map(repr, whole.table.to_pylist()))
    assert (stream.packets, stream.rejects) == (whole.packets, whole.rejects) == (5004, {})
    times = whole.table["first_ns"].to_pylist()
    assert times == sorted(times)


def test_batches_are_of_one_schema_and_bounded(lab: Lab) -> None:
    config = MeterConfig(udp_idle_s=1)
    path = lab.file(pcap_bytes(crowd(4 * TAKE_FLOWS + 10, gap_s=0.01)))
    stream = flows(path, run_id="r", network="n", config=config)
    batches = list(stream)
    assert sum(batch.num_rows for batch in batches) == 4 * TAKE_FLOWS + 10
    assert max(batch.num_rows for batch in batches) <= 1.5 * TAKE_FLOWS
    assert all(batch.schema.equals(stream.schema, check_metadata=True) for batch in batches)
    assert stream.schema.equals(flow_schema(config))
    told = stream.schema.metadata
    assert (told[b"run_id"], json.loads(told[b"networks"])) == (b"r", ["n"])
    assert json.loads(told[b"config"])["udp_idle_s"] == 1
    assert list(stream) == [], "a stream is read once"


def test_rows_leave_before_the_end(lab: Lab) -> None:
    """The first batch comes while most of the capture is unread."""
    packets = crowd(20_000, gap_s=0.1)
    with flows(lab.file(pcap_bytes(packets)), config=MeterConfig(udp_idle_s=1)) as stream:
        first = next(iter(stream))
        assert first.num_rows >= TAKE_FLOWS / 2
        assert stream.packets < 16_000


def test_nothing_is_read_before_it_is_asked_for(lab: Lab) -> None:
    stream = flows(Path("/nowhere.pcap"))
    stream.close()
    assert list(stream) == []


def test_an_error_comes_where_it_is(lab: Lab) -> None:
    data = pcap_bytes(crowd(10, gap_s=1))
    broken = lab.file(data[:-50] + b"\xff" * 50, "broken.pcap")
    with pytest.raises(CaptureError, match="byte"):
        list(flows(broken))
    stream = flows(broken, config=MeterConfig(corrupt="keep"))
    rows = sum(batch.num_rows for batch in stream)
    assert stream.tails == {str(broken): "corrupt_tail"}
    assert (stream.packets, rows, stream.rejects) == (10, 9, {"corrupt_tail": 1})


def test_a_tail_cut_off(lab: Lab) -> None:
    cut = lab.file(pcap_bytes(TALK)[:-1], "cut.pcap")
    whole = lab.file(pcap_bytes(TALK), "whole.pcap")
    stream = flows([cut, whole])
    list(stream)
    assert stream.tails == {str(cut): "truncated_tail"}
    assert (stream.packets, stream.rejects) == (8, {"truncated_tail": 1})


def test_standard_input_is_a_capture(lab: Lab) -> None:
    path = lab.file(pcap_bytes(TALK))
    program = (
        "from pathlib import Path; from flowmeter import flows;"
        "print(sum(batch.num_rows for batch in flows(Path('-'))))"
    )
    command = [sys.executable, "-c", program]
    with path.open("rb") as file:
        said = subprocess.run(command, stdin=file, capture_output=True, check=True)
    assert said.stdout.strip() == b"3"
    said = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=True)
    assert said.stdout.strip() == b"3", "a pipe, which cannot seek"


def test_frames(lab: Lab) -> None:
    path = lab.file(pcap_bytes(TALK))
    frame = flows(path).to_pandas()
    assert list(frame["src_ip"]) == list(flows(path).read_all()["src_ip"].to_pylist())
    polars = flows(path).to_polars()
    assert polars["first_ns"].to_list() == list(frame["first_ns"])
    assert polars["seq_size_bytes"].to_list()[0] == list(frame["seq_size_bytes"][0])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_without_the_library_the_message_says_what_to_install(
    lab: Lab, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    stream = flows(lab.file(pcap_bytes(TALK)))
    with pytest.raises(MissingExtraError, match=rf'{library}.*pip install "gsta\[frames\]"'):
        getattr(stream, f"to_{library}")()


def test_a_start_loads_no_more_than_it_needs(lab: Lab) -> None:
    program = (
        "import sys; from pathlib import Path; from flowmeter import flows;"
        "stream = flows(Path(sys.argv[1])); before = set(sys.modules); list(stream);"
        "print('numba' in before, 'pandas' in sys.modules, 'pyarrow.compute' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, lab.file(pcap_bytes(TALK))], capture_output=True, check=True
    )
    assert said.stdout.split() == [b"False", b"False", b"False"]


def test_a_pipe_that_stays_open_gives_rows(lab: Lab) -> None:
    """Flows come out while the writer of the capture goes on."""
    reading, writing = os.pipe()
    stream = flows(Path(f"/dev/fd/{reading}"), config=MeterConfig(udp_idle_s=1))
    os.write(writing, pcap_bytes([]))

    def feed() -> Iterator[pa.RecordBatch]:
        os.write(writing, pcap_bytes(crowd(600, gap_s=0.1))[24:])
        os.close(writing)
        yield from stream

    assert sum(batch.num_rows for batch in feed()) == 600
    os.close(reading)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_change_nothing(lab: Lab, threads: int) -> None:
    path = lab.file(pcap_bytes(crowd(3000, gap_s=0.05) + TALK))
    one, many = (MeterConfig(udp_idle_s=5, threads=n) for n in (1, threads))
    expected, got = (
        [repr(row) for batch in flows(path, config=config) for row in batch.to_pylist()]
        for config in (one, many)
    )
    assert got == expected


def test_a_path_may_be_text(lab: Lab) -> None:
    path = lab.file(pcap_bytes(TALK))
    assert exact(meter(str(path))) == exact(meter([str(path)])) == exact(meter(path))
