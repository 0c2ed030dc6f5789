"""Labels the events of a run's application logs, by the rules that label its flows.

An event of a client's log is of its activity. An event of a server's log that names both ends of
a connection is labelled as a flow of that moment; one that does not is of nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from launcher.commands import service_log, session_log
from launcher.rundir import LOGS
from tagger.agreement import LabelQuality
from tagger.flows import FlowKeys, Int64s
from tagger.labeller import Labeller
from tagger.logs import CONNECTION, HELPER, NUMBERS
from tagger.rulebook import load_rules
from tagger.run import Run, read_run
from tagger.tag import TagReport, report_of
from tagger.targets import PROTOCOLS, Candidates, Targets, Tolerances
from tagger.writing import LABELS, Writer

NOT_THE_APPLICATIONS: Final = (CONNECTION, HELPER, "effect")
"""Events that programs log for the laboratory; a model would read the label in them."""

EVENT_LABELS: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("log", pa.string(), nullable=False),
        pa.field("time_ns", pa.int64(), nullable=False),
        pa.field("event", pa.string(), nullable=False),
        *(f for f in LABELS if f.name not in {"flow_id", "oracle", "by_features"}),
    ]
)
"""Columns of the events' labels. The events of one activity, in order of time, are a sequence."""


@dataclass(frozen=True, slots=True)
class _Event:
    """An event, and the flow that it is labelled as."""

    id: str
    host: str
    log: str
    time_ns: int
    name: str
    target: int  # of the activity whose log it is in; -1: the index finds it, by its ends
    src: str
    sport: int
    dst: str
    dport: int
    protocol: int


def tag_events(
    run_dir: Path, *, rules: str | Path | None = None, tolerances: Tolerances | None = None
) -> tuple[TagReport, pa.Table]:
    """Label the events of a run's logs; the counts, and a table with the columns `EVENT_LABELS`.

    Raises
    ------
    NotFoundError, InputError
        The run is missing, incomplete or damaged; the rules have faults.
    """
    book, run = load_rules(rules).model, read_run(run_dir)
    book = book.model_copy(
        update={"rules": tuple(rule for rule in book.rules if rule.when.features is None)}
    )
    labeller = Labeller(run.journal, book, tolerances or Tolerances())
    events = list(_events(run, labeller.targets))
    labels = _label(labeller, _flows(events), np.array([e.target for e in events], dtype=np.int64))
    report = report_of(
        run.manifest.run_id,
        book,
        labels,
        np.ones(len(events), dtype=np.bool_),
        LabelQuality(note="the kernel sees no events"),
    )
    head = {
        "event_id": [event.id for event in events],
        "run_id": [run.manifest.run_id] * len(events),
        "host": [event.host for event in events],
        "log": [event.log for event in events],
        "time_ns": [event.time_ns for event in events],
        "event": [event.name for event in events],
    }
    columns = [head[f.name] if f.name in head else labels[f.name] for f in EVENT_LABELS]
    return report, pa.table(columns, schema=EVENT_LABELS)


def _label(labeller: Labeller, flows: FlowKeys, known: Int64s) -> pa.Table:
    """Labels of events as flows; ``known`` is the target of those whose activity is known."""
    sure, open_ = np.flatnonzero(known >= 0), np.flatnonzero(known < 0)
    found = labeller.candidates(flows.take(open_))
    candidates = Candidates(
        np.concatenate([sure, open_[found.flow]]),
        np.concatenate([known[sure], found.target]),
        np.concatenate([np.zeros(len(sure), dtype=np.bool_), found.responder]),
    )
    near = np.zeros(len(flows), dtype=np.bool_)
    near[candidates.flow] = True
    decisions = labeller.decider.decide(flows, labeller.decider.matches(flows, candidates))
    writer = Writer(labeller.book, labeller.targets)
    batch = writer.table(flows, decisions, near, np.zeros(len(flows), dtype=np.bool_))
    return pa.Table.from_batches([batch], schema=LABELS)


def _flows(events: list[_Event]) -> FlowKeys:
    text = pa.string()
    times = np.array([event.time_ns for event in events], dtype=np.int64)
    return FlowKeys(
        flow_id=pa.array([event.id for event in events], type=text),
        network=pa.array([""] * len(events), type=text),
        src_ip=pa.array([event.src for event in events], type=text),
        dst_ip=pa.array([event.dst for event in events], type=text),
        src_port=np.array([event.sport for event in events], dtype=np.int64),
        dst_port=np.array([event.dport for event in events], dtype=np.int64),
        protocol=np.array([event.protocol for event in events], dtype=np.int64),
        first_ns=times,
        last_ns=times,
    )


def _events(run: Run, targets: Targets) -> Iterator[_Event]:
    own = np.flatnonzero(targets.child == 0)
    first = dict(zip(targets.activity[own][::-1].tolist(), own[::-1].tolist(), strict=True))
    for number, activity in enumerate(run.activities):
        peer = activity.peers[0] if activity.peers else None
        for line, name, event in _lines(run.folder, activity.host, session_log(activity)):
            yield _Event(
                *(line, activity.host, session_log(activity), event["time_ns"], name),
                target=first.get(number, -1),
                src=activity.addresses[0] if activity.addresses else "",
                sport=0,
                dst=peer.address if peer else "",
                dport=(peer.port or 0) if peer else 0,
                protocol=PROTOCOLS[peer.protocol] if peer else 0,
            )
    for service in run.services:
        for line, name, event in _lines(run.folder, service.host, service_log(service)):
            yield _Event(
                *(line, service.host, service_log(service), event["time_ns"], name),
                target=-1,
                src=str(event.get("peer_address", "")),
                sport=_number(event.get("peer_port")),
                dst=str(event.get("local_address", "")),
                dport=_number(event.get("local_port")),
                protocol=NUMBERS.get(service.protocol, 0),
            )


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _lines(folder: Path, host: str, log: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The application's events of a log, with their ids and names."""
    path = folder / LOGS / host / log
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            event = json.loads(line)
        except ValueError:
            continue  # a traceback, say: left to people
        if not isinstance(event, dict) or not isinstance(event.get("time_ns"), int):
            continue
        name = str(event.get("event"))
        if name not in NOT_THE_APPLICATIONS:
            yield f"{host}/{log}:{number}", name, event
