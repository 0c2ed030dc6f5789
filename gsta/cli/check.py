"""``gsta check`` and ``gsta schema``: is what I wrote right, and what may I write?"""

from __future__ import annotations

import json
from pathlib import Path

import click
import yaml

from gsta.experiments import plan_experiments
from gsta.order import load_spec
from gsta.spec import Spec
from launcher.compile import check_kinds, compile_run
from topologies import Topology, load_topology
from topologies.document import Document, read_source
from topologies.errors import InputError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--resolved", is_flag=True, help="Print it with every default written out.")
def check(file: Path, *, resolved: bool) -> None:
    """Check a spec or a topology FILE; every error at once."""
    values = read_source(file).values
    if isinstance(values, dict) and "networks" in values:
        topology = load_topology(file)
        if problems := check_kinds(topology):
            raise InputError(problems)
        document: dict[str, object] = topology.model.model_dump(mode="json")
        document["captures"] = list(topology.model.capture_points)
        done = f"{file}: a sound topology, {_size(topology, seed=1)}"
    else:
        order = load_spec(file)
        spec = order.spec.model
        document = spec.model_dump(mode="json") | {"register_as": spec.model_name}
        labs = "; ".join(
            f"{one.title}: {_size(one.topology, seed=one.seed)}"
            for one in plan_experiments(order, Path())
        )
        done = f"{file}: a sound spec; {labs}"
    if resolved:
        click.echo(yaml.safe_dump(document, sort_keys=False), nl=False)
    else:
        click.echo(done)


def _size(topology: Document[Topology], *, seed: int) -> str:
    plan = compile_run(topology, seed=seed)
    return (
        f"{len(plan.lab.nodes)} machines, {len(plan.services)} services and, at seed {seed}, "
        f"{len(plan.sessions)} sessions in {topology.model.duration_s:g} s"
    )


@click.command()
@click.argument("what", type=click.Choice(["spec", "topology"]), default="spec")
def schema(what: str) -> None:
    """Print the JSON schema of a spec or a topology, for editors."""
    model = Spec if what == "spec" else Topology
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"G-STA {what}",
        **model.model_json_schema(),
    }
    click.echo(json.dumps(document, indent=2))
