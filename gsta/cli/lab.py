"""``gsta lab``: run an experiment, see what runs, remove what was left."""

from __future__ import annotations

from pathlib import Path

import click

from gsta.cli.common import (
    format_option,
    next_step,
    print_records,
    reporter,
)
from gsta.cli.topology import graph
from gsta.labs import BACKENDS, run_lab, run_summary, shortened
from gsta.workspace import Workspace
from launcher import labs
from launcher.compile import check_kinds, compile_run
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
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@backend_option
def run(
    topology: str,
    *,
    seed: int,
    seconds: float | None,
    out: Path | None,
    dry_run: bool,
    backend: str,
) -> None:
    """Run TOPOLOGY (a file or a library name) once; keep captures, journal and evidence."""
    document = load_topology(topology)
    if problems := check_kinds(document):
        raise InputError(problems)
    if seconds is not None:
        document = shortened(document, seconds)
    if dry_run:
        _describe(document, seed)
        return
    out = out or Workspace.default().new_run(document.model.name)
    with reporter().stage("lab") as progress:
        run_lab(document, seed=seed, out=out, backend=backend, progress=progress)
    reporter().say(run_summary(out))
    click.echo(out)
    next_step(f"gsta meter {out}")


def _describe(document: Document[Topology], seed: int) -> None:
    plan = compile_run(document, seed=seed)
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
def wipe(*, force: bool) -> None:
    """Remove every container, network, namespace, interface and process of dead labs."""
    report = labs.wipe(force=force)
    reporter().say(report.summary())


lab.add_command(graph)
