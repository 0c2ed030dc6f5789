"""Proxies: SOCKS 5 (RFC 1928, 1929) or HTTP CONNECT, in the open and inside TLS.

The server listens in the open on its first port and for TLS on its second; on both the first byte
tells the two protocols apart. It connects to hosts of the lab only.
"""

from __future__ import annotations

import asyncio
import base64

import common_net
from common import PeerError, Service, Session, main, word
from common_inside import Streams, carry
from common_proxy import serve_one
from common_socks import ask
from common_tls import client_context, server_contexts, server_name

DIAL_S = 5.0
HEADERS = {
    "curl": ("User-Agent: curl/7.88.1", "Proxy-Connection: Keep-Alive"),
    "git": ("User-Agent: git/2.39.5", "Proxy-Connection: Keep-Alive"),
    "browser": (
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Proxy-Connection: keep-alive",
        "Connection: keep-alive",
    ),
    "bare": (),
}
OFFERS_GSSAPI = ("curl", "git")


async def serve(service: Service) -> None:
    """Listen on both ports."""
    plain, secure = service.ports
    await common_net.listen(service, plain, serve_one)
    contexts = server_contexts(service.rng, service.host)
    await common_net.listen(service, secure, serve_one, tls=contexts)


class Client:
    """Opens connections through the proxy, as the variant says."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng = session, session.rng
        self.variant = str(session.params["variant"])
        self.secure = self.variant.startswith("tls")
        self.login = (word(self.rng), word(self.rng, 6, 14))

    async def open(self, address: str, port: int) -> Streams:
        """A connection to ``address:port`` by way of the proxy."""
        name = server_name(self.rng, self.session.peer["host"])
        streams = await common_net.connect(
            self.session,
            self.session.peer["ports"][1 if self.secure else 0],
            tls=client_context(self.rng) if self.secure else None,
            name=name if self.secure else None,
        )
        try:
            if self.variant in ("connect", "tls-connect"):
                await self._connect(streams, address, port)
            else:
                await self._ask(streams, address, port)
            # Browsers and tools open connections before they have something to send.
            await asyncio.sleep(float(self.session.params["ahead_s"]))
        except BaseException:
            streams[1].close()
            raise
        return streams

    async def _ask(self, streams: Streams, address: str, port: int) -> None:
        params = self.session.params
        login = self.login if params["login"] else None
        await ask(streams, address, port, login=login, gssapi=params["client"] in OFFERS_GSSAPI)

    async def _connect(self, streams: Streams, address: str, port: int) -> None:
        reader, writer = streams
        lines = [f"CONNECT {address}:{port} HTTP/1.1", f"Host: {address}:{port}"]
        if self.session.params["login"]:
            login = base64.b64encode(":".join(self.login).encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {login}")
        lines += HEADERS[str(self.session.params["client"])]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DIAL_S)
        if b" 200 " not in answer:
            raise PeerError(answer[:60].decode(errors="replace"))


async def act(session: Session) -> None:
    """Carry another activity through the proxy."""
    await carry(session, Client(session).open)


if __name__ == "__main__":
    main(serve, act)
