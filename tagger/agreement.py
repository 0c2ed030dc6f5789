"""How often the rules were right, as the kernel's evidence tells: shares with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

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
    activity: str = Field(description="the activity that the rules took it for")
    owner: str = Field(description="the activity or service that the kernel says opened it")
    reason: str


class LabelQuality(BaseModel):
    """Label accuracy of one run or of several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    note: str = Field(description="where the evidence is from, or why there is none")
    overall: Agreement = Agreement()
    classes: dict[str, Agreement] = Field(default_factory=dict, description="by the rules' label")
    undecided: int = Field(0, description="unlabelled or ambiguous flows whose owner is known")
    unseen: int = Field(0, description="flows that the kernel's evidence does not name")
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
        disagreements=tuple(d for part in parts for d in part.disagreements)[:listed],
    )


def _of(classes: Mapping[str, Agreement], name: str) -> Agreement:
    return classes.get(name, Agreement())


def _sum(parts: Iterable[Agreement]) -> Agreement:
    kept = tuple(parts)
    return Agreement(
        checked=sum(part.checked for part in kept), agreed=sum(part.agreed for part in kept)
    )
