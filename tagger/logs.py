"""What programs wrote into their logs, as far as labels depend on it.

A client's log names the connections it opened, by both ends (event ``connection``); an event
``helper`` says that somebody else may have opened some for it: a program it started, a raw socket.
Events of servers carry both ends of the connection that they are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from launcher.commands import read_events, service_log, session_log
from launcher.records import ActivityRecord, ServiceRecord
from launcher.rundir import LOGS
from tagger.flows import Bools
from tagger.openings import OPENINGS

CONNECTION: Final = "connection"
HELPER: Final = "helper"
NUMBERS: Final = {"tcp": 6, "udp": 17}

Event = Mapping[str, Any]
Test = Callable[[Event], bool]

ENDS: Final = pa.schema(
    [
        pa.field("time_ns", pa.int64()),
        pa.field("src", pa.string()),
        pa.field("sport", pa.int64()),
        pa.field("dst", pa.string()),
        pa.field("dport", pa.int64()),
    ]
)
"""When something happened on which connection; ``src`` is the client's end."""


@dataclass(frozen=True, slots=True)
class Logs:
    """What the logs of a run say.

    Attributes
    ----------
    connections
        That activities named, with the columns of `OPENINGS`: one for each address of their host.
    complete
        For each activity, whether its log names every TCP connection it opened.
    activity_events, flow_events
        For each test, by its place among them: the activities whose log has such an event, and
        the connections that such events are about (`ENDS`).
    """

    connections: pa.Table
    complete: Bools
    activity_events: tuple[Bools, ...] = ()
    flow_events: tuple[pa.Table, ...] = ()


def read_logs(
    run_dir: Path | None,
    activities: Sequence[ActivityRecord],
    services: Sequence[ServiceRecord],
    *,
    activity_tests: Sequence[Test] = (),
    flow_tests: Sequence[Test] = (),
) -> Logs:
    """Read the logs of a run's activities and services; what is missing says nothing."""
    opened: list[dict[str, object]] = []
    about: list[list[dict[str, object]]] = [[] for _ in flow_tests]
    named = np.zeros(len(activities), dtype=np.bool_)
    helped = np.zeros(len(activities), dtype=np.bool_)
    found = [np.zeros(len(activities), dtype=np.bool_) for _ in activity_tests]
    folder = (run_dir or Path()) / LOGS
    there = run_dir is not None and folder.is_dir()
    words = () if activity_tests or flow_tests else (CONNECTION, HELPER)
    for number, activity in enumerate(activities if there else ()):
        log = folder / activity.host / session_log(activity)
        for event in read_events(log, words=words):
            if event.get("event") == CONNECTION:
                named[number] = True
                opened.extend(_openings(activity, event))
            helped[number] |= event.get("event") == HELPER
            for place, test in enumerate(activity_tests):
                found[place][number] |= test(event)
    for service in services if there and flow_tests else ():
        for event in read_events(folder / service.host / service_log(service)):
            for place, test in enumerate(flow_tests):
                if (ends := _ends(event)) is not None and test(event):
                    about[place].append(ends)
    return Logs(
        connections=pa.Table.from_pylist(opened, schema=OPENINGS),
        complete=named & ~helped,
        activity_events=tuple(found),
        flow_events=tuple(pa.Table.from_pylist(rows, schema=ENDS) for rows in about),
    )


def _openings(activity: ActivityRecord, event: Event) -> Iterator[dict[str, object]]:
    """What an event says of a connection, under each address that its host may have had there."""
    protocol = NUMBERS.get(str(event.get("protocol")))
    time_ns = event.get("began_ns", event.get("time_ns"))
    sport, dst, dport = (event.get(name) for name in ("local_port", "peer_address", "peer_port"))
    if protocol is None or not isinstance(dst, str):
        return
    if not all(isinstance(value, int) for value in (time_ns, sport, dport)):
        return
    for address in activity.addresses:
        yield {
            "time_ns": time_ns,
            "protocol": protocol,
            "src": address,
            "sport": sport,
            "dst": dst,
            "dport": dport,
            "activity": activity.id,
        }


def _ends(event: Event) -> dict[str, object] | None:
    """The ends of the connection that a server's event is about; None if it does not say."""
    ends = {
        "time_ns": event.get("time_ns"),
        "src": event.get("peer_address"),
        "sport": event.get("peer_port"),
        "dst": event.get("local_address"),
        "dport": event.get("local_port"),
    }
    good = all(isinstance(ends[name], str) for name in ("src", "dst")) and all(
        isinstance(ends[name], int) for name in ("time_ns", "sport", "dport")
    )
    return ends if good else None
