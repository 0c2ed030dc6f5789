"""Meters a run of the launcher, or any capture, into one Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flowmeter.config import MeterConfig
from flowmeter.metering import meter
from flowmeter.table import flow_schema
from launcher.rundir import read_manifest
from topologies.files import replacing, write_json

REPORT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """One network's capture: packet records, flows, and rejected packets by reason."""

    network: str
    packets: int
    flows: int
    rejects: dict[str, int]


@dataclass(frozen=True, slots=True)
class MeterReport:
    """What `meter_run` wrote: the Parquet file, and per network what is in it."""

    run_id: str
    flows_file: Path
    networks: tuple[NetworkReport, ...]

    @property
    def packets(self) -> int:
        """Packet records in all captures."""
        return sum(network.packets for network in self.networks)

    @property
    def flows(self) -> int:
        """Flows in all captures."""
        return sum(network.flows for network in self.networks)

    @property
    def rejects(self) -> dict[str, int]:
        """Rejected packets by reason, all captures together."""
        total: dict[str, int] = {}
        for network in self.networks:
            for name, count in network.rejects.items():
                total[name] = total.get(name, 0) + count
        return total


def meter_run(run_dir: Path, out: Path, *, config: MeterConfig | None = None) -> MeterReport:
    """Meter the captures that a run's manifest names.

    Parameters
    ----------
    run_dir
        A run directory as the launcher leaves it.
    out
        The Parquet file to write; a report is written beside it, as ``NAME.meter.json``.

    Raises
    ------
    NotFoundError
        No manifest, or a capture that it names is missing.
    InputError
        The manifest cannot be read as one.
    CaptureError
        A capture is broken.
    """
    manifest = read_manifest(run_dir)
    networks: dict[str, list[Path]] = {}
    for record in manifest.captures:
        networks.setdefault(record.network, []).append(run_dir / record.file)
    return _meter(manifest.run_id, networks, out, config or MeterConfig())


def meter_capture(capture: Path, out: Path, *, config: MeterConfig | None = None) -> MeterReport:
    """Meter one capture of any origin; writes and raises as `meter_run` does."""
    return _meter("", {"": [capture]}, out, config or MeterConfig())


def _meter(
    run_id: str, networks: Mapping[str, Sequence[Path]], out: Path, config: MeterConfig
) -> MeterReport:
    tables, reports = [flow_schema().empty_table()], []
    for network, captures in networks.items():
        result = meter(captures, run_id=run_id, network=network, config=config)
        tables.append(result.table)
        reports.append(
            NetworkReport(network, result.packets, result.table.num_rows, result.rejects)
        )
    with replacing(out) as temporary:
        pq.write_table(pa.concat_tables(tables), temporary, compression="zstd")
    report = MeterReport(run_id=run_id, flows_file=out, networks=tuple(reports))
    write_json(
        out.with_suffix(".meter.json"),
        {
            "format": REPORT_FORMAT,
            "run_id": run_id,
            "flows_file": out.name,
            "config": asdict(config),
            "packets": report.packets,
            "flows": report.flows,
            "rejects": report.rejects,
            "networks": [asdict(network) for network in reports],
        },
    )
    return report
