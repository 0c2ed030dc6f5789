"""HTTP/2 for the lab programs, over the h2 library: a server and a client of one connection."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import common_net
from common import PeerError, Session, noise
from common_headers import Headers
from common_http import Answer, Fetched, Reply, Request, log_reply
from common_tls import client_context, server_name
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

READ = 65_536
MAX_FRAME = 16_384


class _Endpoint:
    """What both sides do: send bodies as far as flow control lets them, read and write."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool
    ) -> None:
        config = H2Configuration(client_side=client, header_encoding="utf-8")
        self.link = H2Connection(config=config)
        self.reader, self.writer = reader, writer
        self.unsent: dict[int, bytearray] = {}
        self.growing: set[int] = set()  # streams whose body has more to come
        self.tasks: set[asyncio.Task[None]] = set()

    def pump(self) -> None:
        """Send what the windows allow of every body, in turns."""
        for stream in list(self.unsent):
            body = self.unsent[stream]
            while body:
                room = min(self.link.local_flow_control_window(stream), MAX_FRAME, len(body))
                if room <= 0:
                    break
                self.link.send_data(stream, bytes(body[:room]))
                del body[:room]
            if not body and stream not in self.growing:
                del self.unsent[stream]
                self.link.end_stream(stream)

    async def flush(self) -> None:
        """Write what h2 has made."""
        data = self.link.data_to_send()
        if data:
            self.writer.write(data)
            await self.writer.drain()

    async def events(self) -> list[Event] | None:
        """What the peer sent next; None at its end."""
        data = await self.reader.read(READ)
        if not data:
            return None
        try:
            return list(self.link.receive_data(data))
        except ProtocolError as error:
            raise PeerError(f"HTTP/2: {error}") from error


async def serve_h2(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer
) -> None:
    """Serve one connection."""
    end = _Endpoint(reader, writer, client=False)
    end.link.initiate_connection()
    await end.flush()
    requests: dict[int, Request] = {}
    try:
        while (events := await end.events()) is not None:
            for event in events:
                _take(end, requests, event, answer)
            with contextlib.suppress(ProtocolError):
                end.pump()
            await end.flush()
    finally:
        for task in end.tasks:
            task.cancel()


def _take(end: _Endpoint, requests: dict[int, Request], event: Event, answer: Answer) -> None:
    if isinstance(event, RequestReceived):
        fields = _text(event.headers)
        requests[event.stream_id or 0] = Request(fields.get(":method", ""), fields.get(":path", ""))
    elif isinstance(event, DataReceived):
        stream = event.stream_id or 0
        end.link.acknowledge_received_data(event.flow_controlled_length or 0, stream)
        if stream in requests:
            requests[stream].body_bytes += len(event.data or b"")
    elif isinstance(event, StreamReset):
        requests.pop(event.stream_id or 0, None)
        end.unsent.pop(event.stream_id or 0, None)
    elif isinstance(event, StreamEnded) and event.stream_id in requests:
        request = requests.pop(event.stream_id)
        reply = answer(request)
        log_reply(request, reply, "2")
        task = asyncio.create_task(_respond(end, event.stream_id, reply))
        end.tasks.add(task)
        task.add_done_callback(end.tasks.discard)


async def _respond(end: _Endpoint, stream: int, reply: Reply) -> None:
    await asyncio.sleep(reply.delay_s)
    headers = [(":status", str(reply.status))]
    headers += [(name.lower(), value) for name, value in reply.headers]
    headers.append(("content-length", str(reply.length)))
    # The client may have gone, or given this stream up, while the answer was thought about.
    with contextlib.suppress(ProtocolError, OSError):
        end.link.send_headers(stream, headers)
        body = end.unsent[stream] = bytearray(reply.body or b"")
        end.growing.add(stream)
        for block in noise(reply.size if reply.body is None else 0):
            body += block
            end.pump()
            await end.flush()
            if reply.rate_bytes_s:
                await asyncio.sleep(len(block) / reply.rate_bytes_s)
        end.growing.discard(stream)
        end.pump()
        await end.flush()


def _text(headers: Iterable[tuple[Any, Any]] | None) -> dict[str, str]:
    """Headers as text; the library's own type for them differs between releases."""
    return {str(name): str(value) for name, value in headers or ()}


@dataclass
class Ask:
    """One request of a client."""

    path: str
    method: str = "GET"
    body_bytes: int = 0


@dataclass
class _Reply:
    status: int = 0
    start: bytes = b""
    size: int = 0


class H2Client:
    """One HTTP/2 connection that carries any number of requests at once."""

    def __init__(self, session: Session, headers: Headers) -> None:
        self.session = session
        self.headers = [(name.lower(), value) for name, value in headers]
        self.name = server_name(session.rng, session.peer["host"])
        self._end: _Endpoint | None = None

    async def open(self) -> _Endpoint:
        """Connect and exchange settings."""
        rng = self.session.rng
        tls = client_context(rng, rng.choice((["h2"], ["h2", "http/1.1"])))
        streams = await common_net.connect(self.session, self.session.port, tls=tls, name=self.name)
        end = self._end = _Endpoint(*streams, client=True)
        end.link.local_settings = Settings(client=True, initial_values=_settings(rng))
        end.link.initiate_connection()
        end.link.increment_flow_control_window(rng.choice((1 << 20, 6 << 20, 12 << 20)))
        await end.flush()
        return end

    async def fetch(self, asks: Sequence[Ask]) -> list[Fetched]:
        """Send all requests at once; status, first block and size of each reply."""
        end = self._end or await self.open()
        streams = {self._send(end, ask): _Reply() for ask in asks}
        waiting = set(streams)
        end.pump()
        await end.flush()
        while waiting:
            events = await end.events()
            if events is None:
                raise EOFError("the server closed the connection")
            for event in events:
                _collect(end, event, streams, waiting)
            end.pump()
            await end.flush()
        return [Fetched(reply.status, reply.start, reply.size) for reply in streams.values()]

    def _send(self, end: _Endpoint, ask: Ask) -> int:
        stream = end.link.get_next_available_stream_id()
        headers = [
            (":method", ask.method),
            (":scheme", "https"),
            (":authority", self.name),
            (":path", ask.path),
            *self.headers,
        ]
        end.link.send_headers(stream, headers, end_stream=not ask.body_bytes)
        if ask.body_bytes:
            end.unsent[stream] = bytearray(b"".join(noise(ask.body_bytes)))
        return stream

    async def close(self) -> None:
        """Say goodbye and disconnect."""
        if self._end is not None:
            end, self._end = self._end, None
            with contextlib.suppress(OSError, ProtocolError):
                end.link.close_connection()
                await end.flush()
            await common_net.disconnect(end.writer, self.session.rng)


def _collect(end: _Endpoint, event: Event, streams: dict[int, _Reply], waiting: set[int]) -> None:
    stream = getattr(event, "stream_id", None)
    if stream not in streams:
        return
    if isinstance(event, ResponseReceived):
        streams[stream].status = int(_text(event.headers).get(":status", 0))
    elif isinstance(event, DataReceived):
        end.link.acknowledge_received_data(event.flow_controlled_length or 0, stream)
        data = event.data or b""
        streams[stream].start = streams[stream].start or data
        streams[stream].size += len(data)
    elif isinstance(event, (StreamEnded, StreamReset)):
        waiting.discard(stream)


def _settings(rng: random.Random) -> dict[SettingCodes, int]:
    """Settings as one of several kinds of client announces them."""
    settings = {
        SettingCodes.ENABLE_PUSH: 0,
        SettingCodes.INITIAL_WINDOW_SIZE: rng.choice((65_535, 131_072, 1 << 20, 6 << 20)),
        SettingCodes.MAX_HEADER_LIST_SIZE: rng.choice((16_384, 65_536, 262_144)),
        SettingCodes.MAX_CONCURRENT_STREAMS: rng.choice((100, 250, 1_000)),
    }
    for code in (SettingCodes.MAX_HEADER_LIST_SIZE, SettingCodes.MAX_CONCURRENT_STREAMS):
        if rng.random() < 0.5:
            del settings[code]
    return settings
