"""What sessions share with the services they talk to: profiles, captures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import BaseModel

from launcher.activities import ActivityKind, Shared
from launcher.plan import Endpoint
from topologies import Topology
from topologies.document import Document
from topologies.errors import Problem

MOST_BYTES: Final = 100_000
"""Programs get it on their command line, where Linux takes 128 KiB."""


class Sharing:
    """Of a topology whose kinds and parameters are known to be right."""

    def __init__(
        self,
        document: Document[Topology],
        kinds: Mapping[str, ActivityKind[Any]],
        params: Mapping[str, BaseModel],
    ) -> None:
        self._document = document
        self._of = {
            name: dict(kinds[activity.kind].shared(params[name]))  # type: ignore[misc]
            for name, activity in document.model.activities.items()
            if name in params and kinds[activity.kind].shared is not None
        }

    def of_service(self, service: str) -> dict[str, Shared]:
        """All that a service may be asked for."""
        activities = self._document.model.activities
        return {
            key: item
            for name, items in self._of.items()
            if service in activities[name].services
            for key, item in items.items()
        }

    def of_session(self, name: str, drawn: Mapping[str, Any]) -> Shared | None:
        """What a session of an activity got, by what it drew."""
        return self._of[name][str(drawn["shared"])] if name in self._of else None

    def problems(self) -> Iterator[Problem]:
        """Services that would have to know too much."""
        for service in self._document.model.services:
            size = sum(len(item.text) for item in self.of_service(service).values())
            if size > MOST_BYTES:
                yield self._document.source.problem(
                    ("services", service),
                    expected=f"profiles and captures of at most {MOST_BYTES} bytes, packed",
                    got=f"{size} bytes",
                    remedy="lower max_packets:, leave payload: zero, or share among more sinks",
                )


def target(endpoint: Endpoint, item: Shared | None) -> Endpoint:
    """Where a session with such a thing goes: its port, or any of the host."""
    if item is None:
        return endpoint
    ports = endpoint.ports if item.port is None else (item.port,)
    return replace(endpoint, port=item.port, ports=ports, protocol=item.protocol)
