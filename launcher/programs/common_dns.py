"""The made-up zone of the lab's name server: the same name has the same answer for everybody."""

from __future__ import annotations

import math
import random
import struct
import zlib
from typing import TYPE_CHECKING, Any

from common import PeerError, heavy, word

if TYPE_CHECKING:
    from dnslib import EDNS0, DNSRecord


def answer(query: bytes, salt: int, limit: int | None) -> tuple[bytes, float, str]:
    """The reply to a query, how long a resolver would need for it (seconds), and the name.

    ``limit`` is what fits in one datagram without EDNS, or None over TCP.
    """
    from dnslib import EDNS0, QTYPE, RCODE, DNSError, DNSRecord

    try:
        asked = DNSRecord.parse(query)
    except (DNSError, struct.error, IndexError) as error:
        raise PeerError(f"no DNS query: {error}") from error
    if not asked.questions or asked.header.qr:
        raise PeerError("no question")
    name = str(asked.q.qname).lower()
    rng = random.Random(zlib.crc32(f"{salt}/{name}/{asked.q.qtype}".encode()))
    reply: DNSRecord = asked.reply()
    fate = rng.random()
    if fate < 0.04:
        reply.header.rcode = RCODE.SERVFAIL
    elif fate < (0.3 if asked.q.qtype == QTYPE.AAAA else 0.07):
        pass  # the name exists, not with this type
    elif fate < (0.35 if asked.q.qtype == QTYPE.AAAA else 0.12):
        reply.header.rcode = RCODE.NXDOMAIN
        reply.add_auth(_record(rng, "SOA", ".".join(name.split(".")[-3:])))
    else:
        _fill(reply, rng, name, asked.q.qtype)
    sizes = [record.edns_len for record in asked.ar if record.rtype == 41]
    options = EDNS0(udp_len=rng.choice((1_232, 1_400, 4_096))) if sizes else None
    packet = _packed(reply, options)
    if limit is not None and len(packet) > max(limit, min(sizes[0], 1_232) if sizes else 0):
        short = asked.reply()
        short.header.tc = 1
        packet = _packed(short, options)
    known = rng.random() < 0.6
    delay_s = rng.lognormvariate(math.log(0.0004 if known else 0.03), 0.9)
    return packet, min(delay_s, 0.8), name


def _packed(reply: DNSRecord, options: EDNS0 | None) -> bytes:
    if options is not None:
        reply.add_ar(options)
    return bytes(reply.pack())


def _fill(reply: DNSRecord, rng: random.Random, name: str, qtype: int) -> None:
    from dnslib import QTYPE

    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
        alias = ".".join([*(word(rng) for _ in range(rng.randint(1, 4))), "cdn.lab"])
        reply.add_answer(_record(rng, "CNAME", name, alias))
        name = alias
    # The long tail: name servers' lists, key material, policies; some do not fit a datagram.
    kind = str(QTYPE.get(qtype, "TXT"))
    count = heavy(rng, 2.0, 0.9, 1, 40)
    for _ in range(count):
        reply.add_answer(_record(rng, kind if kind in _MAKERS else "TXT", name))
    for _ in range(rng.choice((0, 0, 0, 2, 4))):
        reply.add_auth(_record(rng, "NS", ".".join(name.split(".")[-2:])))


def _text(rng: random.Random) -> list[bytes]:
    return [
        rng.randbytes(heavy(rng, 60, 1.0, 8, 250)).hex()[:250].encode()
        for _ in range(rng.choice((1, 1, 1, 2, 4)))
    ]


def _host(rng: random.Random) -> str:
    return f"{word(rng)}.{word(rng)}.lab"


_MAKERS: dict[str, Any] = {
    "A": lambda d, r: d.A(f"198.18.{r.randrange(256)}.{r.randrange(1, 255)}"),
    "AAAA": lambda d, r: d.AAAA(f"2001:db8::{r.getrandbits(16):x}"),
    "TXT": lambda d, r: d.TXT(_text(r)),
    "MX": lambda d, r: d.MX(_host(r), r.randint(1, 50)),
    "NS": lambda d, r: d.NS(_host(r)),
    "PTR": lambda d, r: d.PTR(_host(r)),
    "SRV": lambda d, r: d.SRV(r.randint(0, 9), r.randint(0, 9), r.randint(1, 65_535), _host(r)),
    "SOA": lambda d, r: d.SOA(_host(r), _host(r), (r.getrandbits(31), 7_200, 3_600, 86_400, 60)),
}


def _record(rng: random.Random, kind: str, name: str, alias: str = "") -> Any:
    import dnslib

    data = dnslib.CNAME(alias) if kind == "CNAME" else _MAKERS[kind](dnslib, rng)
    return dnslib.RR(name, getattr(dnslib.QTYPE, kind), rdata=data, ttl=rng.randint(1, 86_400))
