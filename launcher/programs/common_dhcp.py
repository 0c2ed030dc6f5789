"""DHCP messages (RFC 2131), and sockets that hear and send broadcasts on one interface."""

from __future__ import annotations

import array
import contextlib
import fcntl
import ipaddress
import socket
import struct
from dataclasses import dataclass, field

from common import PeerError

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
SERVER_PORT, CLIENT_PORT = 67, 68
BROADCAST = "255.255.255.255"
MAGIC = b"\x63\x82\x53\x63"
NOWHERE = ipaddress.IPv4Address(0)
MASK, ROUTER, NAMES, HOST, DOMAIN, WANTED, TIME = 1, 3, 6, 12, 15, 50, 51
KIND, SERVER, LIST, RENEWAL, REBINDING, VENDOR, CLIENT, AGENT = 53, 54, 55, 58, 59, 60, 61, 82
END, PAD = 255, 0
SMALLEST = 300  # bytes; older relays drop what is shorter
_HEAD = struct.Struct("!4BIHH4s4s4s4s16s64s128s")
_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B


@dataclass
class Message:
    """One message; ``options`` by their numbers."""

    number: int
    hardware: bytes
    reply: bool = False
    broadcast: bool = False
    seconds: int = 0
    client: ipaddress.IPv4Address = NOWHERE
    yours: ipaddress.IPv4Address = NOWHERE
    relay: ipaddress.IPv4Address = NOWHERE
    options: dict[int, bytes] = field(default_factory=dict)

    @property
    def kind(self) -> int:
        """`DISCOVER`, `OFFER` and so on."""
        return self.options.get(KIND, b"\0")[0]

    def pack(self) -> bytes:
        """The message as it is sent."""
        head = _HEAD.pack(
            2 if self.reply else 1,
            1,
            6,
            int(self.relay != NOWHERE),
            self.number,
            self.seconds,
            0x8000 if self.broadcast else 0,
            self.client.packed,
            self.yours.packed,
            bytes(4),
            self.relay.packed,
            self.hardware,
            b"",
            b"",
        )
        options = b"".join(
            bytes((code, len(value))) + value for code, value in self.options.items()
        )
        return (head + MAGIC + options + bytes((END,))).ljust(SMALLEST, b"\0")

    @classmethod
    def parse(cls, data: bytes) -> Message:
        """Read a message; `PeerError` if it is none."""
        if len(data) < _HEAD.size + 4 or data[_HEAD.size : _HEAD.size + 4] != MAGIC:
            raise PeerError("no DHCP message")
        first = _HEAD.unpack_from(data)
        addresses = [ipaddress.IPv4Address(value) for value in first[7:11]]
        return cls(
            number=first[4],
            hardware=first[11][:6],
            reply=first[0] == 2,
            broadcast=bool(first[6] & 0x8000),
            seconds=first[5],
            client=addresses[0],
            yours=addresses[1],
            relay=addresses[3],
            options=_options(data[_HEAD.size + 4 :]),
        )


def _options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    place = 0
    while place < len(data) and data[place] != END:
        if data[place] == PAD:
            place += 1
            continue
        if place + 1 >= len(data) or place + 2 + data[place + 1] > len(data):
            raise PeerError("a DHCP option is cut off")
        length = data[place + 1]
        found[data[place]] = data[place + 2 : place + 2 + length]
        place += 2 + length
    return found


def open_socket(address: str, port: int) -> socket.socket:
    """A socket that hears broadcasts on the interface with this address; ``port`` 0 is any."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    # A host without a default route sends broadcasts only where it is told to.
    name = interface_of(address, sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
    sock.bind(("", port))
    return sock


def interface_of(address: str, sock: socket.socket) -> str:
    """Name of the interface that has an address; `PeerError` if none has."""
    for _, name in socket.if_nameindex():
        with contextlib.suppress(OSError):
            if _of_interface(name, sock, _SIOCGIFADDR) == address:
                return name
    raise PeerError(f"no interface has {address}")


def network_of(address: str, sock: socket.socket) -> ipaddress.IPv4Network:
    """The network that an address of this host's is in."""
    mask = _of_interface(interface_of(address, sock), sock, _SIOCGIFNETMASK)
    return ipaddress.IPv4Network(f"{address}/{mask}", strict=False)


def _of_interface(name: str, sock: socket.socket, what: int) -> str:
    request = array.array("B", struct.pack("16s24x", name.encode()))
    fcntl.ioctl(sock, what, request)
    return socket.inet_ntoa(request[20:24].tobytes())


def own_address(peer: str) -> str:
    """This host's address on the way to a peer, by the kernel's table."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, SERVER_PORT))
        return str(probe.getsockname()[0])
