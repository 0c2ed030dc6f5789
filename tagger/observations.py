"""A flow that crosses several captured networks is one flow: choose which observation counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tagger.flows import Bools, FlowKeys, Int64s
from tagger.keys import AddressPairs, pack

SAME_FLOW_NS: Final = 1_000_000_000
"""Observations of one 5-tuple no further apart than this are of one flow (delay, lost packets)."""

RESPONDER, INITIATOR, TRANSIT = 0, 1, 2

Subnets = Mapping[str, Sequence[IPv4Network | IPv6Network]]


def counted_once(flows: FlowKeys, subnets: Subnets) -> Bools:
    """Which observations to keep: one network's per flow, the responder's before the initiator's.

    Observations of one 5-tuple that overlap or nearly touch in time are taken together; those of
    the network nearest to the responder stay, all others go.
    """
    networks = pc.unique(flows.network)
    if len(networks) < 2:
        return np.ones(len(flows), dtype=np.bool_)
    network = np.asarray(pc.index_in(flows.network, value_set=networks).to_numpy(), dtype=np.int64)
    preference = _place(flows, network, networks, subnets) * len(networks) + network
    cluster = _clusters(flows)
    best = np.full(int(cluster.max(initial=-1)) + 1, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(best, cluster, preference)
    return np.asarray(preference == best[cluster], dtype=np.bool_)


def _clusters(flows: FlowKeys) -> Int64s:
    """A number for each row: the same for observations of one flow."""
    pairs = AddressPairs(flows.src_ip, flows.dst_ip)
    number = pairs.number(flows.src_ip, flows.dst_ip)
    key = pack(number, flows.protocol, flows.src_port, flows.dst_port)
    order = np.lexsort((flows.first_ns, key))
    key, first, last = key[order], flows.first_ns[order], flows.last_ns[order]
    new_key = np.concatenate([[True], key[1:] != key[:-1]])[: len(key)]
    # A running maximum that starts afresh at each key: lift each key above all times before it.
    rank = np.cumsum(new_key) - 1
    times = np.unique(last)
    lifted = np.maximum.accumulate(rank * len(times) + np.searchsorted(times, last))
    latest = times[lifted - rank * len(times)]
    apart = np.concatenate([[True], first[1:] > latest[:-1] + SAME_FLOW_NS])[: len(key)]
    cluster = np.empty(len(key), dtype=np.int64)
    cluster[order] = np.cumsum(new_key | apart) - 1
    return cluster


def _place(flows: FlowKeys, network: Int64s, networks: pa.Array, subnets: Subnets) -> Int64s:
    """Where each row was observed: at the responder, the initiator or in between."""
    at_responder = on_network(flows.dst_ip, network, networks, subnets)
    at_initiator = on_network(flows.src_ip, network, networks, subnets)
    return np.where(at_responder, RESPONDER, np.where(at_initiator, INITIATOR, TRANSIT))


def on_network(addresses: pa.Array, network: Int64s, networks: pa.Array, subnets: Subnets) -> Bools:
    """Whether each row's address belongs to the network that it was observed on."""
    distinct = pc.unique(addresses)
    known = [subnets.get(name, ()) for name in networks.to_pylist()]
    table = np.array(
        [
            [any(ip_address(text) in subnet for subnet in ranges) for ranges in known]
            for text in distinct.to_pylist()
        ],
        dtype=np.bool_,
    ).reshape(len(distinct), len(known))
    code = np.asarray(pc.index_in(addresses, value_set=distinct).to_numpy(), dtype=np.int64)
    return np.asarray(table[code, network], dtype=np.bool_)
