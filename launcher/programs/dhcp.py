"""Addresses and settings by DHCP: devices that join, renew and ask, and a relay agent.

The lab's hosts keep their own addresses: what a device is given is used by nobody. A device that
has an address already, and a relay (RFC 8357), speak from a port of their own, and the server
believes that port, as dnsmasq does; a device that joins has to use the usual one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
import struct
import time
from typing import Any

import common_dhcp as dhcp
from common import PeerError, Service, Session, begun, emit, main, word
from common_dhcp import Message, network_of, open_socket, own_address

WAIT_S, TRIES = 1.5, 4
MAX_LEASES = 2_000
RELAY_PORT = b"\x13\x00"  # sub-option of a relay: answer to the port I send from
MAKERS = (
    # What different systems ask for, and what they call themselves.
    (b"MSFT 5.0", bytes((1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252))),
    (b"android-dhcp-13", bytes((1, 3, 6, 15, 26, 28, 51, 58, 59, 43, 114, 108))),
    (b"", bytes((1, 121, 3, 6, 15, 108, 114, 119, 252))),
    (b"dhcpcd-9.4.1:Linux-6.1:x86_64", bytes((1, 33, 3, 6, 12, 15, 28, 42, 51, 54, 58, 59, 119))),
    (b"udhcp 1.36.1", bytes((1, 3, 6, 12, 15, 28, 42))),
    (b"", bytes((1, 3, 6))),
)


class Server(asyncio.DatagramProtocol):
    """Gives out addresses of its own network and says what else there is."""

    def __init__(self, service: Service, network: ipaddress.IPv4Network) -> None:
        self.service, self.rng = service, service.rng
        self.address = ipaddress.IPv4Address(service.address)
        self.free = list(network.hosts())[network.num_addresses // 2 :][:MAX_LEASES]
        self.leases: dict[bytes, ipaddress.IPv4Address] = {}
        self.lease_s = service.rng.choice((600, 3_600, 43_200, 86_400))
        names = b"".join(self.address.packed for _ in range(service.rng.randint(1, 3)))
        domain = f"{word(service.rng)}.lab".encode()
        self.settings = {
            dhcp.MASK: network.netmask.packed,
            dhcp.ROUTER: network[1].packed,
            dhcp.NAMES: names,
            dhcp.DOMAIN: domain,
            28: network.broadcast_address.packed,
            42: self.address.packed,
            119: bytes((len(domain) - 4,)) + domain[:-4] + b"\x03lab\0",
            252: f"http://{domain.decode()}/wpad.dat".encode(),
        }

    def connection_made(self, transport: Any) -> None:
        """Keep the socket."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a client or a relay."""
        try:
            asked = Message.parse(data)
        except PeerError as error:
            emit("dropped", error=str(error))
            return
        answer = self._answer(asked)
        emit("asked", kind=asked.kind, answered=answer is not None)
        if answer is not None:
            delay_s = min(self.rng.lognormvariate(-6, 1.0), 0.3)
            place = self._place(asked, addr)
            loop = asyncio.get_running_loop()
            loop.call_later(delay_s, self.transport.sendto, answer.pack(), place)

    def _place(self, asked: Message, addr: tuple[str, int]) -> tuple[str, int]:
        if asked.relay != dhcp.NOWHERE:
            trusted = RELAY_PORT in asked.options.get(dhcp.AGENT, b"")
            return str(asked.relay), addr[1] if trusted else dhcp.SERVER_PORT
        if asked.client != dhcp.NOWHERE:
            return str(asked.client), addr[1]
        return dhcp.BROADCAST, dhcp.CLIENT_PORT

    def _answer(self, asked: Message) -> Message | None:
        if asked.kind not in (dhcp.DISCOVER, dhcp.REQUEST, dhcp.INFORM):
            if asked.kind == dhcp.RELEASE and asked.hardware in self.leases:
                self.free.append(self.leases.pop(asked.hardware))
            return None
        answer = Message(
            asked.number,
            asked.hardware,
            reply=True,
            broadcast=asked.broadcast,
            client=asked.client,
            relay=asked.relay,
        )
        kind = dhcp.OFFER if asked.kind == dhcp.DISCOVER else dhcp.ACK
        answer.options = {dhcp.KIND: bytes((kind,)), dhcp.SERVER: self.address.packed}
        if asked.kind != dhcp.INFORM:
            answer.yours = self._lease(asked)
            for code, share in ((dhcp.TIME, 1.0), (dhcp.RENEWAL, 0.5), (dhcp.REBINDING, 0.875)):
                answer.options[code] = struct.pack("!I", int(self.lease_s * share))
        wanted = asked.options.get(dhcp.LIST, b"")
        answer.options |= {c: value for c, value in self.settings.items() if c in wanted}
        if dhcp.AGENT in asked.options:
            answer.options[dhcp.AGENT] = asked.options[dhcp.AGENT]
        return answer

    def _lease(self, asked: Message) -> ipaddress.IPv4Address:
        if asked.client != dhcp.NOWHERE:
            return asked.client
        if asked.hardware not in self.leases:
            if not self.free:
                self.free.append(self.leases.pop(next(iter(self.leases))))
            self.leases[asked.hardware] = self.free.pop(self.rng.randrange(len(self.free)))
        return self.leases[asked.hardware]


async def serve(service: Service) -> None:
    """Serve on the usual port."""
    sock = open_socket(service.address, service.ports[0])
    network = network_of(service.address, sock)
    await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Server(service, network), sock=sock
    )


class Device:
    """A device of some maker, with an address of its network card."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.hardware = bytes((rng.getrandbits(8) & 0xFC | 2,)) + rng.randbytes(5)
        self.vendor, self.wishes = rng.choice(MAKERS)
        self.name = word(rng).encode() if rng.random() < 0.7 else b""

    def message(self, kind: int, number: int, **more: Any) -> Message:
        """A message of this device's."""
        options = {dhcp.KIND: bytes((kind,)), dhcp.CLIENT: b"\x01" + self.hardware}
        options |= {dhcp.HOST: self.name} if self.name else {}
        options |= {dhcp.VENDOR: self.vendor} if self.vendor else {}
        return Message(number, self.hardware, options=options | {dhcp.LIST: self.wishes}, **more)


def act(session: Session) -> None:
    """Be a device or a relay, as the variant says."""
    variant = str(session.params.get("variant", "join"))
    mine = ipaddress.IPv4Address(own_address(session.peer["address"]))
    port = dhcp.CLIENT_PORT if variant == "join" else 0
    with contextlib.closing(open_socket(str(mine), port)) as sock:
        for _ in session.actions():
            device = Device(session.rng)
            if variant in ("join", "relay"):
                _join(session, sock, device, mine if variant == "relay" else None)
            else:
                _ask_again(session, sock, device, mine, inform=variant == "inform")


def _join(
    session: Session, sock: socket.socket, device: Device, relay: ipaddress.IPv4Address | None
) -> None:
    """Discover, be offered, request, be told; sometimes give it back."""
    rng = session.rng
    number = rng.getrandbits(32)
    place = (session.peer["address"] if relay else dhcp.BROADCAST, session.port)
    more: dict[str, Any] = {"relay": relay} if relay else {"broadcast": True}
    asked = device.message(dhcp.DISCOVER, number, seconds=rng.choice((0, 0, 1, 4)), **more)
    agent = b"\x01\x04" + rng.randbytes(4) + RELAY_PORT
    if relay:
        asked.options[dhcp.AGENT] = agent
    offer = _exchange(session, sock, place, asked)
    asked = device.message(dhcp.REQUEST, number, **more)
    asked.options[dhcp.WANTED] = offer.yours.packed
    asked.options[dhcp.SERVER] = offer.options[dhcp.SERVER]
    if relay:
        asked.options[dhcp.AGENT] = agent
    given = _exchange(session, sock, place, asked)
    emit("joined", address=str(given.yours), relay=relay is not None)
    if rng.random() < 0.2 and session.rest():
        asked = device.message(dhcp.RELEASE, rng.getrandbits(32), client=given.yours, **more)
        asked.options[dhcp.SERVER] = offer.options[dhcp.SERVER]
        sock.sendto(asked.pack(), place)


def _ask_again(
    session: Session,
    sock: socket.socket,
    device: Device,
    mine: ipaddress.IPv4Address,
    *,
    inform: bool,
) -> None:
    """Renew the address one has, or only ask for settings."""
    kind = dhcp.INFORM if inform else dhcp.REQUEST
    asked = device.message(kind, session.rng.getrandbits(32), client=mine)
    given = _exchange(session, sock, (session.peer["address"], session.port), asked)
    emit("informed" if inform else "renewed", options=len(given.options))


def _exchange(
    session: Session, sock: socket.socket, place: tuple[str, int], asked: Message
) -> Message:
    """Send until there is an answer."""
    begun()
    for _ in range(TRIES):
        sock.sendto(asked.pack(), place)
        end = time.monotonic() + min(WAIT_S, max(session.left_s(), 0.1))
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                answer = Message.parse(sock.recv(2_048))
            except TimeoutError:
                break
            if answer.reply and answer.number == asked.number:
                if answer.kind == dhcp.NAK:
                    raise PeerError("the server refuses")
                return answer
    raise PeerError("the server does not answer")


if __name__ == "__main__":
    main(serve, act)
