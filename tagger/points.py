"""What several capture points of one flow make of it: the same packets, but for declared losses.

Pure: over flow keys, packets by direction, and the topology.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tagger.facts import PointFacts
from tagger.keys import AddressPairs, pack
from tagger.observations import on_network
from topologies.impairments import DIRECTIONS

if TYPE_CHECKING:
    from tagger.flows import Bools, FlowKeys, Int64s
    from topologies import Topology
    from topologies.impairments import Quality


def compare_points(flows: FlowKeys, sent: Int64s, topology: Topology) -> PointFacts | None:
    """Compare what the capture points of a run saw of the same flows.

    A point on the sender's network sees what it sends; each other point as much or, where packets
    are lost, less. A direction that a point saw nothing of takes another way (a sender's address
    may be forged), and is not compared there.

    Parameters
    ----------
    flows
        All observations.
    sent
        [2, flows]: packets of the initiator, and of the responder.

    Returns
    -------
    None where there are fewer than two capture points.
    """
    networks = pc.unique(flows.network)
    if len(networks) < 2:
        return None
    subnets = {name: one.subnets for name, one in topology.networks.items()}
    network = np.asarray(pc.index_in(flows.network, value_set=networks).to_numpy(), dtype=np.int64)
    ends = [pa.concat_arrays(both) for both in permutations((flows.src_ip, flows.dst_ip))]
    pairs = AddressPairs(*ends)
    counted, near = [], []
    for way, packets in ((flows, sent[0]), (flows.swapped(), sent[1])):
        pair = pairs.number(way.src_ip, way.dst_ip)
        key = pack(pair, way.protocol, way.src_port, way.dst_port)
        counted.append(np.stack([key, network, packets]))
        near.append(on_network(way.src_ip, network, networks, subnets))
    table, at_sender = _table(np.concatenate(counted, axis=1), np.concatenate(near))
    excused, loss, repeats = _declared(topology)
    found = {"flows": 0, "packets": 0, "appeared": 0, "vanished": 0}
    for one, far in permutations(range(len(networks)), 2):
        both = at_sender[one] & ~at_sender[far] & (table[one] > 0) & (table[far] > 0)
        more = (table[far] - table[one])[both]
        found["flows"] += int(both.sum())
        found["packets"] += int(table[one][both].sum())
        found["appeared"] += int(more[more > 0].sum())
        found["vanished"] -= int(more[more < 0].sum())
    return PointFacts(**found, loss_percent=loss, duplicate_percent=repeats, excused=excused)


def _table(counted: Int64s, near: Bools) -> tuple[Int64s, Bools]:
    """Packets by network and directed 5-tuple, and where a network is the sender's."""
    _, key = np.unique(counted[0], return_inverse=True)
    shape = (int(counted[1].max(initial=-1)) + 1, int(key.max(initial=-1)) + 1)
    table, at_sender = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.bool_)
    np.add.at(table, (counted[1], key), counted[2])
    at_sender[counted[1][near], key[near]] = True
    return table, at_sender


def _declared(topology: Topology) -> tuple[tuple[str, ...], float, float]:
    """What may drop packets beside declared losses, and the shares declared for two links."""
    excused = [
        f"the {what} of {name}"
        for name, router in topology.routers.items()
        for what in ("firewall", "nat")
        if getattr(router, what) is not None
    ]
    qualities: dict[str, list[Quality]] = {
        name: [
            stage.of(direction)
            for stage in network.impairments.stages()
            for direction in DIRECTIONS
        ]
        for name, network in topology.networks.items()
    }
    excused += [
        f"the queue of {name}"
        for name, of in qualities.items()
        if any(one.rate_mbit is not None for one in of)
    ]
    # Between two points a packet may cross any network of the lab.
    loss = sum(max(one.loss_percent for one in of) for of in qualities.values())
    repeats = sum(max(one.duplicate_percent for one in of) for of in qualities.values())
    return tuple(excused), loss, repeats
