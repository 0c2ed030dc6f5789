"""The process that carries the frames of a lab's user-space links; one for each lab.

It is told what to do by lines of JSON on its standard input, answers each with one on its standard
output, and ends with its input. Every link is a gap between two interfaces of the fabric, at which
it has packet sockets. Run by `launcher.impair.wire`.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import select
import socket
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import numpy as np

from launcher.impair import core
from launcher.impair.jitter import KINDS, quantiles
from launcher.impair.pump import BATCH, Calls, Frames, pump
from launcher.impair.rates import queue_s

_MEMORY_BYTES: Final = 256 << 20  # of address space; memory is taken when frames wait
_BUFFER_BYTES: Final = 16 << 20  # of each socket, at most
_ALL_PROTOCOLS: Final = 0x0003
_SOL_PACKET, _ADD_MEMBERSHIP, _STATISTICS, _IGNORE_OUTGOING, _PROMISCUOUS = 263, 1, 6, 23, 1
_RCVBUF_FORCE, _SNDBUF_FORCE = 33, 32
_PR_SET_TIMERSLACK: Final = 29
_NICE: Final = -15
_CLOSING: Final = 64  # sockets at a time
_EVENT_BYTES: Final = 12 if platform.machine() == "x86_64" else 16  # packed there only


class Carrier:
    """The links of a lab: their sockets, and the arrays that the compiled loop works on."""

    def __init__(self, links: Sequence[Sequence[str]], *, frame_bytes: int, seed: int) -> None:
        self._ends = [_packet_socket(name) for link in links for name in link]
        self._epoll = select.epoll()
        self._seed, self._dropped = seed, 0
        self.lanes = make_lanes(len(self._ends), seed)
        self.frames = make_frames(frame_bytes)
        self.calls = make_calls(max((end.fileno() for end in self._ends), default=0))
        for number, end in enumerate(self._ends):
            # Lane 2k goes from a link's first end to its second, lane 2k + 1 comes back.
            self.lanes.output[number] = self._ends[number ^ 1].fileno()
            self.calls.lane_of[end.fileno()] = number
            self._epoll.register(end, select.EPOLLIN)

    def run(self) -> None:
        """Carry frames until standard input has something to say."""
        for number, handle in enumerate((self._epoll.fileno(), sys.stdin.fileno())):
            self.calls.polled[number] = handle | select.POLLIN << 32
        pump(self.lanes, self.frames, self.calls, self._epoll.fileno(), _EVENT_BYTES)

    def set(self, qualities: Mapping[str, Mapping[str, Any]]) -> None:
        """Change what lanes do; a frame on its way arrives as it was going to."""
        for lane, quality in qualities.items():
            self.lanes.quality[int(lane)] = lane_values(quality)
            self.lanes.state[int(lane), core.JITTER_UNTIL] = 0

    def restart(self) -> None:
        """Begin chance and counts anew, so that what came before makes no difference."""
        self.lanes.random[:] = seeded(len(self._ends), self._seed)
        self.lanes.state[:, core.BAD] = 0
        self.lanes.counts[:] = 0
        self._dropped = 0
        self._take_drops()
        self._dropped = 0

    def counts(self) -> dict[str, int]:
        """Frames received, sent, and lost without having been asked to, over all lanes."""
        self._take_drops()
        totals = self.lanes.counts.sum(axis=0)
        overrun = int(totals[core.OVERRUN]) + self._dropped
        received, sent = int(totals[core.RECEIVED]), int(totals[core.SENT])
        return {"received": received, "sent": sent, "overrun": overrun}

    def close(self) -> None:
        """Close the sockets: all at once, for the kernel lets each wait some milliseconds."""
        with ThreadPoolExecutor(_CLOSING) as pool:
            list(pool.map(socket.socket.close, self._ends))

    def _take_drops(self) -> None:
        for end in self._ends:
            data = end.getsockopt(_SOL_PACKET, _STATISTICS, 8)
            self._dropped += int.from_bytes(data[4:8], sys.byteorder)


def lane_values(quality: Mapping[str, Any]) -> list[float]:
    """A row of ``Lanes.quality`` from a `Quality` as a dictionary, with ``frame_bytes`` added."""
    row = [0.0] * core.QUALITIES
    if quality["rate_mbit"] is not None:
        row[core.NS_PER_BYTE] = 8e3 / quality["rate_mbit"]
        row[core.QUEUE_NS] = 1e9 * queue_s(quality, quality["frame_bytes"])
    row[core.DELAY_NS] = quality["delay_ms"] * 1e6
    row[core.JITTER_NS] = quality["jitter_ms"] * 1e6
    row[core.JITTER_KIND] = KINDS.index(quality["jitter_distribution"])
    loss = quality["loss_percent"] / 100
    row[core.LOSS] = loss
    if quality["loss_burst_packets"] > 1:
        row[core.BURST_LEAVE] = 1 / quality["loss_burst_packets"]
        row[core.BURST_ENTER] = row[core.BURST_LEAVE] * loss / (1 - loss)
    row[core.REORDER] = quality["reorder_percent"] / 100
    row[core.DUPLICATE] = quality["duplicate_percent"] / 100
    return row


def seeded(lanes: int, seed: int) -> np.ndarray[Any, Any]:
    """States of the lanes' generators."""
    sequence = np.random.SeedSequence(seed)
    return sequence.generate_state(lanes * core.CHANCES, np.uint64).reshape(lanes, core.CHANCES)


def make_lanes(count: int, seed: int) -> core.Lanes:
    """Lanes that do nothing to a frame yet."""
    return core.Lanes(
        quality=np.zeros((count, core.QUALITIES)),
        state=np.zeros((count, core.STATES), np.int64),
        counts=np.zeros((count, core.COUNTS), np.int64),
        random=seeded(count, seed),
        output=np.zeros(count, np.int64),
        jitter=np.array([quantiles(kind) for kind in KINDS]),
    )


def make_frames(frame_bytes: int) -> Frames:
    """Room for frames of that size."""
    slot_bytes = (frame_bytes + 63) // 64 * 64
    slots = _MEMORY_BYTES // slot_bytes
    return Frames(
        memory=np.empty((slots, slot_bytes), np.uint8),
        lengths=np.zeros(slots, np.int64),
        copies=np.zeros(slots, np.int64),
        free=np.arange(slots - 1, -1, -1, dtype=np.int64),  # slot 0 lies below those in use
        due=np.empty(2 * slots, np.int64),
        entry=np.empty(2 * slots, np.int64),
        sizes=np.array([slots - 1, 0]),
    )


def make_calls(highest: int) -> Calls:
    """Memory for the kernel's answers, with sockets up to the number ``highest``."""
    return Calls(
        messages=np.zeros((BATCH, 8), np.uint64),
        vectors=np.zeros((BATCH, 2), np.uint64),
        slots=np.zeros(BATCH, np.int64),
        polled=np.zeros(2, np.uint64),
        events=np.zeros(BATCH * _EVENT_BYTES, np.uint8),
        time=np.zeros(2, np.int64),
        lane_of=np.zeros(highest + 1, np.int64),
    )


def _packet_socket(interface: str) -> socket.socket:
    handle = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    for option in (_RCVBUF_FORCE, _SNDBUF_FORCE):
        with suppress(PermissionError):  # in a user namespace: what everybody may have
            handle.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
    handle.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    handle.bind((interface, _ALL_PROTOCOLS))
    index = socket.if_nametoindex(interface).to_bytes(4, sys.byteorder)
    request = index + _PROMISCUOUS.to_bytes(2, sys.byteorder) + bytes(10)
    handle.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
    return handle


def _be_prompt() -> None:
    """Ask for exact timers and, where we may, for the processor before others."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)


def main() -> int:
    """Serve until standard input ends."""
    _be_prompt()
    carrier, waiting = Carrier([], frame_bytes=64, seed=0), b""
    _say({"ready": True})
    while True:
        carrier.run()  # compiles, the first time; nothing is connected before
        data = os.read(sys.stdin.fileno(), 65_536)
        if not data:
            carrier.close()
            return 0
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if links := command.get("links"):
                carrier = Carrier(links, frame_bytes=command["frame_bytes"], seed=command["seed"])
            carrier.set(command.get("set", {}))
            if command.get("restart"):
                carrier.restart()
            _say(carrier.counts())


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
