"""``gsta topology`` and ``gsta lab graph`` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gsta.cli import cli
from topologies import library


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_the_library_is_listed_smallest_first() -> None:
    records = json.loads(run("topology", "list", "--format", "json").stdout)
    assert {record["name"] for record in records} == set(library())
    sizes = [record["hosts"] for record in records]
    assert sizes == sorted(sizes)
    assert (records[0]["name"], records[0]["routers"]) == ("pair", 0)


def test_a_shown_topology_is_a_start_for_ones_own(tmp_path: Path) -> None:
    shown = run("topology", "show", "campus")
    own = tmp_path / "own.yaml"
    own.write_text(shown.stdout)
    assert run("check", str(own)).exit_code == 0
    assert run("topology", "show", str(own)).stdout == shown.stdout
    assert run("topology", "show", "nowhere").exit_code == 2


def test_what_is_generated_is_the_same_on_stdout_and_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "thirty.yaml"
    arguments = ("topology", "generate", "--hosts", "30", "--seed", "7")
    done = run(*arguments, "--out", str(file))
    assert (done.exit_code, done.stdout) == (0, f"{file}\n")
    assert run(*arguments).stdout == file.read_text()
    assert run("check", str(file)).exit_code == 0
    assert run("topology", "generate", "--hosts", "501").exit_code == 2


def test_a_graph_is_drawn_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("lab", "graph", "office")
    assert (done.exit_code, done.stdout) == (0, "office.svg\n")
    picture = (tmp_path / "office.svg").read_text()
    assert picture.startswith("<svg ")
    assert run("lab", "graph", "office", "--out", "-").stdout == picture
    assert run("lab", "graph", "nowhere").exit_code == 2


def test_the_packages_of_a_topology_are_told() -> None:
    assert run("topology", "packages", "pair").stdout == ""
    assert run("topology", "packages", "branch").stdout == ""
    office = run("topology", "packages", "office").stdout.split()
    assert {"smbclient", "slapd", "nmap"} <= set(office)
    assert "bird2" in run("topology", "packages", "internet-mini").stdout.split()
    assert run("topology", "packages", "nowhere").exit_code == 2
