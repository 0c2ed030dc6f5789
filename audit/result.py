"""What a check is, and what it says: one record per check, the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from audit.changes import Change
from audit.data import AuditData
from audit.needs import Need, missing
from topologies.document import read_source, validate
from topologies.errors import InputError
from topologies.schema import Model

EMPTY: Final[Mapping[str, float]] = MappingProxyType({})
THRESHOLDS: Final = Path(__file__).parent / "thresholds.yaml"

Severity: TypeAlias = Literal["B", "W", "I"]
Verdict: TypeAlias = Literal["pass", "fail", "info", "not_applicable"]


class Threshold(Model):
    """What a check allows and how much its failure weighs."""

    severity: Severity
    limit: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    also: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default_factory=dict, description="further limits of this check, by name"
    )
    allow: dict[str, str] = Field(
        default_factory=dict, description="features that may fail, each with the reason why"
    )
    why: str = Field("", description="why severity or limit are not the final ones")


class Thresholds(Model):
    """The thresholds file."""

    checks: dict[str, Threshold]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check measured; ``value`` is None where there was nothing to measure.

    ``culprits`` are what it fails by, such as classes, each with its own value.
    """

    verdict: Verdict
    value: float | None
    evidence: tuple[str, ...]
    culprits: Mapping[str, float] = field(default_factory=dict)


class CheckResult(BaseModel):
    """One check's record in `audit.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    severity: Severity
    title: str
    value: float | None
    threshold: float
    verdict: Verdict
    evidence: tuple[str, ...]
    remedy: str
    culprits: dict[str, float] = Field(
        {}, description="what it fails by, such as classes, each with its own value"
    )
    changes: tuple[Change, ...] = Field(
        (), description="of a failure: what to change in topology and spec"
    )
    no_change: str = Field("", description="of a failure: why no change is proposed")
    allowed: dict[str, str] = Field(
        {}, description="features that it does not judge, by name, with the reasons why"
    )
    accepted: str | None = Field(None, description="why a failure is lived with, in words")

    @property
    def blocks(self) -> bool:
        """Whether this failure keeps the dataset from being released."""
        return self.verdict == "fail" and self.severity == "B" and self.accepted is None


@dataclass(frozen=True, slots=True)
class Check:
    """One check: called with a dataset and the thresholds, it gives its result."""

    id: str
    title: str
    remedy: str
    measure: Callable[[AuditData, Threshold], Finding]
    needs: tuple[Need, ...] = ()

    def __call__(self, data: AuditData, thresholds: Mapping[str, Threshold]) -> CheckResult:
        """Measure and judge."""
        threshold = thresholds[self.id]
        lacking = missing(data, self.needs)
        finding = nothing_to_measure(lacking) if lacking else self.measure(data, threshold)
        return CheckResult(
            id=self.id,
            severity=threshold.severity,
            title=self.title,
            value=finding.value,
            threshold=threshold.limit,
            verdict=finding.verdict,
            evidence=finding.evidence,
            remedy=self.remedy,
            culprits=dict(finding.culprits) if finding.verdict == "fail" else {},
            allowed=threshold.allow,
        )


def check(
    id: str,  # noqa: A002 - what the checks' page calls it
    title: str,
    *,
    remedy: str,
    needs: tuple[Need, ...] = (),
) -> Callable[[Callable[[AuditData, Threshold], Finding]], Check]:
    """Make a function that measures a table against its threshold the check ``id``.

    It is called only where the table has what it needs.
    """
    return lambda measure: Check(id, title, remedy, measure, needs)


def at_most(
    value: float, limit: float, *evidence: str, culprits: Mapping[str, float] = EMPTY
) -> Finding:
    """A finding that fails above the limit; of ``culprits`` those that do are kept."""
    failing = {name: one for name, one in culprits.items() if one > limit}
    return Finding("pass" if value <= limit else "fail", value, evidence, failing)


def at_least(
    value: float, limit: float, *evidence: str, culprits: Mapping[str, float] = EMPTY
) -> Finding:
    """A finding that fails below the limit; of ``culprits`` those that do are kept."""
    failing = {name: one for name, one in culprits.items() if one < limit}
    return Finding("pass" if value >= limit else "fail", value, evidence, failing)


def nothing_to_measure(why: str) -> Finding:
    """A finding for a dataset that lacks what the check is about."""
    return Finding("not_applicable", None, (why,))


def load_thresholds(path: Path, *, known: Mapping[str, Check]) -> Mapping[str, Threshold]:
    """Read a thresholds file, which names every check and no other.

    Raises
    ------
    InputError
        The file has faults, names an unknown check or leaves one out.
    """
    document = validate(read_source(path), Thresholds)
    named = document.model.checks
    problems = [
        document.source.problem(
            ("checks", id_),
            expected=f"one of the checks {', '.join(known)}",
            got=f"'{id_}'",
            remedy="remove it",
        )
        for id_ in named
        if id_ not in known
    ]
    problems += [
        document.source.problem(
            ("checks",), expected=f"a threshold for {id_}", got="none", remedy=f"add {id_}"
        )
        for id_ in known
        if id_ not in named
    ]
    if problems:
        raise InputError(problems)
    return named
