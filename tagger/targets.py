"""What the journal says was meant to happen: whose host was told to talk to which service, when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

import numpy as np
import pyarrow as pa

from launcher.activities import catalogue
from launcher.records import ActivityRecord, Peer, ServiceRecord
from tagger.flows import Bools, Int64s
from tagger.when import Child
from topologies.errors import InputError, Problem

TOLERANCE_NS: Final = 50_000_000
"""Clock tolerance between journal and capture: one kernel, so scheduling delay only."""

LINGER_NS: Final = 2_000_000_000
"""How long after an activity its flows may still close: the peer's FIN, the last resends."""

PROTOCOLS: Final = {"any": 0, "tcp": 6, "udp": 17}

CHILDREN: Final[tuple[Child | None, ...]] = (None, "icmp", "dns", "ocsp", "ntp", "relayed")
"""What an activity causes without doing it, by `Targets.child`."""

ICMP: Final[Mapping[int, int]] = {4: 1, 6: 58}
"""Protocol number by IP version."""


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What the join in time allows for, in nanoseconds."""

    clock_ns: int = TOLERANCE_NS
    linger_ns: int = LINGER_NS


@dataclass(frozen=True, slots=True)
class Targets:
    """One entry per activity, address of its host and peer: the endpoints its flows must have.

    ``activity`` indexes ``activities``; ``port`` and ``protocol`` are 0 where any will do. Rows
    are in the order of the activities. ``child`` indexes `CHILDREN`.
    """

    activities: tuple[ActivityRecord, ...]
    activity: Int64s
    peers: tuple[Peer, ...]
    client: pa.Array
    server: pa.Array
    port: Int64s
    protocol: Int64s
    start_ns: Int64s
    stop_ns: Int64s
    child: Int64s

    def __len__(self) -> int:
        return len(self.peers)

    def owner(self, target: int) -> ActivityRecord:
        """The activity of a target."""
        return self.activities[int(self.activity[target])]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs of a flow and a target that fit each other."""

    flow: Int64s
    target: Int64s
    responder: Bools  # the activity's host is the flow's responder

    def take(self, rows: Int64s | Bools) -> Candidates:
        """Some of the pairs."""
        return Candidates(self.flow[rows], self.target[rows], self.responder[rows])

    def joined(self, other: Candidates) -> Candidates:
        """These pairs and others."""
        return Candidates(
            np.concatenate([self.flow, other.flow]),
            np.concatenate([self.target, other.target]),
            np.concatenate([self.responder, other.responder]),
        )


def make_targets(
    activities: Iterable[ActivityRecord], services: Iterable[ServiceRecord] = ()
) -> Targets:
    """Targets of some activities, in their order, and of what they cause.

    That is ICMP between their host and their peers' (errors, mostly; an activity whose variant is
    named for ICMP does it itself), what their host asks the ``services`` of names, certificates
    and time for, and what the far end of a tunnel relays to the service inside.

    Raises
    ------
    InputError
        An activity ends before it begins.
    """
    kept = tuple(activities)
    for activity in kept:
        _check(activity)
    served = tuple(services)
    helpers = [
        peer for service in served if service.kind in CHILDREN for peer in _peers_of(service)
    ]
    rows = [
        row
        for index, one in enumerate(kept)
        for row in (
            *_rows(index, one, helpers, _addresses(one, served)),
            *_relays(index, one, served),
        )
    ]
    owner = np.array([row.activity for row in rows], dtype=np.int64)
    starts = np.array([a.start_ns for a in kept], dtype=np.int64)
    stops = np.array([a.stop_ns for a in kept], dtype=np.int64)
    return Targets(
        activities=kept,
        activity=owner,
        peers=tuple(row.peer for row in rows),
        client=pa.array([row.address for row in rows], type=pa.string()),
        server=pa.array([row.peer.address for row in rows], type=pa.string()),
        port=np.array([row.port for row in rows], dtype=np.int64),
        protocol=np.array([row.protocol for row in rows], dtype=np.int64),
        start_ns=starts[owner],
        stop_ns=stops[owner],
        child=np.array([row.child for row in rows], dtype=np.int64),
    )


def _check(activity: ActivityRecord) -> None:
    if activity.stop_ns < activity.start_ns:
        raise InputError(
            Problem(
                "journal.jsonl",
                activity.id,
                "a stop after the start",
                f"{activity.start_ns - activity.stop_ns} ns before it",
                "the machine's clock was set back during the run: run it again",
            )
        )


class _Row(NamedTuple):
    activity: int
    address: str
    peer: Peer
    port: int
    protocol: int
    child: int = 0


def _peers_of(service: ServiceRecord) -> list[Peer]:
    """A service as it is told to who shall talk to it, a peer for each port."""
    return [
        Peer(
            service=service.name,
            kind=service.kind,
            host=service.host,
            address=service.address,
            port=port,
            protocol=service.protocol,
        )
        for port in service.ports
    ]


def _addresses(activity: ActivityRecord, services: Sequence[ServiceRecord]) -> list[str]:
    """Those of the activity's host, and those of the host in whose name it sends."""
    victim = activity.params.get("victim")
    forged = {s.address for s in services if s.host == victim} - {*activity.addresses}
    return [*activity.addresses, *sorted(forged)]


def _rows(
    index: int, activity: ActivityRecord, helpers: Sequence[Peer], addresses: Sequence[str]
) -> Iterator[_Row]:
    told = {(peer.address, peer.port) for peer in activity.peers}
    kind = catalogue().get(activity.kind)
    by_arp = kind is not None and kind.wire == "arp"  # in no flow, but for its echo requests
    for address in addresses:
        for peer in activity.peers:
            number = ICMP[4] if by_arp else PROTOCOLS[peer.protocol]
            yield _Row(index, address, peer, peer.port or 0, number)
        # A target without port and protocol takes ICMP anyway.
        others = {
            peer.address: peer for peer in activity.peers if peer.port or peer.protocol != "any"
        }
        child = 0 if "icmp" in activity.variant else CHILDREN.index("icmp")
        for peer in others.values():
            number = ICMP[6 if ":" in peer.address else 4]
            yield _Row(index, address, peer, 0, number, child)
        for peer in helpers:
            if (peer.address, peer.port) not in told:
                asked = CHILDREN.index(cast("Child", peer.kind))
                yield _Row(index, address, peer, peer.port or 0, PROTOCOLS[peer.protocol], asked)


def _relays(
    index: int, activity: ActivityRecord, services: Sequence[ServiceRecord]
) -> Iterator[_Row]:
    """What the far end of a tunnel opens to the service that the activity inside talks to."""
    inside = activity.inside.services if activity.inside else ()
    wanted = [peer for one in services if one.name in inside for peer in _peers_of(one)]
    child = CHILDREN.index("relayed")
    for end in dict.fromkeys(peer.address for peer in activity.peers):
        for peer in wanted:
            if (":" in end) == (":" in peer.address):
                yield _Row(index, end, peer, peer.port or 0, PROTOCOLS[peer.protocol], child)
