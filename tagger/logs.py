"""What programs wrote into their logs, as far as labels depend on it.

A client's log names the connections it opened, by both ends (event ``connection``); an event
``helper`` says that somebody else may have opened some for it: a program it started, a raw socket;
``all-told`` that the log has those too, of some protocols. Events of servers carry both ends of the
connection that they are about; their ``connection`` is one that they opened or took for a client,
who asked for it by another.
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
ALL_TOLD: Final = "all-told"
NUMBERS: Final = {"icmp": 1, "tcp": 6, "udp": 17}

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

ASKED: Final = pa.schema(
    [
        pa.field("src_ip", pa.string()),
        pa.field("src_port", pa.int64()),
        pa.field("dst_ip", pa.string()),
        pa.field("dst_port", pa.int64()),
    ]
)
"""The connection by which a client asked for another one."""


@dataclass(frozen=True, slots=True)
class Logs:
    """What the logs of a run say.

    Attributes
    ----------
    connections
        That activities named, with the columns of `OPENINGS`: one for each address of their host.
    complete, complete_udp
        For each activity, whether its log names every TCP connection it opened, or all it did
        over UDP.
    served, asked
        What servers opened or took for clients, with the columns of `OPENINGS`, and the connection
        (`ASKED`) by which each was asked for; ``activity`` is the row.
    activity_events, flow_events
        For each test, by its place among them: the activities whose log has such an event, and
        the connections that such events are about (`ENDS`).
    """

    connections: pa.Table
    complete: Bools
    complete_udp: Bools
    served: pa.Table
    asked: pa.Table
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
    named = np.zeros(len(activities), dtype=np.bool_)
    helped = np.zeros(len(activities), dtype=np.bool_)
    told = {name: np.zeros(len(activities), dtype=np.bool_) for name in NUMBERS}
    found = [np.zeros(len(activities), dtype=np.bool_) for _ in activity_tests]
    folder = (run_dir or Path()) / LOGS
    there = run_dir is not None and folder.is_dir()
    words = () if activity_tests or flow_tests else (CONNECTION, HELPER, ALL_TOLD)
    for number, activity in enumerate(activities if there else ()):
        log = folder / activity.host / session_log(activity)
        for event in read_events(log, words=words):
            if event.get("event") == CONNECTION:
                named[number] = True
                opened.extend(_openings(activity, event))
            helped[number] |= event.get("event") == HELPER
            for name in _told(event):
                told[name][number] = True
            for place, test in enumerate(activity_tests):
                found[place][number] |= test(event)
    served, asked, about = _service_logs(folder, services if there else (), flow_tests)
    return Logs(
        connections=pa.Table.from_pylist(opened, schema=OPENINGS),
        complete=(named & ~helped) | told["tcp"],
        complete_udp=told["udp"],
        served=served,
        asked=asked,
        activity_events=tuple(found),
        flow_events=about,
    )


def _service_logs(
    folder: Path, services: Sequence[ServiceRecord], tests: Sequence[Test]
) -> tuple[pa.Table, pa.Table, tuple[pa.Table, ...]]:
    """What servers say: `Logs.served`, `Logs.asked` and `Logs.flow_events`."""
    served: list[dict[str, object]] = []
    asked: list[dict[str, object]] = []
    about: list[list[dict[str, object]]] = [[] for _ in tests]
    words = () if tests else (CONNECTION,)
    for service in services:
        for event in read_events(folder / service.host / service_log(service), words=words):
            by, opening = _asked(event), _opening(event)
            if by is not None and opening is not None:
                near = {"src": event["local_address"], "activity": str(len(asked))}
                served.append(opening | near)
                asked.append(by)
            for place, test in enumerate(tests):
                if (ends := _ends(event)) is not None and test(event):
                    about[place].append(ends)
    return (
        pa.Table.from_pylist(served, schema=OPENINGS),
        pa.Table.from_pylist(asked, schema=ASKED),
        tuple(pa.Table.from_pylist(rows, schema=ENDS) for rows in about),
    )


def _told(event: Event) -> list[str]:
    """The protocols of which a log has all."""
    protocols = event.get("protocols") if event.get("event") == ALL_TOLD else None
    return [name for name in NUMBERS if isinstance(protocols, list) and name in protocols]


def _openings(activity: ActivityRecord, event: Event) -> Iterator[dict[str, object]]:
    """What an event says of a connection, under each address that its host may have had there."""
    if (opening := _opening(event)) is not None:
        for address in activity.addresses:
            yield {**opening, "src": address, "activity": activity.id}


def _opening(event: Event) -> dict[str, object] | None:
    """The connection that an event names, but for the near address; None if it names none."""
    protocol = NUMBERS.get(str(event.get("protocol")))
    time_ns = event.get("began_ns", event.get("time_ns"))
    sport, dst, dport = (event.get(name) for name in ("local_port", "peer_address", "peer_port"))
    if protocol is None or not isinstance(dst, str):
        return None
    if not all(isinstance(value, int) for value in (time_ns, sport, dport)):
        return None
    return {
        "time_ns": time_ns, "protocol": protocol, "sport": sport, "dst": dst, "dport": dport
    }  # fmt: skip


def _asked(event: Event) -> dict[str, object] | None:
    """The connection by which a server was asked for the one of this event; None if it was not."""
    names = ("client_address", "client_port", "asked_address", "asked_port")
    values = [event.get(name) for name in names]
    texts, numbers = [*values[::2], event.get("local_address")], values[1::2]
    if event.get("event") != CONNECTION or not all(isinstance(text, str) for text in texts):
        return None
    if not all(isinstance(number, int) for number in numbers):
        return None
    return dict(zip(ASKED.names, values, strict=True))


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
