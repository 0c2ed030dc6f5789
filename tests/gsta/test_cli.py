"""What the commands print, and with which exit code they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from gsta.cli import cli
from gsta.spec import Spec
from topologies import Topology

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_check_resolved_writes_out_every_default(tmp_path: Path) -> None:
    result = run("check", str(ROOT / "specs" / "quickstart.yaml"), "--resolved")
    assert result.exit_code == 0
    resolved = yaml.safe_load(result.stdout)
    assert resolved["search"]["folds"] == 3
    assert resolved["task"] == {
        "type": "multiclass", "target": "label", "positive": [], "unknown": None, "forecast": None
    }  # fmt: skip
    assert resolved["register_as"] == "quickstart"
    assert set(resolved) == set(Spec.model_fields)
    resolved["topology"] = "office"
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(resolved))
    assert yaml.safe_load(run("check", str(again), "--resolved").stdout) == resolved


def test_a_resolved_topology_says_where_it_captures() -> None:
    pair = ROOT / "topologies" / "library" / "pair.yaml"
    resolved = yaml.safe_load(run("check", str(pair), "--resolved").stdout)
    assert resolved["captures"] == ["lan"]
    assert Topology.model_validate(resolved)


@pytest.mark.parametrize(("what", "model"), [("spec", Spec), ("topology", Topology)])
def test_the_schema_is_a_json_schema_of_the_model(what: str, model: type[Spec]) -> None:
    document = json.loads(run("schema", what).stdout)
    assert document["$schema"].startswith("https://json-schema.org/")
    assert set(document["properties"]) == set(model.model_fields)


def test_doctor_names_every_check_and_a_remedy_for_what_does_not_work() -> None:
    result = run("doctor", "--format", "json")
    assert result.exit_code in {0, 3}
    findings = json.loads(result.stdout)
    assert {"python", "capture", "netns lab", "docker lab"} <= {f["what"] for f in findings}
    assert all(f["remedy"] for f in findings if f["works"] != "yes")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--ring", "3"], "--ring goes with --rotate-mb"),
        (["--flows", "x.parquet"], "--flows goes with --no-pcap"),
        (["--snaplen", "10"], "10 is not in the range 64<=x<=9216"),
        (["--time-scale", "0"], "0 is not in the range 0.01<=x<=1000"),
    ],
)
def test_options_of_a_run_that_do_not_go_together(options: list[str], says: str) -> None:
    result = run("lab", "run", "pair", *options)
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_dry_run_lists_the_sessions_and_touches_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run("lab", "run", "pair", "--dry-run", "--out", str(out))
    assert result.exit_code == 0
    assert "client/browsing/0" in result.stdout
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere.yaml"], "nowhere.yaml: expected a readable file"),
        (["lab", "run", "nowhere"], "the library has: branch, campus, "),
        (["meter", "nowhere.pcap"], "nowhere.pcap"),
        (["tag", "nowhere", "flows.parquet"], "nowhere"),
        (["audit", "nowhere"], "nowhere: expected a dataset"),
        (["dataset", "show", "nowhere"], "nowhere: expected a dataset"),
        (["models", "show", "nobody@champion"], "nobody"),
        (["analyse", "--model", "nobody@champion", "x.pcap"], "nobody"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_name_is_one_clear_error_with_exit_code_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_debug_shows_the_traceback() -> None:
    result = run("--debug", "check", "nowhere.yaml")
    assert result.exception is not None
    assert result.exit_code == 1


def test_a_dry_run_over_several_machines_says_what_goes_where(tmp_path: Path) -> None:
    engines = tmp_path / "engines.yaml"
    engines.write_text(
        "engines: {near: {underlay: 10.0.0.1, networks: [servers]}, far: {underlay: 10.0.0.2}}\n"
    )
    result = run("lab", "run", "office", "--engines", str(engines), "--dry-run")
    assert result.exit_code == 0
    near, far, *cables = result.stderr.splitlines()
    assert near.startswith("engine near: servers, ")
    assert far.startswith("engine far: ")
    assert "long cable: core to servers" in cables


def test_flows_are_not_metered_on_several_machines(tmp_path: Path) -> None:
    result = run("lab", "run", "office", "--engines", str(tmp_path / "x.yaml"), "--no-pcap")
    assert result.exit_code == 2
    assert "--no-pcap meters on this machine" in result.stderr
