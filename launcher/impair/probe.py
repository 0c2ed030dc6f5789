"""Probe frames across one link of each impaired network, before anything else is sent.

The frames have an Ethernet type of their own (IEEE 802.1, local experimental) and an address that
no bridge forwards, so that no program, capture or connection tracking ever meets one. The kernel
says when a frame arrived; a frame itself says when it was sent.
"""

from __future__ import annotations

import errno
import itertools
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from launcher.impair.places import Place
from launcher.impair.rates import tbf_bytes
from launcher.namespaces import entered
from topologies.impairments import Direction, Quality

FRAMES: Final = 600  # to each lane, but that a slow one, or one of many, gets fewer
PACED_S: Final = 0.6
SATURATED_S: Final = 0.2
FASTEST_MBIT: Final = 500.0  # this program cannot saturate more
_AT_ONCE_MBIT: Final = 400.0
_MOST_GROUPS: Final = 4
_PER_SECOND: Final = 20_000  # frames that this program can handle
_FEWEST: Final = 5
_LOAD: Final = 0.2  # of a limited lane, while it is probed for all but the rate
_OFFERED: Final = 1.3  # of a lane's rate, while that is probed
_ROUND_S: Final = 0.001
_GRACE_S: Final = 0.06

_TYPE, _ALL_TYPES = 0x88B5, 0x0003
_HEADER: Final = bytes.fromhex("0180c200000e 026773746100") + struct.pack("!H", _TYPE)
_BODY: Final = struct.Struct("!IIQ")  # key of the lane, sequence number, time of sending
_keys: Final = itertools.count(1)
_LEAST_BYTES: Final = 60
_GIVEN: Final = 6  # fields of a lane that are not seen but given
_SOL_PACKET, _IGNORE_OUTGOING, _TIMESTAMPNS, _RCVBUF_FORCE = 263, 23, 35, 33


@dataclass(slots=True)
class Lane:
    """One direction of a link under test, and what has been seen of it."""

    place: Place
    direction: Direction
    quality: Quality
    sender: socket.socket
    receiver: socket.socket
    bucket_bytes: int  # that pass before a rate limit begins to hold
    key: int = field(default_factory=lambda: next(_keys))
    sent: int = 0
    offered_mbit: float = 0.0  # while the lane was to be saturated
    # Sequence number, delay, time of arrival, bytes; times in nanoseconds.
    arrived: list[tuple[int, int, int, int]] = field(default_factory=list)

    def again(self) -> Lane:
        """The same lane, of which nothing has been seen."""
        return Lane(*(getattr(self, f.name) for f in fields(self)[:_GIVEN]))

    def send(self, frame_bytes: int) -> None:
        """Send one frame; a full queue on the way may refuse it."""
        head = _HEADER + _BODY.pack(self.key, self.sent, time.time_ns())
        self.sent += 1
        try:
            self.sender.send(head.ljust(frame_bytes, b"\0"))
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                raise

    def paced_frames(self, most: int, spent_s: float) -> int:
        """How many frames measure all but the rate in that time."""
        if self.quality.rate_mbit is None:
            return most
        bits = _LOAD * self.quality.rate_mbit * 1e6 * spent_s
        return max(_FEWEST, min(most, int(bits / 8 / _LEAST_BYTES)))

    @property
    def load_frame_bytes(self) -> int:
        """Size of the frames that measure the rate: the largest of which there are enough."""
        rate = self.quality.rate_mbit or FASTEST_MBIT
        wanted = int(rate * 1e6 / 8 * SATURATED_S / 40)
        return max(_LEAST_BYTES, min(self.place.frame_bytes - 4, wanted))


def lanes_of(
    place: Place, qualities: Mapping[Direction, Quality], *, bucket: bool, fabric: Path
) -> tuple[ExitStack, list[Lane]]:
    """Lanes across a place, and what closes their sockets; ``bucket``: the limit is a tbf."""
    with ExitStack() as stack:
        with entered(place.namespace):
            inside = stack.enter_context(_socket(place.interface, _TYPE))
        with entered(fabric):
            outside = stack.enter_context(_socket(place.port, _ALL_TYPES))
        lanes = []
        for direction, quality in qualities.items():
            ends = (outside, inside) if direction == "down" else (inside, outside)
            held = tbf_bytes(quality, place.frame_bytes)[1] if bucket else 0
            lanes.append(Lane(place, direction, quality, *ends, held))
        return stack.pop_all(), lanes


def pace(lanes: Sequence[Lane], *, frames: int = FRAMES, spent_s: float = PACED_S) -> None:
    """Send small frames to every lane, evenly over that time, and take in what arrives.

    They are fewer than ``frames`` to a slow lane, and if there are many lanes.
    """
    most = max(_FEWEST, min(frames, int(_PER_SECOND * spent_s) // len(lanes)))
    counts = [lane.paced_frames(most, spent_s) for lane in lanes]
    rounds = max(counts)
    for done in _rounds(lanes, rounds, spent_s / rounds):
        for lane, count in zip(lanes, counts, strict=True):
            while lane.sent < done * count // rounds:
                lane.send(_LEAST_BYTES)
    _listen(lanes, _longest_s(lanes))


def saturate(lanes: Sequence[Lane]) -> None:
    """Offer the lanes more than their rate lets through, a few lanes at a time."""
    total = sum(lane.quality.rate_mbit or 0 for lane in lanes)
    groups = max(1, min(_MOST_GROUPS, len(lanes), round(total / _AT_ONCE_MBIT)))
    for first in range(groups):
        _saturate_group(lanes, lanes[first::groups])
    _listen(lanes, _longest_s(lanes) + SATURATED_S * (_OFFERED - 1))


def _saturate_group(lanes: Sequence[Lane], group: Sequence[Lane]) -> None:
    bytes_sent = dict.fromkeys((lane.key for lane in group), 0)
    began = time.monotonic()
    for _ in _rounds(lanes, int(SATURATED_S / _ROUND_S), _ROUND_S):
        passed = time.monotonic() - began
        if passed > 2 * SATURATED_S:
            break
        for lane in group:
            rate = _OFFERED * (lane.quality.rate_mbit or 0) * 1e6 / 8
            size = lane.load_frame_bytes
            # At most 5 ms of them in one go: whoever cannot keep up shall not make it up.
            for _ in range(max(1, int(rate * 0.005 / size), lane.bucket_bytes // size)):
                if bytes_sent[lane.key] >= rate * passed + lane.bucket_bytes:
                    break
                lane.send(size)
                bytes_sent[lane.key] += size
    passed = time.monotonic() - began
    for lane in group:
        lane.offered_mbit = (bytes_sent[lane.key] - lane.bucket_bytes) * 8e-6 / passed


def _rounds(lanes: Sequence[Lane], count: int, interval_s: float) -> Iterator[int]:
    """Yield 1 to ``count`` at equal intervals, taking in what arrives meanwhile."""
    began = time.monotonic()
    for done in range(1, count + 1):
        yield done
        _listen(lanes, began + done * interval_s - time.monotonic())


def _longest_s(lanes: Sequence[Lane]) -> float:
    return max((lane.quality.longest_ms for lane in lanes), default=0.0) / 1e3 + _GRACE_S


def _listen(lanes: Sequence[Lane], timeout_s: float) -> None:
    """Take in what arrives within that time."""
    receivers = {lane.receiver.fileno(): lane.receiver for lane in lanes}
    by_key = {lane.key: lane for lane in lanes}
    poller = select.poll()
    for handle in receivers:
        poller.register(handle, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        for handle, _ in poller.poll(left * 1e3):
            _take(by_key, receivers[handle])


def _take(lanes: Mapping[int, Lane], receiver: socket.socket) -> None:
    while True:
        try:
            frame, extra, _, _ = receiver.recvmsg(16_384, 64)
        except BlockingIOError:
            return
        if frame[: len(_HEADER)] != _HEADER:
            continue
        key, sequence, sent_ns = _BODY.unpack_from(frame, len(_HEADER))
        seconds, nanoseconds = struct.unpack_from("=qq", extra[0][2])
        at_ns = seconds * 1_000_000_000 + nanoseconds
        if lane := lanes.get(key):
            lane.arrived.append((sequence, at_ns - sent_ns, at_ns, len(frame)))


def _socket(interface: str, kind: int) -> socket.socket:
    handle = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    handle.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    handle.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
    try:
        handle.setsockopt(socket.SOL_SOCKET, _RCVBUF_FORCE, 4 << 20)
    except PermissionError:  # in a user namespace: what everybody may have
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    handle.setblocking(False)
    handle.bind((interface, kind))
    return handle
