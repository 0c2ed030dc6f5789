"""What tunnels carry: another activity, checked and drawn like those that go in the open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from pydantic import BaseModel

from launcher.activities import ActivityKind, ServiceKind, services
from launcher.plan import Endpoint, InsidePlan
from topologies import Activity, Topology
from topologies.document import Document, Location
from topologies.errors import Problem


def fits_inside(
    kind: ActivityKind[Any], service_kinds: Mapping[str, ServiceKind] | None = None
) -> bool:
    """Whether a tunnel carries this kind: over TCP, to one service, and no tunnel itself."""
    known = service_kinds or services()
    served = known.get(kind.service_kind or "")
    return served is not None and served.protocol == "tcp" and not kind.tunnels


def inside_problems(
    document: Document[Topology],
    kinds: Mapping[str, ActivityKind[Any]],
    service_kinds: Mapping[str, ServiceKind],
) -> Iterator[Problem]:
    """Faults in what the activities carry, apart from the parameters of what is inside."""
    for name, activity in document.model.activities.items():
        kind = kinds.get(activity.kind)
        if kind is None:
            continue
        place: Location = ("activities", name)
        if kind.tunnels != (activity.inside is not None):
            yield document.source.problem(
                (*place, "inside") if activity.inside else place,
                expected="inside: what the tunnel carries" if kind.tunnels else "no inside:",
                got="none" if kind.tunnels else f"one, and {kind.kind} is no tunnel",
                remedy="name a kind and its services" if kind.tunnels else "remove the key",
            )
        elif activity.inside is not None:
            yield from _unfit(document, (*place, "inside"), activity, kinds, service_kinds)


def _unfit(
    document: Document[Topology],
    place: Location,
    activity: Activity,
    kinds: Mapping[str, ActivityKind[Any]],
    service_kinds: Mapping[str, ServiceKind],
) -> Iterator[Problem]:
    if activity.inside is None:
        return
    fitting = sorted(name for name, kind in kinds.items() if fits_inside(kind, service_kinds))
    if activity.inside.kind not in fitting:
        yield document.source.problem(
            (*place, "kind"),
            expected=f"one of {', '.join(fitting)}",
            got=f"'{activity.inside.kind}'",
            remedy="a tunnel carries activities over TCP that talk to one service",
        )
        return
    wanted = kinds[activity.inside.kind].service_kind
    for index, service in enumerate(activity.inside.services):
        spoken = document.model.services[service].kind
        if spoken != wanted:
            yield document.source.problem(
                (*place, "services", index),
                expected=f"a service of kind '{wanted}'",
                got=f"'{service}', which is of kind '{spoken}'",
                remedy="name a service that speaks its protocol",
            )


def plan_inside(
    activity: Activity,
    kind: ActivityKind[Any] | None,
    params: BaseModel | None,
    endpoints: Mapping[str, Endpoint],
    seed: int,
) -> InsidePlan | None:
    """Draw what one session of a tunnel carries; None for what is no tunnel."""
    if activity.inside is None or kind is None or params is None:
        return None
    rng = Random(seed)
    variant, drawn = kind.draw(rng, params)
    peer = endpoints[rng.choice(activity.inside.services)]
    return InsidePlan(activity.inside.kind, variant, dict(drawn), (peer,), seed)
