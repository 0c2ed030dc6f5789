"""``gsta audit`` on somebody else's flows, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from audit import all_checks
from audit.mapping import shipped
from audit.patch import read_patch
from gsta.cli import cli
from tests.audit.test_suggest import TOPOLOGY


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["audit", *map(str, arguments)])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 80)
    path = tmp_path_factory.mktemp("table") / "flows.csv"
    lines = [f"{x:.6f},{'xy'[k]}" for k, x in zip(label, rng.normal(size=80), strict=True)]
    path.write_text("\n".join(["a,kind", *lines]))
    return path


def test_a_table_that_fails_is_told_with_exit_code_4_and_written_where_asked(
    table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "audit.json"
    result = run("--flows", table, "--label-column", "kind", "--format", "json", "--out", out)
    assert result.exit_code == 4
    printed = {record["check"]: record for record in json.loads(result.stdout)}
    assert list(printed) == list(all_checks())
    assert (printed["C9"]["verdict"], printed["A1"]["verdict"]) == ("fail", "not_applicable")
    written = json.loads(out.read_text())
    assert written["notes"] == ["80 flows; 1 feature, 1 label"]
    assert written["released"] is False
    assert f"error: flows.csv is not released; {out} says why" in result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "give a DATASET, or --flows FILE"),
        (("dataset", "--flows", "x.csv"), "give a DATASET, or --flows FILE"),
        (("dataset", "--label-column", "x"), "a DATASET says itself what its columns are"),
        (("dataset", "--out", "audit.json"), "--out goes with --suggest"),
        (("--flows", "x.csv", "--suggest"), "nobody knows the topology"),
        (("dataset", "--accept", "A1"), "--accept CHECK and --because REASON go together"),
        (("--flows", "none.csv", "--mapping", "cic"), "expected a mapping file, or one of cic-ids"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_code_2(options: tuple[str, ...], says: str) -> None:
    result = run(*options)
    assert result.exit_code == 2
    assert says in result.stderr


def test_help_names_every_mapping() -> None:
    said = " ".join(run("--help").stdout.split())
    assert all(name in said for name in shipped())


def test_a_dataset_proposes_a_patch_on_stdout_or_in_a_file(new_dataset, tmp_path: Path) -> None:
    dataset = new_dataset()
    dataset.topology, dataset.drops = TOPOLOGY, 3
    folder, out = dataset.write(), tmp_path / "patch.yaml"
    shown = run(folder, "--suggest")
    assert shown.exit_code == 4
    written = run(folder, "--suggest", "--out", out)
    assert out.read_text() == shown.stdout
    assert f"edit it, then gsta build SPEC --patch {out}" in written.stderr
    patch = read_patch(out).model
    assert {change.at for change in patch.changes if change.check == "A1"} == {
        "phases[0].intensity",
        "phases[0].duration_s",
    }
