"""Plays every variant of kinds of activity in a lab, and says what the contract asks of them.

``python -m tests.launcher.contract [KIND...]`` plays them on both back ends (or that of
``--backend``); ``--record`` keeps the protocols that were seen, for the page of activities.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from gsta.labs import run_lab
from launcher.activities import catalogue
from launcher.activities.kind import ActivityKind
from launcher.catalogue_page import SEEN
from launcher.commands import read_events
from launcher.records import ActivityRecord
from launcher.rundir import read_evidence, read_journal
from topologies import load_topology

AT_ONCE: Final = 18
AGAIN_AT_ONCE: Final = 4
SPREAD_S: Final = 1.5  # between kinds: a small machine starts one after the other
SESSION_S: Final = 12.0
TUNNEL_S: Final = 16.0  # it has to come up first
LAST_S: Final = 40.0
TCP, UDP = 6, 17
PLUMBING: Final = {"ARP", "ICMPv6"}  # of every network


@dataclass
class Contract:
    """A finished run in which each of ``names`` was played, on a network of its own."""

    run_dir: Path
    names: Sequence[str]
    backend: str
    _asked: dict[tuple[str, str], set[tuple[int, int]]] = field(default_factory=dict)

    @cached_property
    def _journal(self) -> list[ActivityRecord]:
        return [r for r in read_journal(self.run_dir) if isinstance(r, ActivityRecord)]

    @cached_property
    def _flows(self) -> dict[str, set[tuple[int, int]]]:
        """Protocol and source port of the flows that the kernel saw each activity open."""
        flows: dict[str, set[tuple[int, int]]] = {}
        for record in read_evidence(self.run_dir):
            flows.setdefault(record.activity or "", set()).add((record.protocol, record.sport))
        return flows

    def sessions(self, name: str) -> list[ActivityRecord]:
        """The sessions of a kind, one for each variant."""
        return [record for record in self._journal if record.kind == name]

    def log(self, session: ActivityRecord) -> str:
        """The end of what the session's program said."""
        return self._log(session).read_text(errors="replace")[-1_000:]

    def carried(self, session: ActivityRecord) -> bool:
        """Whether what is inside a tunnel was answered."""
        events = [event["event"] for event in read_events(self._log(session))]
        return "inside" in events and "answer" in events[events.index("inside") :]

    def _log(self, session: ActivityRecord) -> Path:
        return self.run_dir / "logs" / session.host / f"{session.id}-{session.kind}.log"

    def owned(self, session: ActivityRecord) -> bool:
        """Whether the kernel saw the session open a flow, if it can see such flows."""
        untracked = session.variant in catalogue()[session.kind].untracked
        return untracked or session.id in self._flows

    def on_the_wire(self, session: ActivityRecord) -> bool:
        """Whether tshark finds the protocol of the session in the session's own flows."""
        kind = catalogue()[session.kind]
        mine = self._flows.get(session.id, set())
        seen = self._matching(session.kind, kind.wire_filter(session.variant))
        if session.variant in kind.untracked:
            return bool(seen)
        return any(flow in mine or flow[0] not in {TCP, UDP} for flow in seen)

    def protocols(self, name: str) -> str:
        """What tshark calls the packets on a kind's network, the most frequent first."""
        command = ["tshark", "-n", "-r", str(self._capture(name)), "-T", "fields"]
        done = subprocess.run(
            [*command, "-e", "_ws.col.Protocol"], capture_output=True, text=True, check=True
        )
        counts = Counter(done.stdout.split("\n"))
        return ", ".join(said for said, _ in counts.most_common() if said and said not in PLUMBING)

    def _capture(self, name: str) -> Path:
        return self.run_dir / "captures" / f"{_host('n', name)}.pcap"

    def _matching(self, name: str, wire: str) -> set[tuple[int, int]]:
        """Protocols and ports of packets on a kind's network that a display filter takes."""
        if (name, wire) not in self._asked:
            self._asked[name, wire] = self._ask(name, wire)
        return self._asked[name, wire]

    def _ask(self, name: str, wire: str) -> set[tuple[int, int]]:
        fields = ("ip.proto", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport")
        command = [
            "tshark",
            "-n",
            "-r",
            str(self._capture(name)),
        ]
        command += ["-Y", wire, "-T", "fields", "-E", "occurrence=f"]
        command += [part for field in fields for part in ("-e", field)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        flows = set()
        for line in done.stdout.splitlines():
            protocol, *ports = line.split("\t")
            flows |= {(int(protocol or 0), int(port)) for port in ports if port}
            if not any(ports):
                flows.add((int(protocol or 0), 0))
        return flows


def played(names: Sequence[str], *, backend: str, folder: Path) -> Contract:
    """Run every variant of the kinds once, each kind between two hosts of its own."""
    file = folder / "contract.yaml"
    file.write_text(yaml.safe_dump(topology_of(names)))
    run_dir = run_lab(
        load_topology(file),
        seed=11,
        out=folder / "run",
        backend=backend,
        progress=lambda *_: None,
    )
    return Contract(run_dir, names, backend)


def played_all(names: Sequence[str], *, backend: str, folder: Path) -> dict[str, Contract]:
    """As `played`, some kinds at a time: their servers need memory and a processor, too.

    What went wrong in that company is played once more in less of it: on a machine with other work
    to do, a session can be over before a heavy tool has come up.
    """
    found = _in_turn(names, AT_ONCE, backend=backend, folder=folder)
    if again := [name for name in names if faults(found[name], name)]:
        second = folder / "again"
        second.mkdir()
        found |= _in_turn(again, AGAIN_AT_ONCE, backend=backend, folder=second)
    return found


def _in_turn(
    names: Sequence[str], at_once: int, *, backend: str, folder: Path
) -> dict[str, Contract]:
    found: dict[str, Contract] = {}
    for begin in range(0, len(names), at_once):
        some = names[begin : begin + at_once]
        part = folder / f"{begin}"
        part.mkdir()
        found |= dict.fromkeys(some, played(some, backend=backend, folder=part))
    return found


def topology_of(names: Sequence[str]) -> dict[str, Any]:
    """A topology in which each variant of the kinds has exactly one session."""
    spread_s = max(SPREAD_S * len(names), 2.0)
    topology: dict[str, Any] = {
        "name": "contract",
        "networks": {},
        "hosts": {},
        "services": {},
        "activities": {},
        "phases": [
            {"name": "all", "duration_s": spread_s},
            {"name": "last", "duration_s": LAST_S, "intensity": 0.0},
        ],
        "captures": [_host("n", name) for name in names],
    }
    for number, name in enumerate(names):
        kind = catalogue()[name]
        network, client, server = (_host(letter, name) for letter in "ncs")
        topology["networks"][network] = {"subnet": f"198.18.{number}.0/24"}
        limits = {"memory_mb": 2_048, "pids": 1_024}
        for host in (client, server):
            topology["hosts"][host] = {"networks": [network], "limits": limits}
        wanted = kind.service_kind or "mail"
        topology["services"][_host("v", name)] = {"kind": wanted, "host": server}
        for place, variant in enumerate(kind.variants):
            topology["activities"][f"{name}-{place}"] = {
                "kind": name,
                "hosts": [client],
                "services": [_host("v", name)],
                # A gap as long as the phase: one session somewhere in it.
                "arrival": {"distribution": "constant", "value_s": spread_s},
                "think_time": {"distribution": "exponential", "mean_s": 0.3, "maximum_s": 1.0},
                "session_s": TUNNEL_S if kind.tunnels else SESSION_S,
                "params": {"variants": [variant]},
            }
            if kind.tunnels:
                inside = {"kind": "shop", "services": [_host("i", name)]}
                topology["activities"][f"{name}-{place}"]["inside"] = inside
        if kind.tunnels:
            topology["services"][_host("i", name)] = {"kind": "shop", "host": server}
    return topology


def _host(letter: str, name: str) -> str:
    return f"{letter}-{name}"


def faults(contract: Contract, name: str) -> list[str]:
    """What a kind does not do that the contract asks, in words."""
    kind: ActivityKind[Any] = catalogue()[name]
    sessions = contract.sessions(name)
    found = []
    if {session.variant for session in sessions} != set(kind.variants):
        found.append(f"{name}: not every variant was played")
    for session in sessions:
        what, log = f"{name}/{session.variant}", contract.log(session)
        if session.outcome != "ok":
            found.append(f"{what} {session.outcome}: {log}")
        elif not contract.owned(session):
            found.append(f"{what} owns no flow: {log}")
        elif not contract.on_the_wire(session):
            wire = kind.wire_filter(session.variant)
            found.append(f"{what}: tshark finds no {wire}: {log}")
        if kind.tunnels and not contract.carried(session):
            found.append(f"{what} carries nothing: {log}")
        if kind.malicious and session.effect is None:
            found.append(f"{what} does not say what it achieved: {log}")
    effects = [session.effect for session in sessions if session.effect is not None]
    if kind.malicious and not any(effect["success"] is True for effect in effects):
        found.append(f"{name} never has its effect")
    return found


def main() -> None:
    """Play what the command line names."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("kinds", nargs="*", help="all, if none is named")
    options.add_argument("--backend", choices=("netns", "docker"), action="append")
    options.add_argument("--record", action="store_true", help=f"write {SEEN}")
    asked = options.parse_args()
    seen = json.loads(SEEN.read_text()) if SEEN.exists() else {}
    for backend in asked.backend or ("netns", "docker"):
        names = [
            n for n in asked.kinds or sorted(catalogue()) if backend in catalogue()[n].backends
        ]
        with tempfile.TemporaryDirectory() as folder:
            contracts = played_all(names, backend=backend, folder=Path(folder))
            for name, contract in contracts.items():
                wrong = faults(contract, name)
                sys.stdout.write(f"{backend} {name}: {'; '.join(wrong) or 'ok'}\n")
                for session in contract.sessions(name):
                    if session.effect is not None:
                        sys.stdout.write(f"    {session.variant}: {session.effect}\n")
                if not wrong:
                    seen.setdefault(backend, {})[name] = contract.protocols(name)
    if asked.record:
        SEEN.write_text(json.dumps(seen, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
