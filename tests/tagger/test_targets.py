from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.records import ActivityRecord, Peer
from tagger.flows import FlowKeys
from tagger.target_index import TargetIndex
from tagger.targets import Tolerances, make_targets

ADDRESSES = ("198.18.1.1", "198.18.1.2", "198.18.10.1", "2001:db8::1")
TO_ALL = ("255.255.255.255", "224.0.0.251", "239.1.2.3", "ff02::fb")
CLOCK, LINGER = 3, 7

address = st.sampled_from(ADDRESSES)
port = st.sampled_from([22, 53, 443])
time = st.integers(0, 60)

peers = st.builds(
    Peer,
    service=st.just("s"),
    kind=st.just("web"),
    host=st.just("h"),
    address=address,
    port=st.one_of(st.none(), port),
    protocol=st.sampled_from(["tcp", "udp", "any"]),
)


@st.composite
def activities(draw: st.DrawFn) -> ActivityRecord:
    start = draw(time)
    return ActivityRecord(
        id="a",
        name="n",
        kind="web",
        variant="v",
        params={},
        user="u",
        host="h",
        addresses=tuple(draw(st.lists(address, min_size=1, max_size=2, unique=True))),
        container="c",
        owner=1,
        peers=tuple(draw(st.lists(peers, min_size=1, max_size=2))),
        start_ns=start,
        stop_ns=start + draw(st.integers(0, 40)),
        outcome="ok",
        exit_code=0,
        effect=None,
    )


flow = st.tuples(
    st.sampled_from((*ADDRESSES, "192.0.2.1")),
    st.sampled_from((*ADDRESSES, "192.0.2.2", *TO_ALL)),
    port,
    port,
    st.sampled_from([6, 17]),
    time,
    st.integers(0, 40),
)


def fits(keys: tuple, activity: ActivityRecord, client: str, peer: Peer) -> bool:
    src, dst, _, dport, protocol, first, duration = keys
    return (
        (src == client or (src == TO_ALL[0] and peer.port is not None))
        and (dst == peer.address or (dst in TO_ALL and peer.port is not None))
        and peer.port in (None, dport)
        and protocol in {"tcp": (6,), "udp": (17,), "any": (6, 17)}[peer.protocol]
        and activity.start_ns - CLOCK <= first <= activity.stop_ns + CLOCK
        and first + duration <= activity.stop_ns + LINGER
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(activities(), max_size=8), st.lists(flow, max_size=12))
def test_flows_meet_the_targets_that_a_plain_reading_of_the_rules_says(journal, rows):
    targets = make_targets(journal)
    columns = list(zip(*rows, strict=True)) if rows else [()] * 7
    text = [pa.array(columns[i], type=pa.string()) for i in range(2)]
    sport, dport, protocol, first, duration = (
        np.array(columns[i], dtype=np.int64) for i in range(2, 7)
    )
    ids = pa.array([str(i) for i in range(len(rows))], type=pa.string())
    keys = FlowKeys(ids, ids, *text, sport, dport, protocol, first, first + duration)
    found = TargetIndex(targets, Tolerances(CLOCK, LINGER)).match(keys)

    order = [(a, client, peer) for a in journal for client in a.addresses for peer in a.peers]
    expected = []
    for i, (src, dst, sport_, dport_, *rest) in enumerate(rows):
        for j, (activity, client, peer) in enumerate(order):
            if fits((src, dst, sport_, dport_, *rest), activity, client, peer):
                expected.append((i, j, False))
            if fits((dst, src, dport_, sport_, *rest), activity, client, peer):
                expected.append((i, j, True))
    own = targets.child == 0  # the rest is what the activities cause
    kept = found.take(own[found.target])
    number = (np.cumsum(own) - 1)[kept.target]
    triples = zip(kept.flow.tolist(), number.tolist(), kept.responder.tolist(), strict=True)
    assert sorted(triples) == sorted(expected)
