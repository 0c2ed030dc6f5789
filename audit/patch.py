"""A patch: a YAML file with changes to a topology and a spec, for people to read and edit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import Field

from audit.changes import Change, combined
from audit.report import AuditReport
from topologies.document import Document, read_source, validate
from topologies.files import write_text
from topologies.model import Model

HEAD: Final = """\
# What an audit proposes. Each change replaces `old`, which stands at `at`, by `new`; edit or delete
# what you do not want. Choices are yours to decide: move one to `changes` to take it.
#   gsta build SPEC --patch THIS-FILE
"""


class Patch(Model):
    """The contents of a patch file."""

    format: Literal["gsta-patch"] = "gsta-patch"
    version: Literal[1] = 1
    dataset: str = Field("", description="that was audited")
    changes: tuple[Change, ...] = Field((), description="to put in")
    choices: tuple[Change, ...] = Field((), description="to move to changes, if they are wanted")
    unchanged: dict[str, str] = Field(
        default_factory=dict, description="failed checks that no change is proposed for, and why"
    )

    def text(self) -> str:
        """The file's text."""
        values: dict[str, Any] = self.model_dump(mode="json")
        for name in ("changes", "choices"):
            for one in values[name]:
                del one["decide"]  # which of the two it is under says that
        return HEAD + yaml_text(values)


def yaml_text(values: object) -> str:
    """Plain values as YAML, for people."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Writes lists of plain values in one line, as people do."""

    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        plain = not any(isinstance(item, dict | list) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=plain or flow_style)


def patch_of(report: AuditReport, *, blocking_only: bool = False) -> Patch:
    """The patch that an audit proposes, checks that block first; accepted failures propose nothing.

    ``blocking_only``: of the checks that keep the dataset from being released alone.
    """
    failed = [r for r in report.checks if r.verdict == "fail" and r.accepted is None]
    failed.sort(key=lambda result: not result.blocks)
    chosen = [result for result in failed if result.blocks or not blocking_only]
    every = [change for result in chosen for change in result.changes]
    return Patch(
        dataset=report.dataset,
        changes=combined(change for change in every if not change.decide),
        choices=combined(change for change in every if change.decide),
        unchanged={result.id: result.no_change for result in chosen if result.no_change},
    )


def write_patch(path: Path, patch: Patch) -> None:
    """Write a patch, whole or not at all."""
    write_text(path, patch.text())


def read_patch(path: Path) -> Document[Patch]:
    """Read a patch; raises `NotFoundError` or `InputError` with every fault."""
    return validate(read_source(path), Patch)


def told(changes: Iterable[Change]) -> list[str]:
    """Changes in words, a line each."""
    return [f"{change.document} {change} ({change.check}: {change.because})" for change in changes]
