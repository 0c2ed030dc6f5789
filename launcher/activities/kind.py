"""What an activity and a service are to the launcher: data, and a draw of session parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

Category = Literal[
    "web",
    "streaming",
    "file-transfer",
    "interactive",
    "infrastructure",
    "mail",
    "messaging",
    "voip",
    "database",
    "iot",
    "games",
    "tunnel",
    "cryptomining",
    "attack",
    "injected",
]
Origin = Literal["real", "synthetic", "replayed"]
"""Whose traffic it is: of a real program, drawn from a profile, or taken from a capture."""
BackendName = Literal["netns", "docker"]
Protocol = Literal["tcp", "udp", "any"]
Value = str | int | float | bool | None | list[str]
Drawn = tuple[str, dict[str, Value]]
"""A variant and the session's parameters: what its program gets, and what the journal keeps."""


class Need(NamedTuple):
    """What a kind's programs use beyond Python and its standard library.

    One of ``command`` (found in the path), ``module`` (importable by the programs' Python) and
    ``file`` (that exists: a daemon's plug-in) or ``device`` is set; ``package`` is the Debian
    package that has it, which hosts of the Docker back end get.
    """

    package: str
    command: str = ""
    module: str = ""
    file: str = ""
    device: str = ""


class Shared(NamedTuple):
    """What a session and its service both know beforehand, too much for the journal.

    ``port`` None: the session may use any port of the service's host.
    """

    text: str
    protocol: Protocol
    port: int | None


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
    evidence_children
        Whether its program starts others, whose flows are the activity's too.
    wire
        tshark display filter, by variant or one for all, that some packet of each session
        matches: that the protocol is what the kind says. Empty: held by tests of its own.
    tunnels
        Whether it carries another activity, which a topology names with ``inside``.
    untracked
        Variants that send Ethernet frames themselves, so that the kernel sees no flow of them:
        their evidence is the time the session ran (`launcher.records.WindowRecord`).
    needs
        What its client uses.
    rules_network
        Whether its client makes interfaces, and so needs rights over its host's network.
    backends
        Where it runs.
    origin
        Whose traffic it is, which the labels of its flows say.
    shared
        What sessions share with their service, by the names that ``draw`` gives as ``shared``.
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
    evidence_children: bool = False
    wire: str | Mapping[str, str] = ""
    tunnels: bool = False
    untracked: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    rules_network: bool = False
    backends: tuple[BackendName, ...] = ("netns", "docker")
    origin: Origin = "real"
    shared: Callable[[ParamsT], Mapping[str, Shared]] | None = None

    def wire_filter(self, variant: str) -> str:
        """The tshark display filter of a variant."""
        return self.wire if isinstance(self.wire, str) else self.wire[variant]


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """One kind of server: its program, usual ports, what may be set and what it uses."""

    kind: str
    summary: str
    program: str
    ports: tuple[int, ...]
    protocol: Protocol
    params: type[Params] = NoParams
    needs: tuple[Need, ...] = ()
    rules_network: bool = False


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
