"""DNS over HTTPS: browsers' and applications' resolvers over HTTP/2, curl and kdig."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import common_net
from common import PeerError, Service, Session, emit, heavy, main
from common_pem import server_name, write_authority
from common_tool import home, run_tool
from common_unbound import query, serve_unbound, wanted

PATH = "/dns-query"
TYPE = "application/dns-message"
READ_BYTES = 65_536


async def serve(service: Service) -> None:
    """Run the resolver."""
    await serve_unbound(service, https=True)


def act(session: Session) -> Awaitable[None] | None:
    """Resolve as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "kept"))
    if variant in ("curl", "tool"):
        with home() as folder:
            (_curl if variant == "curl" else _kdig)(session, folder)
        return None
    return _resolve(session, burst=variant == "burst")


class Resolver:
    """A connection to the resolver, with many questions at once."""

    def __init__(self, session: Session, streams: common_net.Streams) -> None:
        from h2.config import H2Configuration
        from h2.connection import H2Connection

        self.session, self.rng = session, session.rng
        self.reader, self.writer = streams
        self.link: Any = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.link.initiate_connection()
        self.host = server_name(session.peer["host"])
        self.post = session.rng.random() < 0.5
        self.agent = session.rng.choice(("", "Mozilla/5.0 (X11; Linux x86_64)", "dnscrypt-proxy"))

    def ask(self) -> None:
        """Send one question."""
        padded = bool(self.session.params.get("padded"))
        packet = b"\0\0" + query(self.rng, self.session.peer["host"], padded=padded)[2:]
        headers = [
            (":method", "POST" if self.post else "GET"),
            (":scheme", "https"),
            (":authority", self.host),
            (":path", PATH if self.post else f"{PATH}?dns={encoded(packet)}"),
            ("accept", TYPE),
            *([("user-agent", self.agent)] if self.agent else []),
        ]
        stream = self.link.get_next_available_stream_id()
        if self.post:
            headers += [("content-type", TYPE), ("content-length", str(len(packet)))]
        self.link.send_headers(stream, headers, end_stream=not self.post)
        if self.post:
            self.link.send_data(stream, packet, end_stream=True)

    async def answers(self, count: int) -> int:
        """Send what is asked and wait for the answers; their bytes."""
        from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset

        size = 0
        while count:
            self.writer.write(self.link.data_to_send())
            data = await self.reader.read(READ_BYTES)
            if not data:
                raise EOFError("the server closed the connection")
            for event in self.link.receive_data(data):
                if isinstance(event, DataReceived):
                    size += len(event.data)
                    self.link.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                elif isinstance(event, StreamReset):
                    raise PeerError("the server reset a stream")
                elif isinstance(event, ResponseReceived):
                    _good(event.headers)
                count -= isinstance(event, StreamEnded)
        self.writer.write(self.link.data_to_send())
        return size


def _good(headers: Any) -> None:
    status = dict(headers)[":status"]
    if status != "200":
        raise PeerError(f"status {status}")


def encoded(packet: bytes) -> str:
    """A question as it stands in an address (RFC 8484)."""
    return base64.urlsafe_b64encode(packet).decode().rstrip("=")


async def _resolve(session: Session, *, burst: bool) -> None:
    """A browser's resolver: a question now and then, or all that a page needs at once."""
    from h2.exceptions import ProtocolError

    with home() as folder:
        context = ssl.create_default_context(cafile=str(write_authority(folder)))
        context.set_alpn_protocols(["h2"])
        streams = await common_net.connect(
            session, session.port, tls=context, name=server_name(session.peer["host"])
        )
        try:
            resolver = Resolver(session, streams)
            async for _ in session.paced_actions():
                count = heavy(session.rng, 6, 0.7, 2, 40) if burst else session.rng.choice((1, 2))
                for _ in range(count):
                    resolver.ask()
                emit("answers", count=count, bytes=await resolver.answers(count))
        except ProtocolError as error:
            raise PeerError(f"HTTP/2: {error}") from error
        finally:
            await common_net.disconnect(streams[1], session.rng)


def _curl(session: Session, folder: Path) -> None:
    """curl, with a question of a script's or for a page that it then asks for."""
    rng, name = session.rng, server_name(session.peer["host"])
    place = f"{name}:{session.port}:{session.peer['address']}"
    common = ["curl", "-sS", "--noproxy", "*", "--http2", "--cacert", str(write_authority(folder))]
    file = folder / "question"
    for _ in session.actions():
        url = f"https://{name}:{session.port}{PATH}"
        command = [*common, "-o", "/dev/null", "--resolve", place]
        if rng.random() < 0.4:
            page = f"https://www.lab:{session.port}/"
            command += ["--doh-url", url, "--doh-insecure", "-k", page]
        else:
            file.write_bytes(query(rng, session.peer["host"], padded=rng.random() < 0.5))
            command += ["-H", f"content-type: {TYPE}", "--data-binary", f"@{file}", url]
        run_tool(session, command, folder)


def _kdig(session: Session, folder: Path) -> None:
    """knot's command-line resolver."""
    rng, name = session.rng, server_name(session.peer["host"])
    for _ in session.actions():
        command = ["kdig", f"@{session.peer['address']}", "-p", str(session.port)]
        command += [rng.choice(("+https", "+https-get")), f"+tls-hostname={name}"]
        command += [f"+tls-ca={write_authority(folder)}"]
        for _ in range(rng.choice((1, 1, 2, 4))):
            command += list(wanted(rng, session.peer["host"]))
        run_tool(session, command, folder)


if __name__ == "__main__":
    main(serve, act)
