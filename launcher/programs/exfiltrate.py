"""A file on its way out: in DNS names, in HTTPS requests, in pings."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import time

import common_net
from common import PeerError, Session, emit, main, word
from common_drop import messages, to_name
from common_syn import checksum
from common_tls import client_context, server_name
from common_tool import home, run_tool

MAX_BYTES, MAX_RATE_S = 2_000_000, 60.0
ANSWER_S, TRIES = 1.5, 3
ECHO, ECHO_REPLY = 8, 0


async def act(session: Session) -> None:
    """Send a file out; the effect is that the server has all of it."""
    way = str(session.params["way"])
    size = min(int(session.params["bytes"]), MAX_BYTES)
    whole, sent = False, 0
    begin = time.monotonic()
    try:
        for message in messages(session.rng, size, int(session.params["piece"])):
            said = await SENDERS[way](session, message)
            sent += len(message)
            if said in ("ok", "no"):
                whole = said == "ok"
                return
            rate_s = min(float(session.params["rate_s"]), MAX_RATE_S)
            if not await session.sleep(session.rng.expovariate(rate_s)):
                return
    finally:
        if way == "https":
            close_https(session)
        seconds = round(time.monotonic() - begin, 2)
        emit("effect", success=whole, sent_bytes=sent, seconds=seconds)


async def by_dns(session: Session, message: bytes) -> str:
    """The message in a name; what the record says."""
    import dnslib

    kind = {"dns-txt": "TXT", "dns-cname": "CNAME", "dns-a": "A"}[str(session.params["variant"])]
    query = dnslib.DNSRecord.question(to_name(message), kind)
    query.header.id = session.rng.getrandbits(16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(ANSWER_S)
        sock.connect((session.peer["address"], session.peer["ports"][0]))
        for _ in range(TRIES):
            sock.send(query.pack())
            with contextlib.suppress(TimeoutError):
                answer = dnslib.DNSRecord.parse(sock.recv(65_536))
                return _said(str(answer.rr[0].rdata)) if answer.rr else ""
    raise PeerError("the server does not answer")


def _said(record: str) -> str:
    """What an answer's record means."""
    if record.startswith("198.19.255."):
        return {"1": "ok", "2": "no"}.get(record.rpartition(".")[2], "more")
    return record.strip('"').split(".")[0].split('"')[0]


async def by_https(session: Session, message: bytes) -> str:
    """The message as the body of a request, on a connection that stays or a new one each."""
    port, name = session.peer["ports"][2], server_name(session.rng, session.peer["host"])
    if session.params["variant"] == "https-curl":
        with home() as folder:
            (folder / "body").write_bytes(message)
            url = f"https://{session.peer['address']}:{port}/up/{word(session.rng)}"
            command = ["curl", "-sSk", "-m", "10", "--data-binary", "@body", url]
            return (await asyncio.to_thread(run_tool, session, command, folder, fine=None)).output
    streams = _streams.get(id(session))
    if streams is None:
        secure = client_context(session.rng)
        streams = await common_net.connect(session, port, tls=secure, name=name)
        _streams[id(session)] = streams
    reader, writer = streams
    head = f"POST /up/{word(session.rng)} HTTP/1.1\r\nHost: {name}\r\n"
    writer.write(f"{head}Content-Length: {len(message)}\r\n\r\n".encode() + message)
    await writer.drain()
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    said = (await reader.readexactly(length)).decode()
    if session.params["variant"] == "https-drip":
        close_https(session)
    return said


def close_https(session: Session) -> None:
    """End the session's connection, if there is one."""
    streams = _streams.pop(id(session), None)
    if streams is not None:
        streams[1].close()


async def by_icmp(session: Session, message: bytes) -> str:
    """The message in an echo request; every answer is waited for, the last is the server's own."""
    number = session.rng.getrandbits(16)
    head = struct.pack("!BBHHH", ECHO, 0, 0, number, session.rng.getrandbits(16))
    odd = b"\0" * (len(message) % 2)
    total = struct.pack("!H", checksum(head + message + odd))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        for _ in range(TRIES):
            raw.sendto(head[:2] + total + head[4:] + message, (session.peer["address"], 0))
            if (said := _echoed(raw, number, message)) is not None:
                return said
    raise PeerError("the host does not answer")


def _echoed(raw: socket.socket, number: int, message: bytes) -> str | None:
    """What came back: 'more' for the kernel's answer to a piece, the server's word for the last."""
    last, end = message[4:6] == b"\xff\xff", time.monotonic() + ANSWER_S
    while (left_s := end - time.monotonic()) > 0 and select.select([raw], [], [], left_s)[0]:
        packet = raw.recv(65_536)
        reply = packet[(packet[0] & 15) * 4 :]
        if len(reply) < 8 or reply[0] != ECHO_REPLY or struct.unpack("!H", reply[4:6])[0] != number:
            continue
        if reply[8:] in (b"okok", b"nono"):
            return reply[8:10].decode()
        if not last:
            return "more"
    return None


_streams: dict[int, common_net.Streams] = {}
SENDERS = {"dns": by_dns, "https": by_https, "icmp": by_icmp}


if __name__ == "__main__":
    main(None, act)
