"""What the launcher tells its programs, and how it reads what they say back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from launcher import routing
from launcher.activities import catalogue, services
from launcher.backend import Command
from launcher.plan import ServicePlan, SessionPlan
from launcher.records import ActivityRecord, ServiceRecord


def service_log(service: ServicePlan | ServiceRecord) -> str:
    """Log file name of a service, below its host's folder."""
    return f"service-{service.name}.log"


def session_log(session: SessionPlan | ActivityRecord) -> str:
    """Log file name of a session, below its host's folder."""
    return f"{session.id}-{session.kind}.log"


def service_command(service: ServicePlan) -> Command:
    """The program that serves."""
    arguments = {
        "seed": service.seed,
        "host": service.host,
        "address": service.endpoint.address,
        "ports": service.endpoint.ports,
        "params": service.params,
        "shared": {name: item._asdict() for name, item in service.shared.items()},
    }
    kind = services().get(service.kind)
    return Command(
        program=kind.program if kind else routing.PROGRAM,
        arguments=("server", json.dumps(arguments)),
        owner=service.owner,
        log=service_log(service),
        rules_network=kind.rules_network if kind else True,
    )


def session_command(session: SessionPlan) -> Command:
    """The program that plays one session of a user."""
    arguments: dict[str, object] = {
        "seed": session.seed,
        "params": session.params,
        "peers": [asdict(peer) for peer in session.peers],
        "think_time": session.think_time,
        "duration_s": session.duration_s,
    }
    if session.shared:
        arguments["shared"] = session.shared
    if session.inside is not None:
        inside = session.inside
        arguments["inside"] = {
            "program": catalogue()[inside.kind].program,
            "seed": inside.seed,
            "params": inside.params,
            "peers": [asdict(peer) for peer in inside.peers],
        }
    return Command(
        program=catalogue()[session.kind].program,
        arguments=("client", json.dumps(arguments)),
        owner=session.owner,
        log=session_log(session),
        rules_network=catalogue()[session.kind].rules_network,
    )


def read_events(path: Path, *, words: Sequence[str] = ()) -> Iterator[dict[str, object]]:
    """JSON objects of an application log; other lines (a traceback, say) are left to people.

    With ``words`` only lines that have one of them are looked at, which saves most of the time.
    """
    try:
        stream = path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            if words and not any(word in line for word in words):
                continue
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event
