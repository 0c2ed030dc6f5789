"""``gsta inject``: profiles of synthetic sessions, shipped and learned."""

from __future__ import annotations

from pathlib import Path

import click
import yaml

from gsta.cli.common import format_option, next_step, print_records, reporter
from launcher.injection import Profile, learn, load_profile, profiles, read_conversations
from topologies.document import parse_yaml, validate
from topologies.files import write_text

STDOUT = Path("-")
COLUMNS = ("name", "transport", "port", "messages", "description")


@click.group()
def inject() -> None:
    """Synthetic sessions: the profiles that ship, and learning more from captures."""


@inject.command("list")
@format_option
def list_profiles(*, output_format: str) -> None:
    """List the profiles that ship with the package."""
    records = [_facts(load_profile(name)) for name in profiles()]
    print_records(records, output_format, columns=COLUMNS)


def _facts(profile: Profile) -> dict[str, object]:
    return {
        "name": profile.name,
        "transport": profile.transport,
        "port": profile.port,
        "messages": f"{profile.messages[0]:g}-{profile.messages[-1]:g}",
        "description": profile.description,
    }


@inject.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the profile NAME, a file or one that ships: a start for your own."""
    click.echo(as_yaml(load_profile(name)), nl=False)


@inject.command("learn")
@click.argument("capture", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What the profile is called.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Server port; default is the busiest.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=STDOUT,
    show_default=True,
    help="File to write; - is stdout.",
)
def learn_profile(capture: Path, *, name: str, port: int | None, out: Path) -> None:
    """Learn a profile from the sessions in CAPTURE: sizes, directions and times, no contents."""
    with reporter().stage("learn"):
        reading = read_conversations(capture)
        found = learn(name, reading.conversations, source=str(capture), port=port)
    for reason, count in reading.left_out.items():
        reporter().say(f"{count} packets left out: {reason}")
    reporter().say(f"{found.description} with {found.transport} port {found.port}")
    text = as_yaml(found)
    validate(parse_yaml(text, file=str(out)), Profile)
    if out == STDOUT:
        click.echo(text, nl=False)
        return
    write_text(out, text)
    click.echo(out)
    next_step(f"kind: inject, params: {{profiles: [{out}]}} and a service of kind sink")


def as_yaml(profile: Profile) -> str:
    """A profile as people write it."""
    values = profile.model_dump(mode="json")
    return yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=100)
