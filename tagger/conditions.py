"""Which activities and which flows fulfil the conditions of rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import numpy as np
import pyarrow as pa

from launcher.records import PhaseRecord
from tagger.flows import Bools, FlowKeys, Int64s
from tagger.keys import AddressPairs, lookup, pack
from tagger.logs import Logs, Test
from tagger.rulebook import Rule
from tagger.targets import CHILDREN, Targets, Tolerances
from tagger.when import PROTOCOLS, Prefixes, When


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What rules may ask about beside flows and activities.

    ``logs`` has the answers to the tests of `log_tests`, of the same rules; ``begin_ns`` is when
    the experiment began.
    """

    logs: Logs
    phases: tuple[PhaseRecord, ...] = ()
    begin_ns: int = 0
    allowed: Tolerances = field(default_factory=Tolerances)


def log_tests(rules: Iterable[Rule]) -> tuple[list[Test], list[Test]]:
    """What the rules ask of activities' logs, and of servers' logs: a test per rule that does."""
    asked = [rule.when for rule in rules]
    return (
        [when.in_log for when in asked if when.activity_log is not None],
        [when.about_flow for when in asked if when.flow_log is not None],
    )


# -- the activity -------------------------------------------------------------------------------


def fitting_targets(rules: Sequence[Rule], targets: Targets, logs: Logs) -> list[Bools]:
    """For each rule, which targets fulfil its conditions on the activity and the peer."""
    columns = _columns(targets)
    in_log = iter(logs.activity_events)
    found = []
    for rule in rules:
        when = rule.when
        fits = np.ones(len(targets), dtype=np.bool_)
        for name, column in columns.items():
            if (wanted := getattr(when, name)) is not None:
                fits &= column.among(wanted)
        if when.activity_log is not None:
            fits &= next(in_log)[targets.activity]
        if when.client is not None:
            fits &= _within(targets.client, when.client)
        if when.server is not None:
            fits &= _within(targets.server, when.server)
        if when.child is not None:
            fits &= np.isin(targets.child, [CHILDREN.index(child) for child in when.child])
        found.append(fits)
    return found


class _Column:
    """A text of each target, as the number of its value."""

    def __init__(self, texts: Iterable[str], rows: Int64s) -> None:
        self._numbers: dict[str, int] = {}
        known = self._numbers
        codes = [known.setdefault(text, len(known)) for text in texts]
        self._codes = np.array(codes, dtype=np.int64)[rows]

    def among(self, wanted: Sequence[str]) -> Bools:
        """For each target, whether its text is wanted."""
        is_wanted = np.zeros(len(self._numbers) + 1, dtype=np.bool_)
        is_wanted[[self._numbers[text] for text in wanted if text in self._numbers]] = True
        return np.asarray(is_wanted[self._codes], dtype=np.bool_)


def _columns(targets: Targets) -> dict[str, _Column]:
    """What rules may ask of an activity and its peer, by the condition's name."""
    activities, peers = targets.activities, targets.peers
    each, own = targets.activity, np.arange(len(peers), dtype=np.int64)
    return {
        "kind": _Column((a.kind for a in activities), each),
        "variant": _Column((a.variant for a in activities), each),
        "inside": _Column((a.inside.kind if a.inside else "" for a in activities), each),
        "origin": _Column((a.origin for a in activities), each),
        "name": _Column((a.name for a in activities), each),
        "host": _Column((a.host for a in activities), each),
        "outcome": _Column((a.outcome for a in activities), each),
        "service": _Column((peer.service for peer in peers), own),
        "service_kind": _Column((peer.kind for peer in peers), own),
        "service_host": _Column((peer.host for peer in peers), own),
    }


def _within(addresses: pa.Array, prefixes: Prefixes) -> Bools:
    encoded = addresses.dictionary_encode()
    known = [ip_address(text) for text in encoded.dictionary.to_pylist()]
    inside = [any(address in prefix for prefix in prefixes) for address in known]
    return np.asarray(np.array(inside, dtype=np.bool_)[encoded.indices.to_numpy()], dtype=np.bool_)


# -- the flow -----------------------------------------------------------------------------------


class FlowConditions:
    """The conditions of one rule that hold or do not, whatever activity the flow may be of."""

    def __init__(self, when: When, around: Surroundings, about: pa.Table | None) -> None:
        self._when, self._around = when, around
        self._about = None if about is None else _Happenings(about)

    def hold(self, flows: FlowKeys) -> Bools | None:
        """For each flow; None where the rule asks nothing of the kind."""
        when = self._when
        asked: list[Bools] = []
        if when.protocol is not None:
            numbers = [number for name in when.protocol for number in PROTOCOLS[name]]
            asked.append(np.isin(flows.protocol, numbers))
        if when.phase is not None:
            asked.append(self._in_phase(flows, when.phase))
        since_s = (flows.first_ns - self._around.begin_ns) / 1e9
        if when.after_s is not None:
            asked.append(since_s >= when.after_s)
        if when.before_s is not None:
            asked.append(since_s < when.before_s)
        if self._about is not None:
            asked.append(self._about.happened(flows, self._around.allowed))
        for name, bounds in (when.features or {}).items():
            values = flows.features[name]
            low = -np.inf if bounds.at_least is None else bounds.at_least
            high = np.inf if bounds.at_most is None else bounds.at_most
            asked.append((values >= low) & (values <= high))
        return np.asarray(np.all(asked, axis=0), dtype=np.bool_) if asked else None

    def _in_phase(self, flows: FlowKeys, names: Sequence[str]) -> Bools:
        inside = np.zeros(len(flows), dtype=np.bool_)
        for phase in self._around.phases:
            if phase.name in names:
                inside |= (flows.first_ns >= phase.start_ns) & (flows.first_ns < phase.stop_ns)
        return inside


class _Happenings:
    """Events about connections: did one happen while a flow was on?"""

    def __init__(self, table: pa.Table) -> None:
        src, dst = (table[name].combine_chunks() for name in ("src", "dst"))
        self._pairs = AddressPairs(src, dst)
        ports = (table[name].to_numpy() for name in ("sport", "dport"))
        zero = np.zeros(len(table), dtype=np.int64)
        keys = pack(self._pairs.number(src, dst), zero, *ports)
        self._keys = np.unique(keys)
        time_ns = table["time_ns"].to_numpy()
        self._times = np.unique(time_ns)
        self._ranked = np.sort(self._rank(lookup(self._keys, keys), time_ns, side="left"))

    def happened(self, flows: FlowKeys, allowed: Tolerances) -> Bools:
        """Whether it did, for each flow, seen from either end."""
        return self._forth(flows, allowed) | self._forth(flows.swapped(), allowed)

    def _forth(self, flows: FlowKeys, allowed: Tolerances) -> Bools:
        pair = self._pairs.number(flows.src_ip, flows.dst_ip)
        zero = np.zeros(len(flows), dtype=np.int64)
        group = lookup(self._keys, pack(pair, zero, flows.src_port, flows.dst_port))
        begin = self._rank(group, flows.first_ns - allowed.clock_ns, side="left")
        end = self._rank(group, flows.last_ns + allowed.linger_ns, side="right")
        some = np.searchsorted(self._ranked, end) > np.searchsorted(self._ranked, begin)
        return np.asarray(some & (group >= 0), dtype=np.bool_)

    def _rank(self, group: Int64s, time_ns: Int64s, *, side: str) -> Int64s:
        place = np.searchsorted(self._times, time_ns, side="left" if side == "left" else "right")
        return group * (len(self._times) + 1) + place
