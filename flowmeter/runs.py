"""Meters a run of the launcher, or any capture, into one file, flow by flow as they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from flowmeter.config import MeterConfig
from flowmeter.output.files import STANDARD_OUTPUT, FlowWriter, Format, open_writer
from flowmeter.output.metadata import described
from flowmeter.output.parquet import Compression
from flowmeter.sources import Source
from flowmeter.stream import FlowStream, flows
from flowmeter.table import flow_schema
from topologies.errors import InputError, Problem
from topologies.files import write_json

if TYPE_CHECKING:
    from flowmeter.output.export import Exporter

REPORT_FORMAT: Final = 2
BATCH_ROWS: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class NetworkReport:
    """One network's capture.

    Attributes
    ----------
    packets, flows
        Packet records read, flows written.
    rejects
        Packets in no flow, by reason.
    tails
        Files that break off within a packet, and how.
    """

    network: str
    packets: int
    flows: int
    rejects: dict[str, int]
    tails: dict[str, str]


@dataclass(frozen=True, slots=True)
class MeterReport:
    """What was written: the file (None: only exported), and per network what is in it."""

    run_id: str
    flows_file: Path | None
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


def meter_run(
    run_dir: Path,
    out: Path,
    *,
    config: MeterConfig | None = None,
    form: Format | None = None,
    compression: Compression = "lz4",
) -> MeterReport:
    """Meter the captures that a run's manifest names, one network after the other.

    Parameters
    ----------
    run_dir
        A run directory as the launcher leaves it.
    out
        The file to write; a report is written beside it, as ``NAME.meter.json``. ``-`` is standard
        output, without a report.
    form, compression
        As `flowmeter.output.files.open_writer` takes them.

    Raises
    ------
    NotFoundError
        No manifest, or a capture that it names is missing.
    InputError
        The manifest cannot be read as one, or the file's name tells no format.
    CaptureError
        A capture is broken.
    """
    from launcher.rundir import read_manifest  # its schema takes a while to load

    manifest = read_manifest(run_dir)
    networks: dict[str, list[Path]] = {}
    for record in manifest.captures:
        files = [run_dir / name for name in (record.file, *record.further) if name]
        networks.setdefault(record.network, []).extend(files)
    if networks and not any(networks.values()):
        raise InputError(
            Problem(
                str(run_dir),
                "",
                "a run with captures",
                "one whose packets were metered while it ran, and not kept",
                "use the flow table that was made then",
            )
        )
    return _meter(
        manifest.run_id, networks, out, config or MeterConfig(), form=form, compression=compression
    )


def meter_network(
    source: Source, out: Path, *, run_id: str, network: str, config: MeterConfig | None = None
) -> NetworkReport:
    """Meter one capture point of a run into a Parquet file, a part for `join_networks`."""
    config = config or MeterConfig()
    schema = described(flow_schema(config), run_id=run_id, networks=[network], config=config)
    with open_writer(out, schema, form="parquet") as writer:
        return _meter_one(source, [writer], run_id=run_id, network=network, config=config)


def join_networks(
    parts: Sequence[Path],
    reports: Sequence[NetworkReport],
    out: Path,
    *,
    run_id: str,
    config: MeterConfig | None = None,
) -> MeterReport:
    """Make the flow table of a run, as `meter_run` does, of what `meter_network` made."""
    import pyarrow.parquet as pq

    config = config or MeterConfig()
    networks = [report.network for report in reports]
    schema = described(flow_schema(config), run_id=run_id, networks=networks, config=config)
    with open_writer(out, schema) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for batch in file.iter_batches(BATCH_ROWS):
                    writer.write(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    report = MeterReport(run_id=run_id, flows_file=out, networks=tuple(reports))
    _write_report(report, out, config)
    return report


def meter_capture(
    source: Source,
    out: Path | None,
    *,
    config: MeterConfig | None = None,
    form: Format | None = None,
    compression: Compression = "lz4",
    export: str = "",
) -> MeterReport:
    """Meter captures of any origin, or an interface; writes and raises as `meter_run` does.

    Parameters
    ----------
    out
        None: no file.
    export
        A collector to send the flows to as well, see `flowmeter.output.export.open_exporter`.
    """
    return _meter(
        "", {"": source}, out, config or MeterConfig(),
        form=form, compression=compression, export=export,
    )  # fmt: skip


def _meter(
    run_id: str,
    networks: Mapping[str, Source],
    out: Path | None,
    config: MeterConfig,
    *,
    form: Format | None,
    compression: Compression,
    export: str = "",
) -> MeterReport:
    schema = described(flow_schema(config), run_id=run_id, networks=list(networks), config=config)
    reports = []
    with ExitStack() as stack:
        takers: list[FlowWriter | Exporter] = []
        if out is not None:
            opened = open_writer(out, schema, form=form, compression=compression)
            takers.append(stack.enter_context(opened))
        if export:
            from flowmeter.output.export import open_exporter  # takes a while to load

            takers.append(stack.enter_context(open_exporter(export, schema)))
        for network, source in networks.items():
            reports.append(
                _meter_one(source, takers, run_id=run_id, network=network, config=config)
            )
    report = MeterReport(run_id=run_id, flows_file=out, networks=tuple(reports))
    if out is not None and out != STANDARD_OUTPUT:
        _write_report(report, out, config)
    return report


def _meter_one(
    source: Source,
    takers: Sequence[FlowWriter | Exporter],
    *,
    run_id: str,
    network: str,
    config: MeterConfig,
) -> NetworkReport:
    with flows(source, run_id=run_id, network=network, config=config) as stream:
        rows = _passed_on(stream, takers)
    return NetworkReport(network, stream.packets, rows, stream.rejects, stream.tails)


def _passed_on(stream: FlowStream, takers: Sequence[FlowWriter | Exporter]) -> int:
    """Give every batch to all who take them; how many flows there were."""
    rows = 0
    for batch in stream:
        rows += batch.num_rows
        for taker in takers:
            taker.write(batch)
    return rows


def _write_report(report: MeterReport, out: Path, config: MeterConfig) -> None:
    write_json(
        out.with_suffix(".meter.json"),
        {
            "format": REPORT_FORMAT,
            "run_id": report.run_id,
            "flows_file": out.name,
            "config": asdict(config),
            "packets": report.packets,
            "flows": report.flows,
            "rejects": report.rejects,
            "networks": [asdict(network) for network in report.networks],
        },
    )
