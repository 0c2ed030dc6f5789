"""``gsta meter``: packets to flows, from captures, a run or a live interface."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import pyarrow as pa

from flowmeter.config import MeterConfig
from flowmeter.output.files import FORMATS, STANDARD_OUTPUT, Format
from flowmeter.output.parquet import COMPRESSIONS, Compression
from flowmeter.parallel import RayRunner, SerialRunner, flows_name, meter_many
from flowmeter.runs import MeterReport, NetworkReport, meter_capture, meter_run
from flowmeter.table import flow_schema
from gsta.cli.common import next_step, print_records, reporter

if TYPE_CHECKING:
    from flowmeter.live import Interface

Function = TypeVar("Function", bound=Callable[..., Any])
SECONDS: Final = click.FloatRange(min=0, min_open=True)


def settings(function: Function) -> Function:
    """The options that become a `MeterConfig`, by their names there; None: not chosen."""
    for option in reversed(
        (
            click.option(
                "--features",
                type=click.Choice(("basic", "tstat", "full", "netflow")),
                help="Feature set; default is full.",
            ),
            click.option(
                "--sequence",
                type=click.IntRange(1, 255),
                help="First packets that the sequences tell of; default is 20.",
            ),
            click.option(
                "--tunnels",
                type=click.Choice(("outer", "inner")),
                help="Whose flow a tunnelled packet is: the tunnel's (default), or that inside.",
            ),
            click.option(
                "--semantics",
                type=click.Choice(("gsta", "tstat")),
                help="When flows begin and end; tstat is for comparison.",
            ),
            click.option("--tcp-idle", "tcp_idle_s", type=SECONDS, help="Idle timeout; 300 s."),
            click.option("--udp-idle", "udp_idle_s", type=SECONDS, help="Idle timeout; 60 s."),
            click.option("--active", "active_s", type=SECONDS, help="Active timeout; 1800 s."),
            click.option(
                "--recent",
                "recent_s",
                type=SECONDS,
                help="Add what hosts did in this many seconds before each flow.",
            ),
            click.option("--threads", type=click.IntRange(1), help="Cores to use; default is 1."),
        )
    ):
        function = option(function)
    return function


@click.command()
@click.argument("sources", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--out",
    help="File to write, - for stdout, or a folder: a file for each capture. Default is one file "
    "beside the source.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default is by the file's name.")
@click.option("--compression", type=click.Choice(COMPRESSIONS), default="lz4", show_default=True)
@settings
@click.option("--keep-corrupt", is_flag=True, help="Keep what precedes the damage in a capture.")
@click.option("--live", metavar="IFACE", help="Meter an interface until Ctrl-C.")
@click.option("--seconds", type=SECONDS, help="End --live after this time.")
@click.option("--export", metavar="URL", help="Send flows to netflow9:// or ipfix://HOST:PORT.")
@click.option("--parallel", is_flag=True, help="Meter captures at once, by Ray; --out is a folder.")
@click.option("--ray-address", help="Ray cluster for --parallel; default is this machine.")
@click.option("--list-features", is_flag=True, help="Show the columns of the chosen set, and stop.")
def meter(
    sources: tuple[Path, ...],
    *,
    out: str | None,
    form: Format | None,
    compression: Compression,
    keep_corrupt: bool,
    live: str | None,
    seconds: float | None,
    export: str | None,
    parallel: bool,
    ray_address: str | None,
    list_features: bool,
    **chosen: Any,
) -> None:
    """Turn packets into a table of flows.

    SOURCES are a run directory, or captures (- is stdin). Several captures are of one point in the
    network and go into one file, merged by time, unless --out is a folder.
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    config = MeterConfig(**given, corrupt="keep" if keep_corrupt else "error")
    if list_features:
        _list_features(config, form)
        return
    _check_usage(sources, live=live, seconds=seconds, parallel=parallel, ray_address=ray_address)
    if export:
        from flowmeter.output.export import check_url  # takes a while to load

        check_url(export)
    if parallel or (out is not None and (out.endswith("/") or Path(out).is_dir())):
        if out is None or live or export:
            raise click.UsageError(
                "a folder takes captures: give --out DIR, no --live, no --export"
            )
        runner = RayRunner(address=ray_address) if parallel else SerialRunner()
        with reporter().stage("meter"):
            reports = meter_many(
                sources, Path(out), config=config, form=form or "parquet",
                compression=compression, runner=runner,
            )  # fmt: skip
        _tell_each(sources, reports, out)
        return
    target = _target(sources, out, form, needed=not export)
    is_run = len(sources) == 1 and sources[0].is_dir()
    if is_run and (export or target is None):
        raise click.UsageError("--export takes captures, not a run")
    how: dict[str, Any] = {"config": config, "form": form, "compression": compression}
    with reporter().stage("meter"):
        if is_run and target is not None:
            report = meter_run(sources[0], target, **how)
        elif live:
            from flowmeter.live import Interface

            began = f"metering {live}" + ("" if seconds else "; Ctrl-C ends it")
            interface = Interface(live, seconds=seconds, started=lambda: reporter().say(began))
            with _stopping(interface):
                report = meter_capture(interface, target, export=export or "", **how)
        else:
            report = meter_capture(sources, target, export=export or "", **how)
    if live:
        _tell_losses(interface)
    _tell(report)
    if is_run:
        next_step(f"gsta tag {sources[0]} {target} --out dataset")


def _check_usage(
    sources: Sequence[Path],
    *,
    live: str | None,
    seconds: float | None,
    parallel: bool,
    ray_address: str | None,
) -> None:
    if bool(live) == bool(sources):
        raise click.UsageError("give captures, a run directory, or --live IFACE")
    if seconds and not live:
        raise click.UsageError("--seconds goes with --live")
    if ray_address and not parallel:
        raise click.UsageError("--ray-address goes with --parallel")


def _target(
    sources: Sequence[Path], out: str | None, form: Format | None, *, needed: bool
) -> Path | None:
    """The file to write; None if none is wanted."""
    if out is not None:
        return Path(out)
    if not needed:
        return None
    if not sources or sources[0] == Path("-"):
        raise click.UsageError("say where the flows go: --out FILE, --out - or --export URL")
    return sources[0].with_name(flows_name(sources[0], form or "parquet"))


def _tell_losses(interface: Interface) -> None:
    seen = interface.counters
    reporter().say(
        f"{seen.captured} packets captured on {interface.name}; dropped: {seen.dropped_by_kernel} "
        f"by the kernel, {seen.dropped_by_interface} by the interface"
    )


@contextmanager
def _stopping(interface: Interface) -> Iterator[None]:
    """The first Ctrl-C ends the capture in good order, a second one everything."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(*_: object) -> None:
        interface.stop()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        restore()


def _tell_each(sources: Sequence[Path], reports: Sequence[MeterReport], folder: str) -> None:
    _print(
        [
            (source.name, network)
            for source, report in zip(sources, reports, strict=True)
            for network in report.networks
        ],
        "capture",
    )
    reporter().say(f"flows in {folder}")


def _tell(report: MeterReport) -> None:
    """What came out: on stdout, unless the flows did."""
    if report.flows_file == STANDARD_OUTPUT:
        rejected = sum(report.rejects.values())
        reporter().say(f"{report.packets} packets, {report.flows} flows, {rejected} rejected")
        return
    _print([(network.network, network) for network in report.networks], "network")
    if report.flows_file:
        reporter().say(f"flows in {report.flows_file}")


def _print(rows: Sequence[tuple[str, NetworkReport]], what: str) -> None:
    print_records(
        [
            {
                what: name,
                "packets": network.packets,
                "flows": network.flows,
                "rejected": sum(network.rejects.values()),
            }
            for name, network in rows
        ],
        "table",
        columns=(what, "packets", "flows", "rejected"),
    )
    for name, network in rows:
        for file, tail in network.tails.items():
            reporter().say(f"{name or file}: {tail.replace('_', ' ')}: {file}")


def _list_features(config: MeterConfig, form: Format | None) -> None:
    columns = ("name", "type", "unit", "group", "role", "definition")
    print_records(
        [
            {"name": field.name, "type": _type_name(field.type)}
            | {key.decode(): value.decode() for key, value in field.metadata.items()}
            for field in flow_schema(config)
        ],
        form if form in ("csv", "jsonl") else "table",
        columns=columns,
    )


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(kind):
        return f"{kind.value_type}[{kind.list_size}]"
    return str(kind)
