"""nmap, and what it says of every packet that it builds itself."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common import Session
from common_log import all_told, connection
from common_tool import run_tool

End = tuple[str, int]
_SENT = re.compile(r"^SENT \S+ (TCP|UDP) (\S+):(\d+) > (\S+):(\d+) ", re.MULTILINE)
_PINGED = re.compile(r"^SENT \S+ ICMP \[(\S+) > (\S+) ", re.MULTILINE)


class Probe(NamedTuple):
    """What one packet, or several alike, was sent from and to; ICMP has no ports."""

    protocol: str
    local: End
    far: End


def probes(trace: str) -> Iterator[Probe]:
    """The different probes of a packet trace."""
    found = {
        Probe(protocol.lower(), (own, int(sport)), (far, int(dport)))
        for protocol, own, sport, far, dport in _SENT.findall(trace)
    }
    found |= {Probe("icmp", (own, 0), (far, 0)) for own, far in _PINGED.findall(trace)}
    yield from sorted(found)


def run_nmap(
    session: Session, arguments: Sequence[str], folder: Path, *, connects: bool = False
) -> str:
    """Run nmap; its findings in the form of ``-oG``.

    Its probes are logged as connections, and that these are all, unless it ``connects`` by the
    kernel, of which it does not say enough.
    """
    found, began_ns = folder / "found", time.time_ns()
    ran = run_tool(
        session, ["nmap", "-n", "--packet-trace", "-oG", str(found), *arguments], folder, fine=None
    )
    for probe in probes(ran.output):
        connection(probe.protocol, probe.local, probe.far, began_ns)
    if not connects and not ran.late:
        all_told("tcp", "udp")
    return found.read_text(errors="replace") if found.exists() else ""
