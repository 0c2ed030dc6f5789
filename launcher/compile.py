"""From a topology and a seed to everything that will happen: a pure function.

The same topology and seed give the same plan, to the last parameter.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, Final

from pydantic import BaseModel

from launcher import routing
from launcher.activities import ActivityKind, ServiceKind, catalogue, services
from launcher.addressing import lab_plan
from launcher.plan import Endpoint, LabPlan, RunPlan, ServicePlan, SessionPlan
from launcher.schedule import session_starts
from topologies import Activity, Topology
from topologies.document import Document, Location, validate_part
from topologies.errors import InputError, Problem
from topologies.schema import Service

FIRST_OWNER: Final = 10_000
"""First group id given to a program; below are those of the system."""
MAX_SESSIONS: Final = 50_000


def derive_seed(seed: int, *names: object) -> int:
    """A seed of its own for one thing of an experiment (63 bits)."""
    text = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


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
    endpoints = _endpoints(topology, lab)
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
        )
        for number, (name, service) in enumerate(topology.services.items(), start=1)
    )
    daemons = routing.daemons(lab, first_number=len(serving) + 1, first_owner=FIRST_OWNER)
    planned_services = (*serving, *daemons)
    sessions = sorted(_sessions(topology, checked, seed), key=lambda draft: draft.start_s)
    if len(sessions) > MAX_SESSIONS:
        raise InputError(_too_many(document, len(sessions)))
    first = FIRST_OWNER + len(planned_services) + 1
    return RunPlan(
        lab,
        planned_services,
        tuple(
            _session(draft, number, first + number, _targets(draft, endpoints))
            for number, draft in enumerate(sessions)
        ),
    )


class _Draft(BaseModel, frozen=True, arbitrary_types_allowed=True):
    """A session before the sessions of all users are put in order."""

    name: str
    activity: Activity
    kind: ActivityKind[Any]
    user: str
    host: str
    start_s: float
    seed: int
    variant: str
    params: dict[str, object]


class _Checked:
    """A topology's kinds and parameters, looked up and validated."""

    def __init__(self, document: Document[Topology]) -> None:
        self._document = document
        self._problems: list[Problem] = []
        self.kinds = catalogue()
        self.service_kinds = services()
        self.service_params: dict[str, BaseModel] = {}
        self.activity_params: dict[str, BaseModel] = {}
        for name, service in document.model.services.items():
            self._service(name, service)
        for name, activity in document.model.activities.items():
            self._activity(name, activity)
        self._problems += _port_clashes(document)
        self.problems = tuple(self._problems)

    def _service(self, name: str, service: Service) -> None:
        kind = self.service_kinds.get(service.kind)
        if kind is None:
            self._unknown(("services", name, "kind"), service.kind, self.service_kinds)
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
            self._unknown(("activities", name, "kind"), activity.kind, self.kinds)
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

    def _unknown(self, location: Location, got: str, known: Iterable[str]) -> None:
        self._problem(
            location,
            expected=f"one of {', '.join(sorted(known))}",
            got=f"'{got}'",
            remedy="choose a kind of the catalogue",
        )

    def _problem(self, location: Location, *, expected: str, got: str, remedy: str) -> None:
        source = self._document.source
        self._problems.append(source.problem(location, expected=expected, got=got, remedy=remedy))


def service_ports(service: Service, kind: ServiceKind) -> tuple[int, ...]:
    """Ports a service listens on."""
    return kind.ports if service.port is None else (service.port,)


def _port_clashes(document: Document[Topology]) -> Iterator[Problem]:
    taken: dict[tuple[str, int], str] = {}
    known = services()
    for name, service in document.model.services.items():
        kind = known.get(service.kind)
        for port in service_ports(service, kind) if kind else ():
            other = taken.setdefault((service.host, port), name)
            if other != name:
                yield document.source.problem(
                    ("services", name),
                    expected=f"a port of its own on host '{service.host}'",
                    got=f"port {port}, which '{other}' has",
                    remedy="move it to another host or set port:",
                )


def _endpoints(topology: Topology, lab: LabPlan) -> dict[str, Endpoint]:
    known = services()
    found = {}
    for name, service in topology.services.items():
        kind = known[service.kind]
        ports = service_ports(service, kind)
        address = str(lab.node(service.host).address_of(topology.listens_on(name)))
        found[name] = Endpoint(
            name, service.kind, service.host, address, ports[0], ports, kind.protocol
        )
    return found


def _sessions(topology: Topology, checked: _Checked, seed: int) -> Iterator[_Draft]:
    for name, activity in topology.activities.items():
        kind = checked.kinds[activity.kind]
        hosts = [member for group in activity.hosts for member in topology.members(group)]
        for host in hosts:
            for index in range(activity.users):
                user = f"{host}/{name}/{index}"
                rng = Random(derive_seed(seed, "arrivals", user))
                starts = session_starts(activity.arrival, topology.phases, rng)
                for number, start_s in enumerate(starts):
                    session_seed = derive_seed(seed, "session", user, number)
                    variant, params = kind.draw(Random(session_seed), checked.activity_params[name])
                    yield _Draft(
                        name=name,
                        activity=activity,
                        kind=kind,
                        user=user,
                        host=host,
                        start_s=start_s,
                        seed=session_seed,
                        variant=variant,
                        params=params,
                    )


def _targets(draft: _Draft, endpoints: dict[str, Endpoint]) -> tuple[Endpoint, ...]:
    chosen = Random(derive_seed(draft.seed, "service")).choice(draft.activity.services)
    target = endpoints[chosen]
    if draft.kind.service_kind is not None:
        return (target,)
    # A scan is told the host, and the ports that really listen there to judge its own success.
    open_ports: dict[str, list[int]] = defaultdict(list)
    for endpoint in endpoints.values():
        if endpoint.protocol != "udp":
            open_ports[endpoint.host] += endpoint.ports
    ports = tuple(sorted(open_ports[target.host]))
    return (Endpoint(target.service, target.kind, target.host, target.address, None, ports, "any"),)


def _session(draft: _Draft, number: int, owner: int, peers: tuple[Endpoint, ...]) -> SessionPlan:
    activity = draft.activity
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
    )


def _too_many(document: Document[Topology], count: int) -> Problem:
    return document.source.problem(
        ("activities",),
        expected=f"at most {MAX_SESSIONS} sessions in a run",
        got=str(count),
        remedy="fewer users, longer arrival gaps or shorter phases",
    )
