"""``gsta build`` with a patch that does not fit: told before anything is run."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gsta.cli import cli

PATCH = """\
format: gsta-patch
version: 1
changes:
- {document: spec, name: mine, at: search.trials, old: 12, new: 5, check: C1, because: so}
- {document: topology, name: pair, at: "phases[0].duration_s", old: 99, new: 20, check: C1,
   because: so}
"""


def test_a_patch_for_another_state_of_the_topology_is_an_error_with_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GSTA_HOME", str(tmp_path / "home"))
    (tmp_path / "spec.yaml").write_text("{name: mine, topology: pair}")
    patch = tmp_path / "patch.yaml"
    patch.write_text(PATCH)
    result = CliRunner().invoke(cli, ["build", str(tmp_path / "spec.yaml"), "--patch", str(patch)])
    assert result.exit_code == 2, result.output
    assert f"{patch}:5: changes[1].old: expected what stands at phases[0].duration_s" in (
        result.stderr
    )
    assert list((tmp_path / "home" / "builds").iterdir()) == []
