"""The README's topology is sound, and the commands it names exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from gsta.cli import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_topology_of_the_readme_is_sound(tmp_path: Path) -> None:
    topology, phases = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "topology.yaml"
    file.write_text(topology + phases)
    result = CliRunner().invoke(cli, ["check", str(file)])
    assert result.exit_code == 0, result.output
    assert "a sound topology" in result.stdout


COMMANDS = sorted(set(re.findall(r"^gsta ((?:lab )?[a-z]+)", README, re.MULTILINE)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_exists(command: str) -> None:
    result = CliRunner().invoke(cli, [*command.split(), "--help"])
    assert result.exit_code == 0, result.output


def test_commands_are_found_in_the_readme() -> None:
    assert {"doctor", "check", "lab run", "build", "analyse"} <= set(COMMANDS)


def _all_commands(group: click.Group, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found.append((*prefix, name))
        if isinstance(command, click.Group):
            found += _all_commands(command, (*prefix, name))
    return found


@pytest.mark.parametrize("command", _all_commands(cli), ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*command, "--help"])
    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()[2].strip()) > 10
