"""Many captures at once: the same files, to the last byte, with a real Ray or without."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowmeter import MeterConfig, meter_capture
from flowmeter.parallel import RayRunner, Runner, SerialRunner, flows_name, meter_many
from tests.flowmeter.conftest import down, pcap_bytes, tcp, udp, up
from topologies.errors import InputError


@pytest.fixture
def captures(tmp_path: Path) -> list[Path]:
    paths = []
    for number in range(4):
        packets = [up(0, tcp("S", 1)), down(1, tcp("SA", 1, 2))]
        packets += [up(2 + at, udp(at, sport=1000 + at % 7)) for at in range(10 * number)]
        paths.append(tmp_path / f"part{number}.pcap")
        paths[-1].write_bytes(pcap_bytes(packets))
    return paths


@pytest.mark.slow
def test_ray_writes_what_a_single_run_writes(captures: list[Path], tmp_path: Path) -> None:
    config = MeterConfig(udp_idle_s=3)
    reports = meter_many(captures, tmp_path / "ray", config=config, runner=RayRunner(cpus=2))
    meter_many(captures, tmp_path / "serial", config=config)
    for capture, report in zip(captures, reports, strict=True):
        alone = meter_capture(capture, tmp_path / "alone.parquet", config=config)
        name = flows_name(capture)
        assert report.flows_file == tmp_path / "ray" / name
        assert (report.packets, report.flows) == (alone.packets, alone.flows)
        expected = (tmp_path / "alone.parquet").read_bytes()
        assert (tmp_path / "ray" / name).read_bytes() == expected
        assert (tmp_path / "serial" / name).read_bytes() == expected
    assert len(list((tmp_path / "ray").glob("*.meter.json"))) == len(captures)


@pytest.mark.slow
def test_ray_tells_what_is_wrong_with_the_input(captures: list[Path], tmp_path: Path) -> None:
    check_problems(RayRunner(cpus=2), captures, tmp_path)


def test_every_fault_is_told_and_the_rest_is_done(captures: list[Path], tmp_path: Path) -> None:
    check_problems(SerialRunner(), captures, tmp_path)


def check_problems(runner: Runner, captures: list[Path], tmp_path: Path) -> None:
    captures[1].write_bytes(b"no capture")
    captures[2].unlink()
    with pytest.raises(InputError, match=r"part1.pcap: byte 0: .*\n.*part2.pcap: ") as caught:
        meter_many(captures, tmp_path / "out", runner=runner)
    assert len(caught.value.problems) == 2
    written = {path.name for path in (tmp_path / "out").glob("*.parquet")}
    assert written == {"part0.flows.parquet", "part3.flows.parquet"}


def test_two_captures_of_one_name(captures: list[Path], tmp_path: Path) -> None:
    again = tmp_path / "other" / captures[0].name
    again.parent.mkdir()
    again.write_bytes(captures[0].read_bytes())
    for pair in ([captures[0], again], [captures[0], captures[0]]):
        with pytest.raises(InputError, match=r"part0.*rename one"):
            meter_many(pair, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.pcap", "a"), ("a.pcapng.gz", "a"), ("day.2024.pcap.zst", "day.2024"), ("a", "a")],
)
def test_names(name: str, expected: str) -> None:
    assert flows_name(Path(name), "csv") == f"{expected}.flows.csv"
