"""Why a flow has its label: every rule that matched or nearly did, logs, evidence, decision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.compute as pc

from tagger.effects import PAYLOAD
from tagger.flows import FlowKeys, read_flow_keys
from tagger.labeller import Labeller
from tagger.nearly import Near, near_activities, near_rules, outdone
from tagger.observations import counted_once
from tagger.oracle import Oracle
from tagger.rulebook import load_rules
from tagger.run import Journal, read_run
from tagger.targets import CHILDREN, Candidates, Tolerances
from topologies.errors import NotFoundError, Problem

NO_EVIDENCE: Final = "a capture made elsewhere comes without"


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
    child: str | None = None  # what of the activity's background the flow would be


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that led to one flow's label, and what the kernel's evidence says of it."""

    flow_id: str
    endpoints: str
    log: str
    matches: tuple[Match, ...]
    nearly: tuple[Near, ...]
    label: str
    effect: str | None
    reason: str
    counts: bool = True  # False: another network's observation of this flow is the one that counts
    owner: str | None = None
    oracle: str | None = None
    evidence: str = NO_EVIDENCE

    def text(self) -> str:
        """The explanation for people, a line per fact."""
        lines = [f"flow      {self.flow_id}: {self.endpoints}"]
        if not self.counts:
            lines.append("observed  on a second network; the other observation counts")
        if self.log:
            lines.append(f"log       {self.log}")
        for match in self.matches:
            standing = f"priority {match.priority}" + ("" if match.highest else ", overruled")
            lines.append(
                f"rule      {match.rule} ({standing}): {match.label}, by {match.activity} of "
                f"{match.user} with {match.service}, "
                f"begun {match.starts_before_flow_s:.3f} s before the flow"
                + (f", as its {match.child}" if match.child else "")
            )
        lines += [f"nearly    {near.what}: {near.why}" for near in self.nearly]
        lines.append(f"decision  {self.label}: {self.reason}")
        if self.effect:
            lines.append(f"effect    {self.effect}")
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
    table = read_flow_keys(
        flows, run_id=run.manifest.run_id, features=book.features, if_there=PAYLOAD
    )
    row = find(table, flow_id, flows)
    labeller = Labeller(run.journal, book, allowed)
    oracle = Oracle(run, labeller)
    flow = table.take(np.array([row], dtype=np.int64))
    owners = oracle.owners(flow)
    return replace(
        explain_flow(run.journal, labeller, flow),
        counts=bool(counted_once(table, run.subnets)[row]),
        owner=oracle.owner_id(int(owners[0])) if owners[0] >= 0 else None,
        oracle=oracle.labels(flow, owners).to_pylist()[0],
        evidence=oracle.note,
    )


def find(table: FlowKeys, flow_id: str, path: Path) -> int:
    """The row of a flow; raises `NotFoundError`."""
    row = int(pc.index(table.flow_id, flow_id).as_py())
    if row < 0:
        raise NotFoundError(
            Problem(str(path), "flow_id", "a flow of this table", f"'{flow_id}'", "check the id")
        )
    return row


def explain_flow(journal: Journal, labeller: Labeller, flow: FlowKeys) -> Explanation:
    """Explain the label of a single flow; what the evidence says is left open."""
    label = labeller.label(flow).to_pylist()[0]
    candidates = labeller.candidates(flow)
    named = int(labeller.claims.owners_of(flow)[0])
    return Explanation(
        flow_id=label["flow_id"],
        endpoints=_endpoints(flow),
        log="" if named < 0 else f"that of {journal.activities[named].id} names this connection",
        matches=_matches(labeller, flow, candidates),
        nearly=(
            *outdone(labeller, flow),
            *near_rules(journal, labeller, flow, candidates),
            *near_activities(labeller, flow),
        ),
        label=label["label"],
        effect=label["effect"],
        reason=label["reason"],
    )


def _matches(labeller: Labeller, flow: FlowKeys, candidates: Candidates) -> tuple[Match, ...]:
    rules, targets = labeller.book.rules, labeller.targets
    matches = labeller.decider.matches(flow, candidates)
    highest = max((rules[rule].priority for rule in matches.rule), default=0)
    pairs = sorted(zip(matches.rule.tolist(), matches.target.tolist(), strict=True))
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
            child=CHILDREN[targets.child[target]],
        )
        for rule, target in ((rules[number], target) for number, target in pairs)
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
