"""Runs every check on a dataset, writes what they say, and decides on the release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from audit.card import write_card
from audit.checks import all_checks
from audit.data import AuditData
from audit.dataset import load_dataset
from audit.foreign import ForeignTable, load_foreign
from audit.result import THRESHOLDS, Check, CheckResult, load_thresholds
from audit.suggest import advised
from tagger.summary import SUMMARY
from topologies.errors import GateError, InputError, Problem
from topologies.files import sha256_file, write_json

AUDIT: Final = "audit.json"
SHORTCUTS: Final = ("D2", "D3")
"""Checks of which some features may be excused by name."""

Progress = Callable[[str, float, float], None]


class AuditReport(BaseModel):
    """The contents of `audit.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["gsta-audit"] = "gsta-audit"
    format_version: Literal[1] = 1
    dataset: str
    dataset_sha256: str = Field(
        description="of dataset.json, which holds the other digests; of a foreign table, of the "
        "digests of its files, one a line"
    )
    released: bool = Field(description="no blocking check failed without being accepted")
    checks: tuple[CheckResult, ...]
    files: dict[str, str] = Field({}, description="SHA-256 of the card's files")
    notes: tuple[str, ...] = Field((), description="how a foreign table was read")

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
    allow: Mapping[str, str] | None = None,
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
    allow
        Features that may give a class away (D2, D3) besides those of the thresholds, each with the
        reason why: ``FEATURE``, ``CLASS/FEATURE`` or ``CLASS/GROUP``.
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
    judge = _Judge(accept, thresholds, progress, allow=allow)
    data = load_dataset(dataset_dir)
    results = judge(data)
    released = not any(result.blocks for result in results)
    report = AuditReport(
        dataset=data.name,
        dataset_sha256=sha256_file(dataset_dir / SUMMARY),
        released=released,
        checks=results,
        files=write_card(dataset_dir, data, results, released=released),
    )
    write_json(dataset_dir / AUDIT, report.model_dump(mode="json"))  # last: it seals the card
    return report


def audit_table(
    source: ForeignTable,
    *,
    accept: Mapping[str, str] | None = None,
    thresholds: Path | None = None,
    progress: Progress | None = None,
) -> AuditReport:
    """Audit flows that somebody else made and labelled; writes nothing.

    Checks that need to know how the flows were made say that they do not apply.

    Raises
    ------
    NotFoundError, InputError
        As `load_foreign`; a check to accept does not exist or has no reason; the thresholds have
        faults.
    """
    judge = _Judge(accept, thresholds, progress)
    if progress is not None:
        progress("reading", 0, len(judge.checks))
    foreign = load_foreign(source)
    results = judge(foreign.data)
    digests = [sha256_file(path) for path in source.files]
    return AuditReport(
        dataset=foreign.data.name,
        dataset_sha256=sha256("\n".join(digests).encode()).hexdigest(),
        released=not any(result.blocks for result in results),
        checks=results,
        notes=foreign.notes,
    )


class _Judge:
    """Every check with its threshold, and the failures that are lived with."""

    def __init__(
        self,
        accept: Mapping[str, str] | None,
        thresholds: Path | None,
        progress: Progress | None,
        *,
        allow: Mapping[str, str] | None = None,
    ) -> None:
        self.checks = all_checks()
        self._reasons = dict(accept or {})
        _check_reasons(self._reasons, self.checks)
        self._limits = dict(load_thresholds(thresholds or THRESHOLDS, known=self.checks))
        for id_ in SHORTCUTS:
            limit = self._limits[id_]
            self._limits[id_] = limit.model_copy(update={"allow": limit.allow | dict(allow or {})})
        self._progress = progress

    def __call__(self, data: AuditData) -> tuple[CheckResult, ...]:
        """Measure and judge."""
        results = []
        for done, (id_, one) in enumerate(self.checks.items()):
            if self._progress is not None:
                self._progress(f"check {id_}", done, len(self.checks))
            result = one(data, self._limits)
            if result.verdict == "fail" and id_ in self._reasons:
                result = result.model_copy(update={"accepted": self._reasons[id_]})
            results.append(result)
        return advised(data, results)


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
