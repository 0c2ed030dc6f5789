"""Why a flow has the label it has: every rule that matched, the evidence, the decision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from tagger.claims import Claims
from tagger.decide import Decider
from tagger.flows import FlowKeys, read_flow_keys
from tagger.logs import read_logs
from tagger.observations import counted_once
from tagger.oracle import Oracle
from tagger.rulebook import Rulebook, load_rules
from tagger.run import read_run
from tagger.tag import label_flows
from tagger.targets import TargetIndex, Targets, Tolerances, make_targets
from topologies.errors import NotFoundError, Problem


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that matched a flow through an activity."""

    rule: str
    priority: int
    label: str
    activity: str
    user: str
    service: str
    starts_before_flow_s: float
    highest: bool  # of the highest priority that matched


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that led to one flow's label, and what the kernel's evidence says of it."""

    flow_id: str
    endpoints: str
    matches: tuple[Match, ...]
    label: str
    reason: str
    counts: bool  # False: another network's observation of this flow is the one that counts
    owner: str | None
    oracle: str | None
    evidence: str

    def text(self) -> str:
        """The explanation for people, a line per fact."""
        lines = [f"flow      {self.flow_id}: {self.endpoints}"]
        if not self.counts:
            lines.append("observed  on a second network; the other observation counts")
        for match in self.matches:
            standing = f"priority {match.priority}" + ("" if match.highest else ", overruled")
            lines.append(
                f"rule      {match.rule} ({standing}): {match.label}, by {match.activity} of "
                f"{match.user} with {match.service}, "
                f"begun {match.starts_before_flow_s:.3f} s before the flow"
            )
        lines.append(f"decision  {self.label}: {self.reason}")
        owner = f"opened by {self.owner}: {self.oracle}" if self.owner else "not seen"
        lines.append(f"evidence  {owner} ({self.evidence})")
        return "\n".join(lines)


def explain(
    run_dir: Path,
    flows: Path,
    flow_id: str,
    *,
    rules: str | Path | None = None,
    tolerances: Tolerances | None = None,
) -> Explanation:
    """Explain one flow's label.

    Raises
    ------
    NotFoundError
        The flow table has no such flow.
    InputError
        As `tag_run`.
    """
    allowed = tolerances or Tolerances()
    book = load_rules(rules).model
    run = read_run(run_dir)
    table = read_flow_keys(flows, run_id=run.manifest.run_id)
    row = int(pc.index(table.flow_id, flow_id).as_py())
    if row < 0:
        raise NotFoundError(
            Problem(str(flows), "flow_id", "a flow of this table", f"'{flow_id}'", "check the id")
        )
    flow = table.take(np.array([row], dtype=np.int64))
    targets = make_targets(run.activities)
    claims = Claims(read_logs(run_dir, run.activities, run.services), run.activities, allowed)
    label = label_flows(flow, targets, book, allowed, claims).to_pylist()[0]
    oracle = Oracle(run, targets, book, allowed)
    owners = oracle.owners(flow)
    return Explanation(
        flow_id=flow_id,
        endpoints=_endpoints(flow),
        matches=_matches(flow, targets, book, allowed),
        label=label["label"],
        reason=label["reason"],
        counts=bool(counted_once(table, run.subnets)[row]),
        owner=oracle.owner_id(int(owners[0])) if owners[0] >= 0 else None,
        oracle=oracle.labels(flow, owners).to_pylist()[0],
        evidence=oracle.note,
    )


def _matches(
    flow: FlowKeys, targets: Targets, book: Rulebook, allowed: Tolerances
) -> tuple[Match, ...]:
    decider = Decider(book, targets)
    matches = decider.matches(flow, TargetIndex(targets, allowed).match(flow))
    highest = max((book.rules[rule].priority for rule in matches.rule), default=0)
    order = np.lexsort((matches.target, matches.rule))
    return tuple(
        Match(
            rule=rule.id,
            priority=rule.priority,
            label=rule.label,
            activity=targets.owner(target).id,
            user=targets.owner(target).user,
            service=targets.peers[target].service,
            starts_before_flow_s=int(flow.first_ns[0] - targets.start_ns[target]) / 1e9,
            highest=rule.priority == highest,
        )
        for rule, target in (
            (book.rules[int(matches.rule[row])], int(matches.target[row])) for row in order
        )
    )


def _endpoints(flow: FlowKeys) -> str:
    src, dst = flow.src_ip[0].as_py(), flow.dst_ip[0].as_py()
    protocol = {6: "tcp", 17: "udp"}.get(int(flow.protocol[0]), str(flow.protocol[0]))
    network = flow.network[0].as_py()
    duration_s = (int(flow.last_ns[0]) - int(flow.first_ns[0])) / 1e9
    return (
        f"{protocol} {src}:{flow.src_port[0]} -> {dst}:{flow.dst_port[0]} on {network}, "
        f"{duration_s:.3f} s"
    )
