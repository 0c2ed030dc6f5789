"""What nearly labelled a flow: activities that fit but for one thing, rules that hold but for one.

For a person who asks why a flow has no other label; nothing here decides.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tagger.claims import NOT_NAMED
from tagger.flows import FlowKeys
from tagger.labeller import Labeller
from tagger.rulebook import Rule
from tagger.run import Journal
from tagger.targets import CHILDREN, Candidates
from tagger.when import When

LISTED: Final = 5
NAMES: Final = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmp"}


class Near(NamedTuple):
    """Something that did not label the flow, and why not."""

    what: str
    why: str


def near_activities(labeller: Labeller, flow: FlowKeys) -> tuple[Near, ...]:
    """Activities of the flow's two addresses that it cannot be of, the nearest first."""
    targets, allowed = labeller.targets, labeller.allowed
    near: list[tuple[int, int, Near]] = []
    src, dst = flow.src_ip[0].as_py(), flow.dst_ip[0].as_py()
    first, last = int(flow.first_ns[0]), int(flow.last_ns[0])
    for row in range(len(targets)):
        ends = targets.client[row].as_py(), targets.server[row].as_py()
        if ends not in {(src, dst), (dst, src)} or targets.child[row]:
            continue
        port = int(flow.dst_port[0] if ends == (src, dst) else flow.src_port[0])
        protocol = int(flow.protocol[0])
        early_ns = int(targets.start_ns[row]) - allowed.clock_ns - first
        late_ns = first - int(targets.stop_ns[row]) - allowed.clock_ns
        over_ns = last - int(targets.stop_ns[row]) - allowed.linger_ns
        wrong = [
            (
                int(targets.protocol[row]) not in {0, protocol},
                f"not {NAMES.get(protocol, protocol)}",
            ),
            (int(targets.port[row]) not in {0, port}, f"port {int(targets.port[row])}, not {port}"),
            (early_ns > 0, f"began {early_ns / 1e9:.3f} s after the flow"),
            (late_ns > 0, f"ended {late_ns / 1e9:.3f} s before the flow began"),
            (late_ns <= 0 < over_ns, f"ended {over_ns / 1e9:.3f} s before the flow did"),
        ]
        faults = [words for is_wrong, words in wrong if is_wrong]
        if faults:
            distance = max(early_ns, late_ns, over_ns, 0)
            near.append((len(faults), distance, Near(_activity(labeller, row), ", ".join(faults))))
    return tuple(item for _, _, item in sorted(near, key=lambda item: item[:2])[:LISTED])


def outdone(labeller: Labeller, flow: FlowKeys) -> tuple[Near, ...]:
    """Activities that fit the flow's ends and time, to which others were preferred."""
    fitting = labeller.index.match(flow)
    kept = set(labeller.candidates(flow).target.tolist())
    standing = labeller.claims.standing(flow, fitting, labeller.targets)
    found = []
    for place, row in enumerate(fitting.target.tolist()):
        if row in kept:
            continue
        child = CHILDREN[labeller.targets.child[row]]
        why = (
            "this connection is not among those that its log names, or another's log names it"
            if standing[place] == NOT_NAMED
            else f"would only be its {child}"
            if child
            else "the log of another activity names this connection"
        )
        found.append(Near(_activity(labeller, row), why))
    return tuple(dict.fromkeys(found))


def near_rules(
    journal: Journal, labeller: Labeller, flow: FlowKeys, candidates: Candidates
) -> tuple[Near, ...]:
    """Rules of which all conditions but one hold, and which do speak of this kind of activity."""
    book = labeller.book
    parts = [(rule, name, part) for rule in book.rules for name, part in _conditions(rule).items()]
    single = book.model_copy(update={"rules": tuple(part for _, _, part in parts)})
    decider = Labeller(journal, single, labeller.allowed).decider
    matches = decider.matches(flow, candidates)
    holding = set(zip(matches.target.tolist(), matches.rule.tolist(), strict=True))
    found = []
    for row in candidates.target.tolist():
        for rule in book.rules:
            asked = [(n, name) for n, (of, name, _) in enumerate(parts) if of is rule]
            failed = [name for n, name in asked if (row, n) not in holding]
            if len(failed) == 1 < len(asked) and failed != ["kind"]:
                what = f"{rule.id} ({rule.label}), by {_activity(labeller, row)}"
                found.append(Near(what, f"its condition '{failed[0]}' does not hold"))
    return tuple(dict.fromkeys(found))[:LISTED]


def _conditions(rule: Rule) -> dict[str, Rule]:
    """A rule for each of its conditions."""
    unasked = When()
    return {
        name: rule.model_copy(update={"when": unasked.model_copy(update={name: value})})
        for name, value in rule.when
        if value != getattr(unasked, name)
    }


def _name(protocol: int) -> str:
    return NAMES.get(protocol, str(protocol))


def _activity(labeller: Labeller, row: int) -> str:
    activity, peer = labeller.targets.owner(row), labeller.targets.peers[row]
    return f"{activity.id} ({activity.kind}) of {activity.user} with {peer.service}"
