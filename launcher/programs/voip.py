"""Telephony: SIP registrations, calls and refusals, and voice over RTP with RTCP.

The server is a switch that answers for everybody: it rings, picks up, speaks, and hangs up when the
caller does. Voice is sent at the codec's rhythm, with pauses where silence is suppressed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

from common import PeerError, Service, Session, begun, emit, main, word
from common_log import connection
from common_rtp import CODECS, Codec, Sender, is_control
from common_rtp import parse as parse_rtp
from common_sip import Message, describe, described
from common_sip import parse as parse_sip

ANSWER_S = 4.0  # how long a request waits for its response
RESEND_S = 0.5
REPORT_S = 2.5


class _Port(asyncio.DatagramProtocol):
    """A UDP socket whose packets go into a queue."""

    def __init__(self) -> None:
        self.packets: asyncio.Queue[tuple[bytes, tuple[str, int]]] = asyncio.Queue()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember how to send."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Keep a packet until somebody takes it."""
        self.packets.put_nowait((data, addr))


async def _open(address: str, port: int = 0) -> _Port:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(_Port, local_addr=(address, port))
    return made


class Voice:
    """Both directions of one call's voice, on a port of ours."""

    def __init__(self, port: _Port, sender: Sender, peer: tuple[str, int] | None) -> None:
        self.port, self.sender, self.peer = port, sender, peer
        self.got = self.got_bytes = self.highest = self.source = 0

    @property
    def number(self) -> int:
        """The port's number."""
        return int(self.port.transport.get_extra_info("sockname")[1])

    async def listen(self) -> None:
        """Count what comes; where it comes from is where we send to."""
        while True:
            packet, place = await self.port.packets.get()
            if is_control(packet):
                continue
            _, self.highest, _, self.source = parse_rtp(packet)
            self.peer = place
            self.got, self.got_bytes = self.got + 1, self.got_bytes + len(packet)

    async def speak(self) -> None:
        """Send a packet whenever one is due, and a report now and then."""
        due = time.monotonic()
        report_at = due + REPORT_S * self.sender.rng.uniform(0.5, 1.5)
        while True:
            if self.peer is not None:
                packet = self.sender.packet()
                if packet is not None:
                    self.port.transport.sendto(packet, self.peer)
                if due > report_at:
                    report_at = due + REPORT_S * self.sender.rng.uniform(0.5, 1.5)
                    told = self.sender.report(time.time(), of=self.source, highest=self.highest)
                    self.port.transport.sendto(told, self.peer)
            due += self.sender.codec.packet_ms / 1_000
            await asyncio.sleep(max(due - time.monotonic(), 0))

    def close(self) -> None:
        """Give the port back."""
        self.port.transport.close()


async def serve(service: Service) -> None:
    """Run the switch on each port."""
    for number in service.ports:
        port = await _open(service.address, number)
        _switches.append(asyncio.create_task(Switch(service, port).run()))


_switches: list[asyncio.Task[None]] = []  # the loop keeps no hold on a task itself


class Switch:
    """Answers registrations and calls."""

    def __init__(self, service: Service, port: _Port) -> None:
        self.service, self.rng, self.port = service, service.rng, port
        self.calls: dict[str, asyncio.Task[None]] = {}
        self.waiting: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Take request after request; what is none is dropped."""
        while True:
            data, place = await self.port.packets.get()
            try:
                message = parse_sip(data)
                if not message.status:
                    self._take(message, place)
            except PeerError as error:
                emit("dropped", error=str(error))

    def _send(self, message: Message, place: tuple[str, int]) -> None:
        self.port.transport.sendto(bytes(message), place)

    def _take(self, request: Message, place: tuple[str, int]) -> None:
        emit("sip", method=request.method, call=request.call)
        if request.method == "INVITE" and request.call not in self.calls:
            self._send(request.reply(100), place)
            task = asyncio.create_task(self._call(request, place))
            self.calls[request.call] = task
        elif request.method in ("BYE", "CANCEL"):
            task_of = self.calls.pop(request.call, None)
            if task_of is not None:
                task_of.cancel()
            self._send(request.reply(200), place)
        elif request.method == "REGISTER" and "Authorization" not in request.headers:
            refused = request.reply(401, tag=word(self.rng))
            nonce = self.rng.randbytes(16).hex()
            refused.headers["WWW-Authenticate"] = f'Digest realm="lab", nonce="{nonce}"'
            self._send(refused, place)
        elif request.method in ("REGISTER", "OPTIONS"):
            self._send(request.reply(200, tag=word(self.rng)), place)

    async def _call(self, request: Message, place: tuple[str, int]) -> None:
        """Ring, and be busy or speak until the caller hangs up."""
        tag, rng = f"{self.rng.getrandbits(32):x}", random.Random(self.rng.getrandbits(64))
        await asyncio.sleep(rng.uniform(0.02, 0.2))
        self._send(request.reply(180, tag=tag), place)
        await asyncio.sleep(min(rng.expovariate(1.2), 3.0))
        if "busy" in request.uri:
            self._send(request.reply(486, tag=tag), place)
            return
        _, codec = described(request.body)
        sender = Sender(rng, codec, silence="quiet" in request.headers.get("Subject", ""))
        voice = Voice(await _open(self.service.address), sender, None)
        address, number = self.service.address, voice.number
        body = describe(address, number, codec, rng.getrandbits(31))
        contact = f"<sip:switch@{address}>"
        self._send(request.reply(200, tag=tag, body=body, contact=contact), place)
        try:
            await asyncio.gather(voice.listen(), voice.speak())
        finally:
            voice.close()
            emit("call", codec=codec.name, got=voice.got, sent=sender.sent)


class Phone:
    """The caller's side."""

    def __init__(self, session: Session, port: _Port) -> None:
        self.session, self.rng, self.params, self.port = session, session.rng, session.params, port
        self.place = (session.peer["address"], session.port)
        self.address = port.transport.get_extra_info("sockname")[0]
        self.user = word(self.rng)
        self.agent = f"{word(self.rng).title()}/{self.rng.randint(1, 9)}.{self.rng.randint(0, 9)}"
        self.number = self.rng.randint(1, 900)

    def request(self, method: str, uri: str, call: str, *, body: str = "") -> Message:
        """A request of this phone's."""
        self.number += 1
        me = f"<sip:{self.user}@{self.place[0]}>;tag={call[:8]}"
        via = f"SIP/2.0/UDP {self.address};rport;branch=z9hG4bK{self.rng.getrandbits(48):x}"
        headers = {
            "Via": via,
            "Max-Forwards": "70",
            "From": me,
            "To": f"<{uri}>",
            "Call-ID": call,
            "CSeq": f"{self.number} {method}",
            "Contact": f"<sip:{self.user}@{self.address}>",
            "User-Agent": self.agent,
            "Subject": "quiet" if self.params.get("silence") else "talk",
        }
        return Message(method, uri, headers=headers, body=body)

    async def ask(self, request: Message, *, patience_s: float = ANSWER_S) -> Message:
        """Send a request, again where nothing comes; its final response."""
        deadline = time.monotonic() + patience_s
        wait_s = RESEND_S
        begun()
        self.port.transport.sendto(bytes(request), self.place)
        while time.monotonic() < deadline:
            try:
                data, _ = await asyncio.wait_for(self.port.packets.get(), wait_s)
            except TimeoutError:
                if request.method != "INVITE":
                    self.port.transport.sendto(bytes(request), self.place)
                wait_s *= 2
                continue
            reply = parse_sip(data)
            if reply.headers.get("CSeq") == request.headers["CSeq"] and reply.status >= 200:
                return reply
        raise PeerError(f"no answer to {request.method}")

    async def register(self) -> None:
        """Say where this phone is; the switch wants to know the password."""
        uri, call = f"sip:{self.place[0]}", self.rng.randbytes(12).hex()
        reply = await self.ask(self.request("REGISTER", uri, call))
        if reply.status == 401:
            again = self.request("REGISTER", uri, call)
            digest = self.rng.randbytes(16).hex()
            again.headers["Authorization"] = f'Digest username="{self.user}", response="{digest}"'
            reply = await self.ask(again)
        emit("register", status=reply.status)

    async def call(self, codec: Codec, seconds: float, *, busy: bool) -> None:
        """Call somebody, talk for so long, and hang up."""
        call = self.rng.randbytes(12).hex()
        uri = f"sip:{'busy-' if busy else ''}{word(self.rng)}@{self.place[0]}"
        sender = Sender(self.rng, codec, silence=bool(self.params.get("silence")))
        voice = Voice(await _open(self.address), sender, None)
        try:
            body = describe(self.address, voice.number, codec, self.rng.getrandbits(31))
            invite, asked_ns = self.request("INVITE", uri, call, body=body), time.time_ns()
            reply = await self.ask(invite, patience_s=max(self.session.left_s() - 0.5, 1.0))
            ack = self.request("ACK", uri, call)
            ack.headers["CSeq"] = invite.headers["CSeq"].replace("INVITE", "ACK")
            self.port.transport.sendto(bytes(ack), self.place)
            if reply.status == 200:
                voice.peer = (self.place[0], described(reply.body)[0])
                connection("udp", (self.address, voice.number), voice.peer, asked_ns)
                await self._talk(voice, seconds)
                await self.ask(self.request("BYE", uri, call))
        finally:
            voice.close()
            emit("call", codec=codec.name, sent=sender.sent, got=voice.got)

    async def _talk(self, voice: Voice, seconds: float) -> None:
        limit_s = max(min(seconds, self.session.left_s() - 1.0), 0.2)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(voice.listen(), voice.speak()), limit_s)


async def act(session: Session) -> None:
    """Register, and call, again and again."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((session.peer["address"], session.port))  # sends nothing
        address = probe.getsockname()[0]
    phone = Phone(session, await _open(address))
    if session.params.get("register", True):
        await phone.register()
    for action in range(int(session.params.get("actions", 1))):
        if action and not await session.pause():
            break
        if session.left_s() < 1.5:
            break
        codec = CODECS[str(session.params.get("codec", "pcma"))]
        busy = action > 0 and session.rng.random() < float(session.params["busy_share"])
        await phone.call(codec, float(session.params.get("talk_s", 20.0)), busy=busy)


if __name__ == "__main__":
    main(serve, act)
