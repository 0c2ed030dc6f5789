"""Which targets each flow fits, by endpoints and time."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tagger.flows import FlowKeys, Int64s
from tagger.intervals import IntervalIndex
from tagger.keys import AddressPairs, lookup, pack
from tagger.targets import Candidates, Targets, Tolerances

ALL: Final = "everybody"
"""Stands for every broadcast and multicast address."""

_BROADCAST: Final = "255.255.255.255"
_TO_ALL: Final = r"^(22[4-9]|23[0-9])\.|^255\.255\.255\.255$|^[fF][fF]"


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
