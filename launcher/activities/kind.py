"""What an activity and a service are to the launcher: data, and a draw of session parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

Category = Literal[
    "web",
    "streaming",
    "file-transfer",
    "interactive",
    "infrastructure",
    "mail",
    "cryptomining",
    "attack",
]
Protocol = Literal["tcp", "udp", "any"]
Value = str | int | float | bool | None | list[str]
Drawn = tuple[str, dict[str, Value]]
"""A variant and the session's parameters: what its program gets, and what the journal keeps."""


class Params(BaseModel):
    """What a topology's author may set for a kind; everything has a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParams(Params):
    """Of a kind with nothing to set."""


ParamsT = TypeVar("ParamsT", bound=Params)


@dataclass(frozen=True, slots=True)
class ActivityKind(Generic[ParamsT]):
    """One kind of thing that users do.

    Attributes
    ----------
    program
        Name of the lab program whose client does it.
    service_kind
        Kind of service it talks to; None is any (a scan takes the whole host).
    variants
        Ways of doing it. None of them should make more than a quarter of the class.
    draw
        Draws a variant and the session's parameters. The same generator state draws the same.
    attack_technique, effect
        Of malicious kinds: the ATT&CK technique, and what the ``success`` of the program's last
        event, ``effect``, means.
    sends_frames
        Whether its program sends Ethernet frames itself (a packet socket), so that the kernel sees
        no flow of it and the evidence is the time it ran (`launcher.records.WindowRecord`).
    evidence_children
        Whether its program starts others, whose flows are the activity's too.
    """

    kind: str
    summary: str
    category: Category
    program: str
    service_kind: str | None
    variants: tuple[str, ...]
    params: type[ParamsT]
    draw: Callable[[Random, ParamsT], Drawn]
    malicious: bool = False
    attack_technique: str | None = None
    effect: str | None = None
    sends_frames: bool = False
    evidence_children: bool = False


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """One kind of server: its program, usual ports and what may be set."""

    kind: str
    summary: str
    program: str
    ports: tuple[int, ...]
    protocol: Protocol
    params: type[Params] = NoParams


def heavy(rng: Random, median: float, sigma: float, low: float, high: float) -> int:
    """A log-normal whole number, cut to [low, high]."""
    return int(min(max(rng.lognormvariate(math.log(median), sigma), low), high))


def chance(rng: Random, probability: float) -> bool:
    """True with this probability."""
    return rng.random() < probability


def around(rng: Random, median: float, sigma: float = 0.5) -> float:
    """A log-normal number, to three decimals."""
    return round(rng.lognormvariate(math.log(median), sigma), 3)


def pick(rng: Random, variants: Sequence[str]) -> str:
    """One of the variants, each as likely."""
    return rng.choice(list(variants))
