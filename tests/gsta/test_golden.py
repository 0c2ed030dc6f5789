"""A corpus of wrong specs and topologies with the exact words they are refused with."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gsta.cli import cli

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(GOLDEN.glob("*.yaml"))


def test_the_corpus_is_found() -> None:
    assert len(CASES) >= 20


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_a_wrong_document_is_refused_in_these_words(
    case: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(GOLDEN)
    result = CliRunner().invoke(cli, ["check", case.name])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == case.with_suffix(".txt").read_text(encoding="utf-8")
