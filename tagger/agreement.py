"""How often the rules were right, as the kernel's evidence tells: shares with their uncertainty."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

Z_95 = 1.959963984540054


class Agreement(BaseModel):
    """Of the labels that could be checked, how many were right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    checked: int = Field(0, ge=0)
    agreed: int = Field(0, ge=0)

    @property
    def share(self) -> float | None:
        """Agreed over checked; None when none was checked."""
        return self.agreed / self.checked if self.checked else None

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the share."""
        return wilson(self.agreed, self.checked)


class Disagreement(BaseModel):
    """A flow that the rules and the kernel explain differently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow_id: str
    label: str
    oracle: str
    activity: str | None = Field(description="what the rules took it for; null is the network")
    owner: str = Field(description="the activity or service that the kernel says opened it")
    reason: str


class Coverage(BaseModel):
    """How many flows the evidence knows, and whether it counted what was captured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flows: int = Field(0, ge=0, description="that programs made")
    known: int = Field(0, ge=0, description="of them, those that the evidence gives an owner")
    by_window: int = Field(0, ge=0, description="of those, by when and where it ran alone")
    unseen: dict[str, int] = Field(default_factory=dict, description="the rest, by protocol")
    compared: int = Field(0, ge=0, description="flows whose end has the kernel's counters")
    equal: int = Field(0, ge=0, description="of them, those captured with as many packets")

    @property
    def share(self) -> float | None:
        """Known over all; None when there are none."""
        return self.known / self.flows if self.flows else None


class LabelQuality(BaseModel):
    """Label accuracy of one run or of several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    note: str = Field(description="where the evidence is from, or why there is none")
    overall: Agreement = Agreement()
    classes: dict[str, Agreement] = Field(default_factory=dict, description="by the rules' label")
    undecided: int = Field(0, description="unlabelled or ambiguous flows whose owner is known")
    unseen: int = Field(0, description="flows that the kernel's evidence does not name")
    coverage: Coverage | None = Field(None, description="null without evidence")
    disagreements: tuple[Disagreement, ...] = Field((), description="the first of them")


def wilson(agreed: int, checked: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson score interval of a share; (0, 1) when nothing was checked.

    Source: E. B. Wilson, JASA 22 (1927) 209-212.

    >>> [round(bound, 4) for bound in wilson(990, 1000)]
    [0.9817, 0.9946]
    """
    if checked == 0:
        return 0.0, 1.0
    share, zz = agreed / checked, z * z / checked
    centre = (share + zz / 2) / (1 + zz)
    half = z * math.sqrt(share * (1 - share) / checked + zz / (4 * checked)) / (1 + zz)
    return max(0.0, centre - half), min(1.0, centre + half)


def combined(qualities: Iterable[LabelQuality], *, listed: int) -> LabelQuality:
    """The label quality of several runs together, with the first ``listed`` disagreements."""
    parts = tuple(qualities)
    names = sorted({name for part in parts for name in part.classes})
    return LabelQuality(
        note="; ".join(dict.fromkeys(part.note for part in parts)),
        overall=_sum(part.overall for part in parts),
        classes={name: _sum(_of(part.classes, name) for part in parts) for name in names},
        undecided=sum(part.undecided for part in parts),
        unseen=sum(part.unseen for part in parts),
        coverage=_whole([part.coverage for part in parts if part.coverage is not None]),
        disagreements=tuple(d for part in parts for d in part.disagreements)[:listed],
    )


def _whole(parts: Sequence[Coverage]) -> Coverage | None:
    if not parts:
        return None
    unseen: Counter[str] = Counter()
    for part in parts:
        unseen.update(part.unseen)
    return Coverage(
        flows=sum(part.flows for part in parts),
        known=sum(part.known for part in parts),
        by_window=sum(part.by_window for part in parts),
        unseen=dict(sorted(unseen.items())),
        compared=sum(part.compared for part in parts),
        equal=sum(part.equal for part in parts),
    )


def _of(classes: Mapping[str, Agreement], name: str) -> Agreement:
    return classes.get(name, Agreement())


def _sum(parts: Iterable[Agreement]) -> Agreement:
    kept = tuple(parts)
    return Agreement(
        checked=sum(part.checked for part in kept), agreed=sum(part.agreed for part in kept)
    )
