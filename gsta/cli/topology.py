"""``gsta topology`` and ``gsta lab graph``: the library, generated topologies, pictures."""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from gsta.cli.common import format_option, next_step, print_records
from launcher.addressing import lab_plan
from launcher.compile import compile_run
from launcher.containerlab import to_containerlab
from launcher.needs import packages
from topologies import Topology, library, load_topology
from topologies.drawing import draw
from topologies.files import write_text
from topologies.generator import LEAST_HOSTS, MOST_HOSTS, generate
from topologies.loader import LIBRARY

STDOUT = Path("-")
COLUMNS = ("name", "hosts", "routers", "networks", "kinds", "description")


@click.group()
def topology() -> None:
    """Topologies: the library, and generated ones of any size."""


@topology.command("list")
@format_option
def list_topologies(*, output_format: str) -> None:
    """List the topologies that ship with the package, smallest first."""
    records = [_facts(load_topology(name).model) for name in library()]
    records.sort(key=lambda record: (record["hosts"], record["name"]))
    print_records(records, output_format, columns=COLUMNS)


def _facts(found: Topology) -> dict[str, object]:
    return {
        "name": found.name,
        "hosts": sum(host.count for host in found.hosts.values()),
        "routers": len(found.routers),
        "networks": len(found.networks),
        "kinds": len({activity.kind for activity in found.activities.values()}),
        "description": found.description,
    }


@topology.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the topology NAME of the library as it was written: a start for your own."""
    load_topology(name)
    file = LIBRARY / f"{name}.yaml" if name in library() else Path(name)
    click.echo(file.read_text(encoding="utf-8"), nl=False)


@topology.command("packages")
@click.argument("name", metavar="TOPOLOGY")
def list_packages(name: str) -> None:
    """Print the Debian packages that TOPOLOGY uses on hosts of namespaces.

    For example: apt-get install --no-install-recommends $(gsta topology packages campus)
    """
    needs = compile_run(load_topology(name), seed=1).lab.needs
    # Python's modules come with pip, for the Python that runs the launcher.
    for package in packages(need for need in needs if not need.module):
        click.echo(package)


@topology.command("generate")
@click.option(
    "--hosts", type=click.IntRange(LEAST_HOSTS, MOST_HOSTS), required=True, help="Of both kinds."
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=STDOUT,
    show_default=True,
    help="File to write; - is stdout.",
)
def generate_topology(*, hosts: int, seed: int, out: Path) -> None:
    """Make a plausible topology with access networks, homes, servers and what users do."""
    text = generate(hosts, seed)
    if out == STDOUT:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    click.echo(out)
    next_step(f"gsta lab graph {out}")


@topology.command("export")
@click.argument("name", metavar="TOPOLOGY")
@click.option("--to", type=click.Choice(["containerlab"]), required=True, help="What reads it.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=STDOUT,
    show_default=True,
    help="File to write; - is stdout.",
)
def export(name: str, *, to: str, out: Path) -> None:  # noqa: ARG001 - there is one so far
    """Export the networks and machines of TOPOLOGY for another tool; what happens there is its own.

    Hosts have the images of the docker back end: run the topology there once to have them built.
    """
    document = load_topology(name)
    text = yaml.safe_dump(to_containerlab(document, lab_plan(document.model)), sort_keys=False)
    if out == STDOUT:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    click.echo(out)
    next_step(f"containerlab deploy --topo {out}")


@click.command()
@click.argument("name", metavar="TOPOLOGY")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="SVG file to write  [default: TOPOLOGY's name with .svg; - is stdout]",
)
def graph(name: str, *, out: Path | None) -> None:
    """Draw TOPOLOGY (a file or a library name) as an SVG picture."""
    found = load_topology(name).model
    picture = draw(found)
    out = out or Path(f"{found.name}.svg")
    if out == STDOUT:
        click.echo(picture, nl=False)
        return
    write_text(out, picture)
    click.echo(out)
    next_step(f"gsta lab run {name}")
