"""``gsta lab``: run an experiment, see what runs, remove what was left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from flowmeter.parallel import flows_name
from gsta.cli.common import (
    format_option,
    next_step,
    print_records,
    reporter,
)
from gsta.cli.topology import graph
from gsta.labs import BACKENDS, run_lab, run_summary, shortened, wired_backend
from gsta.workspace import Workspace
from launcher import labs
from launcher.capture import HEADERS_BYTES, SNAPLEN_BYTES, CaptureOptions
from launcher.compile import check_kinds, compile_run
from launcher.run import RunOptions
from launcher.scaleout.engines import Engines, load_engines
from topologies import Topology, load_topology
from topologies.document import Document
from topologies.errors import InputError


def sweep() -> None:
    """Remove what dead launchers left; every command about labs begins with it."""
    report = labs.wipe()
    if report.labs:
        reporter().say(f"removed what {len(report.labs)} interrupted lab(s) had left")


backend_option = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default="auto",
    show_default=True,
    help="What hosts are made of; auto is docker where an engine answers, else netns.",
)


Function = TypeVar("Function", bound=Callable[..., Any])


def run_options(function: Function) -> Function:
    """The options of `as_run_options`."""
    for option in reversed(
        (
            click.option(
                "--snaplen",
                type=click.IntRange(64, SNAPLEN_BYTES),
                default=SNAPLEN_BYTES,
                help=f"Bytes kept of each packet; default is all, {HEADERS_BYTES} has the headers.",
            ),
            click.option(
                "--rotate-mb",
                type=click.IntRange(0),
                default=0,
                help="Begin a new capture file after so many million bytes.",
            ),
            click.option(
                "--rotate-s",
                type=click.IntRange(0),
                default=0,
                help="Begin a new capture file after so many seconds.",
            ),
            click.option(
                "--ring",
                type=click.IntRange(0),
                default=0,
                help="With --rotate-mb: keep the last so many files only.",
            ),
            click.option(
                "--time-scale",
                type=click.FloatRange(0.01, 1_000),
                default=1.0,
                show_default=True,
                help="Divide pauses and phases by this; what is drawn from the seed stays.",
            ),
        )
    ):
        function = option(function)
    return function


def as_run_options(
    *, snaplen: int, rotate_mb: int, rotate_s: int, ring: int, time_scale: float
) -> RunOptions:
    """How to run an experiment, as the command line says it."""
    if ring and not rotate_mb:
        raise click.UsageError("--ring goes with --rotate-mb")
    capture = CaptureOptions(snaplen, rotate_mb, rotate_s, ring)
    return RunOptions(capture=capture, time_scale=time_scale)


@click.group()
def lab() -> None:
    """Labs: run an experiment, see what runs, remove leftovers."""


@lab.command()
@click.argument("topology")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(1, 86_400), help="Scale all phases to this length."
)
@click.option("--out", type=click.Path(path_type=Path), help="Run directory to make.")
@click.option(
    "--no-pcap",
    is_flag=True,
    help="Meter the packets while they come, and keep the flows alone, beside the run.",
)
@click.option(
    "--flows", type=click.Path(path_type=Path), help="Where --no-pcap puts the flow table."
)
@click.option(
    "--engines",
    "engines_file",
    type=click.Path(path_type=Path),
    help="File that names the machines to run it on, instead of this one (docs/scale.md).",
)
@run_options
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@backend_option
def run(
    topology: str,
    *,
    seed: int,
    seconds: float | None,
    out: Path | None,
    no_pcap: bool,
    flows: Path | None,
    engines_file: Path | None,
    dry_run: bool,
    backend: str,
    **chosen: Any,
) -> None:
    """Run TOPOLOGY (a file or a library name) once; keep captures, journal and evidence."""
    if flows is not None and not no_pcap:
        raise click.UsageError("--flows goes with --no-pcap; gsta meter makes flows of captures")
    if engines_file is not None and no_pcap:
        raise click.UsageError("--no-pcap meters on this machine: leave it, or --engines, out")
    options = as_run_options(**chosen)
    document = load_topology(topology)
    if problems := check_kinds(document):
        raise InputError(problems)
    if seconds is not None:
        document = shortened(document, seconds)
    engines = load_engines(engines_file, document.model.networks) if engines_file else None
    if dry_run:
        _describe(document, seed, engines)
        return
    out = out or Workspace.default().new_run(document.model.name)
    if no_pcap:
        flows = flows or out.with_name(flows_name(out))
    with reporter().stage("lab") as progress:
        run_lab(
            document,
            seed=seed,
            out=out,
            backend=backend,
            progress=progress,
            options=options,
            flows=flows,
            engines=engines,
        )
    reporter().say(run_summary(out))
    click.echo(out)
    next_step(f"gsta tag {out} {flows} --out dataset" if flows else f"gsta meter {out}")


def _describe(document: Document[Topology], seed: int, engines: Document[Engines] | None) -> None:
    plan = compile_run(document, seed=seed)
    if engines is not None:
        from launcher.scaleout.backend import placed

        placement = placed(plan.lab, engines)
        for engine in placement.engines:
            there = [name for name, where in placement.networks.items() if where == engine]
            reporter().say(f"engine {engine}: {', '.join(there) or 'no network'}")
        for network, node in placement.long_cables(plan.lab):
            reporter().say(f"long cable: {node} to {network}")
    print_records(
        [
            {"start_s": f"{s.start_s:.2f}", "user": s.user, "kind": s.kind, "variant": s.variant}
            for s in plan.sessions
        ],
        "table",
        columns=("start_s", "user", "kind", "variant"),
    )


@lab.command()
@format_option
def status(*, output_format: str) -> None:
    """List labs that are running now."""
    records = [
        {"lab": item.id, "backend": item.backend, "pid": item.pid, "run": str(item.run_dir)}
        for item in labs.live_labs()
    ]
    print_records(records, output_format, columns=("lab", "backend", "pid", "run"))


@lab.command()
@click.option("--force", is_flag=True, help="Also end labs that are running.")
@click.option("--lab", "only", help="Only the lab of this id.")
def wipe(*, force: bool, only: str | None) -> None:
    """Remove every container, network, namespace, interface and process of dead labs."""
    report = labs.wipe(force=force, only=only)
    reporter().say(report.summary())


@lab.command()
def node() -> None:
    """Make a part of a lab over several machines; 'gsta lab run --engines' starts it there.

    It is asked on its standard input, answers on its standard output, and removes its part when the
    input ends.
    """
    from launcher.scaleout.agent import serve

    serve(wired_backend)


lab.add_command(graph)
