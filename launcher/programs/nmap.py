"""Port scans by nmap in its modes, at a bounded rate, of the session's own host."""

from __future__ import annotations

import re

from common import Session, emit, main
from common_nmap import run_nmap
from common_tool import home

MAX_RATE_S = 200.0
MODES = {
    "syn": ("-sS",),
    "connect": ("-sT",),
    "fin": ("-sF",),
    "xmas": ("-sX",),
    "null": ("-sN",),
    "udp": ("-sU",),
    "version": ("-sT", "-sV", "--version-intensity", "2"),
    "os": ("-sS", "-O", "--max-os-tries", "1"),
}


def act(session: Session) -> None:
    """Scan; the effect is that the ports found open are those that are, among those tried."""
    variant, target = str(session.params["variant"]), session.peer["address"]
    real = {int(port) for peer in session.peers for port in peer["ports"]}
    tried = _ports(session, real)
    found: set[int] = set()
    ended = False
    try:
        with home() as folder:
            command = ["-Pn", *MODES[variant]]
            command += ["--max-rate", str(min(float(session.params["rate_s"]), MAX_RATE_S))]
            command += ["--max-retries", "2", "-p", ",".join(map(str, sorted(tried)))]
            if session.params["fragments"] and variant in ("syn", "fin", "xmas", "null"):
                command.append("-f")
            connects = "-sT" in MODES[variant]
            said = run_nmap(session, [*command, target], folder, connects=connects)
        found = {int(port) for port in re.findall(r"(\d+)/open(?:\|filtered)?/", said)}
        ended = "nmap done" in said.lower()
    finally:
        expected = real & tried
        success = ended and bool(expected) and (found == expected or variant == "udp")
        emit("effect", success=success, found=len(found), expected=len(expected), tried=len(tried))


def _ports(session: Session, real: set[int]) -> set[int]:
    """A sample of the usual ports; those of the target's services mostly among them."""
    rng, count = session.rng, int(session.params["ports"])
    known = {port for port in real if rng.random() < 0.9}
    return known | set(rng.sample(range(1, 10_000), count))


if __name__ == "__main__":
    main(None, act)
