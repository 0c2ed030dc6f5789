"""From a topology and a seed to everything that will happen: a pure function.

The same topology and seed give the same plan, to the last parameter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from random import Random
from typing import Any, Final

from pydantic import BaseModel

from launcher import routing, sharing
from launcher.activities import ActivityKind, ServiceKind, Shared, catalogue, services
from launcher.activities.kind import Need
from launcher.addressing import lab_plan
from launcher.drafts import Draft, Drafts
from launcher.endpoints import port_clashes, service_endpoints
from launcher.inside import inside_problems, plan_inside
from launcher.plan import Endpoint, InsidePlan, LabPlan, RunPlan, ServicePlan, SessionPlan
from launcher.seeds import FIRST_OWNER, derive_seed
from topologies import Activity, Topology
from topologies.document import Document, Location, validate_part
from topologies.errors import InputError, Problem
from topologies.schema import Service

MAX_SESSIONS: Final = 50_000


def check_kinds(document: Document[Topology]) -> tuple[Problem, ...]:
    """Every fault in the kinds and parameters that a topology names."""
    return _Checked(document).problems


def compile_run(document: Document[Topology], *, seed: int) -> RunPlan:
    """Work out the lab, its services and every session.

    Raises
    ------
    InputError
        A kind or a parameter is unknown or wrong; all faults are listed.
    """
    checked = _Checked(document)
    if checked.problems:
        raise InputError(checked.problems)
    topology = document.model
    lab = lab_plan(topology)
    needs = _needs(topology, checked, lab)
    lab = replace(lab, needs=needs, seed=derive_seed(seed, "impairments"))
    endpoints = service_endpoints(topology, lab)
    serving = tuple(
        ServicePlan(
            id=f"s{number:02d}",
            name=name,
            kind=service.kind,
            host=service.host,
            endpoint=endpoints[name],
            params=checked.service_params[name].model_dump(mode="json"),
            seed=derive_seed(seed, "service", name),
            owner=FIRST_OWNER + number,
            shared=checked.sharing.of_service(name),
        )
        for number, (name, service) in enumerate(topology.services.items(), start=1)
    )
    daemons = routing.daemons(lab, first_number=len(serving) + 1, first_owner=FIRST_OWNER)
    planned_services = (*serving, *daemons)
    drafts = Drafts(topology, checked.kinds, checked.activity_params, seed)
    sessions = sorted(drafts.all(), key=lambda draft: draft.start_s)
    if len(sessions) > MAX_SESSIONS:
        raise InputError(_too_many(document, len(sessions)))
    first = FIRST_OWNER + len(planned_services) + 1

    return RunPlan(
        lab,
        planned_services,
        tuple(
            _session(
                draft,
                number,
                first + number,
                _targets(draft, endpoints),
                _inside(draft, checked, endpoints),
                shared=checked.sharing.of_session(draft.name, draft.params),
            )
            for number, draft in enumerate(sessions)
        ),
    )


def _inside(draft: Draft, checked: _Checked, endpoints: dict[str, Endpoint]) -> InsidePlan | None:
    carried = draft.activity.inside
    kind = checked.kinds[carried.kind] if carried else None
    params = checked.inside_params.get(draft.name)
    return plan_inside(draft.activity, kind, params, endpoints, derive_seed(draft.seed, "inside"))


def _needs(topology: Topology, checked: _Checked, lab: LabPlan) -> tuple[Need, ...]:
    kinds: list[ServiceKind | ActivityKind[Any]] = [
        *(checked.service_kinds[service.kind] for service in topology.services.values()),
        *(checked.kinds[activity.kind] for activity in topology.activities.values()),
        *(checked.kinds[a.inside.kind] for a in topology.activities.values() if a.inside),
    ]
    daemons = {routing.NEED} if any(node.routing for node in lab.nodes) else set()
    return tuple(sorted(daemons | {need for kind in kinds for need in kind.needs}))


class _Checked:
    """A topology's kinds and parameters, looked up and validated."""

    def __init__(self, document: Document[Topology]) -> None:
        self._document = document
        self._problems: list[Problem] = []
        self.kinds = catalogue()
        self.service_kinds = services()
        self.service_params: dict[str, BaseModel] = {}
        self.activity_params: dict[str, BaseModel] = {}
        self.inside_params: dict[str, BaseModel] = {}
        for name, service in document.model.services.items():
            self._service(name, service)
        for name, activity in document.model.activities.items():
            self._activity(name, activity)
        self._problems += inside_problems(document, self.kinds, self.service_kinds)
        self._problems += port_clashes(document)
        self.sharing = sharing.Sharing(document, self.kinds, self.activity_params)
        self._problems += self.sharing.problems()
        self.problems = tuple(self._problems)

    def _service(self, name: str, service: Service) -> None:
        kind = self.service_kinds.get(service.kind)
        if kind is None:
            self._unknown(("services", name, "kind"), "service", service.kind, self.service_kinds)
            return
        if service.port is not None and len(kind.ports) > 1:
            self._problem(
                ("services", name, "port"),
                expected=f"no port: {service.kind} listens on {', '.join(map(str, kind.ports))}",
                got=str(service.port),
                remedy="remove the key",
            )
        self._params(("services", name, "params"), kind.params, service.params, self.service_params)

    def _activity(self, name: str, activity: Activity) -> None:
        kind = self.kinds.get(activity.kind)
        if kind is None:
            self._unknown(("activities", name, "kind"), "activity", activity.kind, self.kinds)
            return
        for index, service in enumerate(activity.services):
            spoken = self._document.model.services[service].kind
            if kind.service_kind not in {None, spoken}:
                self._problem(
                    ("activities", name, "services", index),
                    expected=f"a service of kind '{kind.service_kind}'",
                    got=f"'{service}', which is of kind '{spoken}'",
                    remedy="name a service that speaks its protocol",
                )
        self._params(
            ("activities", name, "params"), kind.params, activity.params, self.activity_params
        )
        inner = self.kinds.get(activity.inside.kind) if activity.inside else None
        if activity.inside and inner:
            where = ("activities", name, "inside", "params")
            self._params(where, inner.params, activity.inside.params, self.inside_params)

    def _params(
        self,
        location: Location,
        model: type[BaseModel],
        values: dict[str, object],
        into: dict[str, BaseModel],
    ) -> None:
        outcome = validate_part(self._document.source, location, model, values)
        if isinstance(outcome, tuple):
            self._problems.extend(outcome)
        else:
            into[str(location[1])] = outcome

    def _unknown(self, location: Location, what: str, got: str, known: Iterable[str]) -> None:
        alike = " or ".join(f"'{name}'" for name in get_close_matches(got, sorted(known)))
        self._problem(
            location,
            expected=f"a kind of {what}",
            got=f"'{got}'",
            remedy=f"{f'did you mean {alike}? ' if alike else ''}gsta activity list has all",
        )

    def _problem(self, location: Location, *, expected: str, got: str, remedy: str) -> None:
        source = self._document.source
        self._problems.append(source.problem(location, expected=expected, got=got, remedy=remedy))


def _targets(draft: Draft, endpoints: dict[str, Endpoint]) -> tuple[Endpoint, ...]:
    chosen = Random(derive_seed(draft.seed, "service")).choice(draft.activity.services)
    target = endpoints[chosen]
    if draft.kind.service_kind is not None:
        return (target,)
    # A scan is told the address, and the ports that really listen there to judge its own success.
    open_ports: dict[str, list[int]] = defaultdict(list)
    for endpoint in endpoints.values():
        if endpoint.protocol != "udp":
            open_ports[endpoint.address] += endpoint.ports
    ports = tuple(sorted(open_ports[target.address]))
    return (Endpoint(target.service, target.kind, target.host, target.address, None, ports, "any"),)


def _session(
    draft: Draft,
    number: int,
    owner: int,
    peers: tuple[Endpoint, ...],
    inside: InsidePlan | None,
    *,
    shared: Shared | None,
) -> SessionPlan:
    activity = draft.activity
    peers = tuple(sharing.target(peer, shared) for peer in peers)
    return SessionPlan(
        id=f"a{number:05d}",
        name=draft.name,
        kind=activity.kind,
        variant=draft.variant,
        params=dict(draft.params),
        user=draft.user,
        host=draft.host,
        peers=peers,
        start_s=draft.start_s,
        duration_s=activity.session_s,
        think_time=activity.think_time.model_dump(mode="json"),
        seed=draft.seed,
        owner=owner,
        inside=inside,
        phase=draft.phase,
        shared=shared.text if shared else "",
    )


def _too_many(document: Document[Topology], count: int) -> Problem:
    return document.source.problem(
        ("activities",),
        expected=f"at most {MAX_SESSIONS} sessions in a run",
        got=str(count),
        remedy="fewer users, longer arrival gaps or shorter phases",
    )
