"""What the journal says was meant to happen: whose host was told to talk to which service, when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from launcher.records import ActivityRecord, Peer, ServiceRecord
from tagger.flows import Bools, FlowKeys, Int64s
from tagger.intervals import IntervalIndex
from tagger.keys import AddressPairs, lookup, pack
from tagger.when import Child
from topologies.errors import InputError, Problem

TOLERANCE_NS: Final = 50_000_000
"""Clock tolerance between journal and capture: one kernel, so scheduling delay only."""

LINGER_NS: Final = 2_000_000_000
"""How long after an activity its flows may still close: the peer's FIN, the last resends."""

PROTOCOLS: Final = {"any": 0, "tcp": 6, "udp": 17}

CHILDREN: Final[tuple[Child | None, ...]] = (None, "icmp", "dns", "ocsp", "ntp")
"""What an activity causes without doing it, by `Targets.child`."""

ICMP: Final[Mapping[int, int]] = {4: 1, 6: 58}
"""Protocol number by IP version."""

ALL: Final = "everybody"
"""Stands for every broadcast and multicast address."""

_BROADCAST: Final = "255.255.255.255"
_TO_ALL: Final = r"^(22[4-9]|23[0-9])\.|^255\.255\.255\.255$|^[fF][fF]"


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
    named for ICMP does it itself), and what their host asks the ``services`` of names,
    certificates and time for.

    Raises
    ------
    InputError
        An activity ends before it begins.
    """
    kept = tuple(activities)
    for activity in kept:
        _check(activity)
    served = tuple(services)
    helpers = [peer for service in served for peer in _helper_peers(service)]
    rows = [
        row
        for index, one in enumerate(kept)
        for row in _rows(index, one, helpers, _addresses(one, served))
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


def _helper_peers(service: ServiceRecord) -> list[Peer]:
    """A service that hosts ask on behalf of what they do."""
    if service.kind not in CHILDREN:
        return []
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
    for address in addresses:
        for peer in activity.peers:
            yield _Row(index, address, peer, peer.port or 0, PROTOCOLS[peer.protocol])
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


class TargetIndex:
    """Finds the targets of flows by endpoints and time.

    A flow fits a target when one end is the activity's host, the other the peer's address (and
    port and protocol, unless any will do), it begins while the activity runs, give or take the
    clock tolerance, and it ends before the activity's stop plus the linger. So a flow that
    outlives a session is not that session's, which tells most overlapping sessions apart.

    What the activity's host sends to everybody (broadcast, multicast) fits by the peer's port, if
    it has one: how clients look for a service whose place they do not know. So does what the peer
    answers by broadcast, to a host that has no address yet.
    """

    def __init__(self, targets: Targets, tolerances: Tolerances | None = None) -> None:
        self._targets = targets
        self._clock_ns = (tolerances or Tolerances()).clock_ns
        self._linger_ns = max((tolerances or Tolerances()).linger_ns, self._clock_ns)
        client, server = targets.client, targets.server
        everybody = pa.array([ALL] * len(targets), type=pa.string())
        self._pairs = AddressPairs(
            pa.concat_arrays([client, client, everybody]),
            pa.concat_arrays([server, everybody, server]),
        )
        self._parts = [
            _Part(
                targets,
                self._pairs.number(near, far),
                any_port=any_port,
                any_protocol=any_protocol,
                allowed=Tolerances(self._clock_ns, self._linger_ns),
            )
            for near, far, any_port in (
                (client, server, False),
                (client, server, True),
                (client, everybody, False),
                (everybody, server, False),
            )
            for any_protocol in (False, True)
        ]

    def match(self, flows: FlowKeys) -> Candidates:
        """Every target that each flow fits, as initiator or as responder."""
        found = [self._match(flows, responder=False), self._match(flows.swapped(), responder=True)]
        return Candidates(
            np.concatenate([c.flow for c in found]),
            np.concatenate([c.target for c in found]),
            np.concatenate([c.responder for c in found]),
        )

    def _match(self, flows: FlowKeys, *, responder: bool) -> Candidates:
        near, far = flows.src_ip, flows.dst_ip
        if responder:
            near = pc.if_else(pc.equal(near, _BROADCAST), ALL, near)
        else:
            far = pc.if_else(pc.match_substring_regex(far, _TO_ALL), ALL, far)
        pair = self._pairs.number(near, far)
        pairs = [part.match(flows, pair) for part in self._parts if len(part)]
        empty = np.empty(0, dtype=np.int64)
        flow = np.concatenate([empty, *(f for f, _ in pairs)])
        target = np.concatenate([empty, *(t for _, t in pairs)])
        begun = flows.first_ns[flow] <= self._targets.stop_ns[target] + self._clock_ns
        flow, target = flow[begun], target[begun]
        return Candidates(flow, target, np.full(len(flow), responder))


class _Part:
    """The targets that leave the same things open."""

    def __init__(
        self,
        targets: Targets,
        pair: Int64s,
        *,
        any_port: bool,
        any_protocol: bool,
        allowed: Tolerances,
    ) -> None:
        self._any_port, self._any_protocol = any_port, any_protocol
        open_ports, open_protocols = targets.port == 0, targets.protocol == 0
        rows = np.flatnonzero((open_ports == any_port) & (open_protocols == any_protocol))
        self._rows = rows.astype(np.int64)
        keys = pack(pair[rows], targets.protocol[rows], targets.port[rows])
        self._keys = np.unique(keys)
        self._intervals = IntervalIndex(
            lookup(self._keys, keys),
            targets.start_ns[rows] - allowed.clock_ns,
            targets.stop_ns[rows] + allowed.linger_ns,
        )

    def __len__(self) -> int:
        return len(self._rows)

    def match(self, flows: FlowKeys, pair: Int64s) -> tuple[Int64s, Int64s]:
        """Pairs of a flow and a target, by endpoints and by the whole span in time."""
        zero = np.zeros(1, dtype=np.int64)
        protocol = zero if self._any_protocol else flows.protocol
        port = zero if self._any_port else flows.dst_port
        groups = lookup(self._keys, pack(pair, protocol, port))
        flow, place = self._intervals.containing(groups, flows.first_ns, flows.last_ns)
        return flow, self._rows[place]
