"""Runs every check on a dataset, writes what they say, and decides on the release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from audit.card import write_card
from audit.checks import all_checks
from audit.data import AuditData
from audit.result import THRESHOLDS, Check, CheckResult, load_thresholds
from tagger.summary import SUMMARY
from topologies.errors import GateError, InputError, Problem
from topologies.files import sha256_file, write_json

AUDIT: Final = "audit.json"

Progress = Callable[[str, float, float], None]


class AuditReport(BaseModel):
    """The contents of `audit.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gsta-audit"] = "gsta-audit"
    format_version: Literal[1] = 1
    dataset: str
    dataset_sha256: str = Field(description="of dataset.json, which holds the other digests")
    released: bool = Field(description="no blocking check failed without being accepted")
    checks: tuple[CheckResult, ...]
    files: dict[str, str] = Field({}, description="SHA-256 of the card's files")

    @property
    def blocking(self) -> tuple[CheckResult, ...]:
        """The failures that keep the dataset from being released."""
        return tuple(result for result in self.checks if result.blocks)

    def summary(self) -> str:
        """The outcome in a line, and a line for each failure."""
        counts = Counter(result.verdict for result in self.checks)
        said = ", ".join(
            f"{count} {verdict.replace('_', ' ')}" for verdict, count in counts.items()
        )
        head = f"audit: {'released' if self.released else 'NOT released'} ({said})"
        return "\n".join([head, *(_line(r) for r in self.checks if r.verdict == "fail")])

    def require_released(self) -> None:
        """Raise `GateError`, with the remedies, unless the dataset is released."""
        if not self.released:
            raise GateError(
                "the audit does not release the dataset:\n"
                + "\n".join(_line(result) for result in self.blocking)
            )


def audit_dataset(
    dataset_dir: Path,
    *,
    accept: Mapping[str, str] | None = None,
    thresholds: Path | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit a dataset; writes `audit.json` and the card into it.

    Parameters
    ----------
    dataset_dir
        A dataset directory.
    accept
        Checks whose failure is lived with, each with the reason why, which the card shows.
    thresholds
        Another thresholds file; it names every check.
    progress
        Called before each check.

    Raises
    ------
    NotFoundError, InputError
        It is no dataset or a damaged one; a check to accept does not exist or has no reason; the
        thresholds have faults.
    """
    checks = all_checks()
    reasons = dict(accept or {})
    _check_reasons(reasons, checks)
    limits = load_thresholds(thresholds or THRESHOLDS, known=checks)
    data = AuditData.load(dataset_dir)
    results = []
    for done, (id_, one) in enumerate(checks.items()):
        if progress is not None:
            progress(f"check {id_}", done, len(checks))
        result = one(data, limits)
        if result.verdict == "fail" and id_ in reasons:
            result = result.model_copy(update={"accepted": reasons[id_]})
        results.append(result)
    released = not any(result.blocks for result in results)
    report = AuditReport(
        dataset=data.summary.name,
        dataset_sha256=sha256_file(dataset_dir / SUMMARY),
        released=released,
        checks=tuple(results),
        files=write_card(dataset_dir, data, results, released=released),
    )
    write_json(dataset_dir / AUDIT, report.model_dump(mode="json"))  # last: it seals the card
    return report


def _check_reasons(reasons: Mapping[str, str], checks: Mapping[str, Check]) -> None:
    problems = []
    for id_, reason in reasons.items():
        if id_ not in checks:
            known = ", ".join(checks)
            problems.append(
                Problem(id_, "accept", f"one of the checks {known}", f"'{id_}'", "correct the id")
            )
        elif not reason.strip():
            problems.append(
                Problem(id_, "accept", "a reason in words", "none", "say why it may fail")
            )
    if problems:
        raise InputError(problems)


def _line(result: CheckResult) -> str:
    first = f": {result.evidence[0]}" if result.evidence else ""
    value = "" if result.value is None else f" {result.value:.4g} against {result.threshold:g}"
    end = f"accepted: {result.accepted}" if result.accepted else result.remedy
    return f"{result.id} ({result.severity}) {result.title}{value}{first}; {end}"
