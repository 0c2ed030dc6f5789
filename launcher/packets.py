"""A stand-in for ``tcpdump -w`` in a user namespace with one group, where tcpdump refuses to write.

(It insists on changing its groups, which nobody may there.) Same output file, same words on
standard error, same signals: SIGUSR1 says the counters, SIGINT ends it. Standard library only.
"""

from __future__ import annotations

import fcntl
import mmap
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

_SOL_PACKET, _RX_RING, _STATISTICS, _VERSION = 263, 5, 6, 10
_ADD_MEMBERSHIP, _PROMISCUOUS = 1, 1
_VERSION_2: Final = 1
_ALL_PROTOCOLS: Final = 0x0003
_SIOCGIFMTU: Final = 0x8921
_HEADER: Final = struct.Struct("=IIIHHII")  # status, length, kept, mac, net, s, ns
_OVERHEAD_BYTES: Final = 128  # of a slot: header, address, alignment
_BLOCK_BYTES: Final = 1 << 20
_PCAP_NANOSECONDS, _LINK_ETHERNET = 0xA1B23C4D, 1
_LINK_BYTES: Final = 18  # Ethernet header with a VLAN tag


def main(arguments: Sequence[str]) -> int:
    """Capture an interface into a file, so many bytes of each packet (``arguments``)."""
    interface, file, snaplen = arguments[0], Path(arguments[1]), int(arguments[2])
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    try:
        ring = Ring(interface, snaplen)
    except OSError as error:
        _say(f"{interface}: {error}")
        return 1
    with ring, file.open("wb") as output:
        output.write(
            struct.pack("=IHHiIII", _PCAP_NANOSECONDS, 2, 4, 0, 0, snaplen, _LINK_ETHERNET)
        )
        _say(f"listening on {interface}")
        _copy(ring, output, woken)
    return 0


def _copy(ring: Ring, output: IO[bytes], woken: socket.socket) -> None:
    captured, ending = 0, False
    while not ending:
        select.select([ring.socket, woken], [], [])
        signals = _pending(woken)
        ending = bool(signals & {signal.SIGINT, signal.SIGTERM})
        for record in ring.packets():
            output.write(record)
            captured += 1
        if signals:
            received, dropped = ring.counters()
            _say(
                f"{captured} packets captured, {received} packets received by filter, "
                f"{dropped} packets dropped by kernel"
            )


def _pending(woken: socket.socket) -> set[int]:
    ready, _, _ = select.select([woken], [], [], 0)
    return set(woken.recv(64)) if ready else set()


def _say(text: str) -> None:
    sys.stderr.write(f"packets: {text}\n")
    sys.stderr.flush()


class Ring:
    """A packet socket with its ring of slots, shared with the kernel."""

    def __init__(self, interface: str, snaplen: int, *, size_bytes: int = 32 << 20) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        mtu = self._mtu(interface)
        self._snaplen = min(snaplen, mtu + _LINK_BYTES)
        self._slot = 1 << (self._snaplen + _OVERHEAD_BYTES - 1).bit_length()
        self._slots = size_bytes // self._slot
        request = struct.pack(
            "=IIII", _BLOCK_BYTES, size_bytes // _BLOCK_BYTES, self._slot, self._slots
        )
        self.socket.setsockopt(_SOL_PACKET, _VERSION, _VERSION_2)
        self.socket.setsockopt(_SOL_PACKET, _RX_RING, request)
        self._map = mmap.mmap(self.socket.fileno(), size_bytes)
        self._next = self._received = self._dropped = 0
        self.socket.bind((interface, _ALL_PROTOCOLS))
        index = socket.if_nametoindex(interface)
        membership = struct.pack("=iHH8s", index, _PROMISCUOUS, 0, b"")
        self.socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)

    def packets(self) -> Iterator[bytes]:
        """Packets that wait, at most a ringful, as records of a pcap file."""
        for _ in range(self._slots):
            at = self._next * self._slot
            status, length, kept, mac, _, seconds, nanoseconds = _HEADER.unpack_from(self._map, at)
            if not status & 1:
                return
            kept = min(kept, self._snaplen)
            start = at + mac
            head = struct.pack("=IIII", seconds, nanoseconds, kept, length)
            yield head + self._map[start : start + kept]
            struct.pack_into("=I", self._map, at, 0)
            self._next = (self._next + 1) % self._slots

    def counters(self) -> tuple[int, int]:
        """Packets received so far (with those dropped), and dropped for want of a free slot."""
        data = self.socket.getsockopt(_SOL_PACKET, _STATISTICS, 8)
        received, dropped = struct.unpack("=II", data)  # the kernel forgets them when read
        self._received += received
        self._dropped += dropped
        return self._received, self._dropped

    def __enter__(self) -> Ring:
        return self

    def __exit__(self, *_: object) -> None:
        self._map.close()
        self.socket.close()

    def _mtu(self, interface: str) -> int:
        answer = fcntl.ioctl(self.socket, _SIOCGIFMTU, struct.pack("16s16x", interface.encode()))
        return int(struct.unpack_from("=i", answer, 16)[0])
