"""The documents do what they say: the miniature of docs/design.md is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.lab
@pytest.mark.slow
def test_the_miniature_of_the_design_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (topology,) = blocks("docs/design.md", "yaml")
    (program,) = blocks("docs/design.md", "python")
    (tmp_path / "tiny.yaml").write_text(topology)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/design.md", "exec"), {"__name__": "miniature"})  # noqa: S102
    said = capsys.readouterr().out
    assert "macro-F1" in said
    assert re.search(r"198\.18\.0\.\d+ -> 198\.18\.0\.\d+ (web|dns)", said)
