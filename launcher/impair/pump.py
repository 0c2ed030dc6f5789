"""The moving of frames through the user-space link: sockets, a heap of deferred frames, a clock.

Compiled. The kernel is called through the C library, many frames at a time; the structures it reads
and writes are arrays of ours (of a 64-bit little-endian machine).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import types

from launcher.impair.core import OVERRUN, SENT, Lanes, admit
from launcher.impair.jit import compiled, external

BATCH: Final = 64  # frames in a call of the kernel
_DONT_WAIT: Final = 0x40
_CLOCK_MONOTONIC: Final = 1
_SECOND: Final = 1_000_000_000
_FREE, _WAITING = 0, 1  # columns of Frames.sizes


class Frames(NamedTuple):
    """Frames on their way: slots of memory, and a heap of the times at which they are due."""

    memory: np.ndarray[Any, Any]  # uint8, a row for each slot; slot 0 is for what finds no room
    lengths: np.ndarray[Any, Any]  # int64
    copies: np.ndarray[Any, Any]  # int64: how often a slot's frame is still to be sent
    free: np.ndarray[Any, Any]  # int64: a stack of slots
    due: np.ndarray[Any, Any]  # int64: the heap's keys
    entry: np.ndarray[Any, Any]  # int64: the heap's values, lane << 32 | slot
    sizes: np.ndarray[Any, Any]  # int64: how many slots are free, how many entries there are


class Calls(NamedTuple):
    """Memory for the kernel's answers and questions, in its own layout."""

    messages: np.ndarray[Any, Any]  # uint64, 8 to a struct mmsghdr
    vectors: np.ndarray[Any, Any]  # uint64, 2 to a struct iovec
    slots: np.ndarray[Any, Any]  # int64: the slot of each message
    polled: np.ndarray[Any, Any]  # uint64, each a struct pollfd
    events: np.ndarray[Any, Any]  # uint8: structs epoll_event
    time: np.ndarray[Any, Any]  # int64: a struct timespec
    lane_of: np.ndarray[Any, Any]  # int64: lane by the socket it receives from


_recvmmsg = external("recvmmsg", types.intc, types.uintp, types.uint32, types.intc, types.uintp)
_sendmmsg = external("sendmmsg", types.intc, types.uintp, types.uint32, types.intc)
_ppoll = external("ppoll", types.uintp, types.uintp, types.uintp, types.uintp)
_epoll_wait = external("epoll_wait", types.intc, types.uintp, types.intc, types.intc)
_clock_gettime = external("clock_gettime", types.intc, types.uintp)


@compiled
def push(frames: Frames, due: int, entry: int) -> None:
    """Put an entry on the heap."""
    at = frames.sizes[_WAITING]
    frames.sizes[_WAITING] += 1
    while at > 0:
        above = (at - 1) >> 1
        if frames.due[above] <= due:
            break
        frames.due[at], frames.entry[at] = frames.due[above], frames.entry[above]
        at = above
    frames.due[at], frames.entry[at] = due, entry


@compiled
def pop(frames: Frames) -> int:
    """Take the entry that is due first from the heap."""
    first = frames.entry[0]
    frames.sizes[_WAITING] -= 1
    size = frames.sizes[_WAITING]
    due, entry = frames.due[size], frames.entry[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and frames.due[below + 1] < frames.due[below]:
            below += 1
        if frames.due[below] >= due:
            break
        frames.due[at], frames.entry[at] = frames.due[below], frames.entry[below]
        at = below
    frames.due[at], frames.entry[at] = due, entry
    return int(first)


@compiled
def _now(calls: Calls) -> int:
    _clock_gettime(_CLOCK_MONOTONIC, calls.time.ctypes.data)
    return int(calls.time[0] * _SECOND + calls.time[1])


@compiled
def _prepare(frames: Frames, calls: Calls, number: int, slot: int, length: int) -> None:
    """Make a message of the kernel's point at a slot."""
    calls.slots[number] = slot
    calls.vectors[number, 0] = np.uint64(frames.memory.ctypes.data + slot * frames.memory.shape[1])
    calls.vectors[number, 1] = np.uint64(length)
    calls.messages[number, :] = np.uint64(0)
    calls.messages[number, 2] = np.uint64(calls.vectors.ctypes.data + number * 16)
    calls.messages[number, 3] = np.uint64(1)


@compiled
def _receive(lanes: Lanes, frames: Frames, calls: Calls, handle: int) -> None:
    """Take in the frames that wait at a socket, a batch of them."""
    lane = calls.lane_of[handle]
    room = min(BATCH, frames.sizes[_FREE], frames.due.shape[0] // 2 - frames.sizes[_WAITING])
    for number in range(BATCH if room <= 0 else room):
        slot = 0 if room <= 0 else frames.free[frames.sizes[_FREE] - 1 - number]
        _prepare(frames, calls, number, slot, frames.memory.shape[1])
    batch = BATCH if room <= 0 else room
    got = _recvmmsg(handle, calls.messages.ctypes.data, batch, _DONT_WAIT, 0)
    if got <= 0:
        return
    if room <= 0:
        lanes.counts[lane, OVERRUN] += got
        return
    frames.sizes[_FREE] -= got
    now = _now(calls)
    for number in range(got):
        slot = calls.slots[number]
        length = int(np.int64(calls.messages[number, 7] & np.uint64(0xFFFFFFFF)))
        frames.lengths[slot] = length
        first, second = admit(lanes, lane, now, length)
        frames.copies[slot] = 0
        for due in (first, second):
            if due >= 0:
                frames.copies[slot] += 1
                push(frames, due, lane << 32 | slot)
        if frames.copies[slot] == 0:
            _release(frames, slot)


@compiled
def _release(frames: Frames, slot: int) -> None:
    frames.free[frames.sizes[_FREE]] = slot
    frames.sizes[_FREE] += 1


@compiled
def _flush(lanes: Lanes, frames: Frames, calls: Calls, lane: int, count: int) -> None:
    """Send a batch of one lane; a frame that the kernel refuses is counted and left out."""
    done = 0
    while done < count:
        place = calls.messages.ctypes.data + done * 64
        sent = _sendmmsg(lanes.output[lane], place, count - done, _DONT_WAIT)
        if sent > 0:
            lanes.counts[lane, SENT] += sent
            done += sent
        else:
            lanes.counts[lane, OVERRUN] += 1
            done += 1
    for number in range(count):
        slot = calls.slots[number]
        frames.copies[slot] -= 1
        if frames.copies[slot] == 0:
            _release(frames, slot)


@compiled
def _send_due(lanes: Lanes, frames: Frames, calls: Calls) -> None:
    """Send all that is due, in the order of its times, frames of one lane together."""
    now = _now(calls)
    sending, count = -1, 0
    while frames.sizes[_WAITING] > 0 and frames.due[0] <= now:
        entry = pop(frames)
        lane, slot = entry >> 32, entry & 0xFFFFFFFF
        if count and (lane != sending or count == BATCH):
            _flush(lanes, frames, calls, sending, count)
            count = 0
        sending = lane
        _prepare(frames, calls, count, slot, frames.lengths[slot])
        count += 1
    if count:
        _flush(lanes, frames, calls, sending, count)


@compiled
def pump(lanes: Lanes, frames: Frames, calls: Calls, epoll: int, stride: int) -> None:
    """Move frames until the control channel (``calls.polled[1]``) can be read.

    ``stride`` is how many bytes a struct epoll_event has on this machine.
    """
    limit = calls.events.shape[0] // stride
    while True:
        _send_due(lanes, frames, calls)
        wait = 0
        if frames.sizes[_WAITING] > 0:
            wait = max(0, frames.due[0] - _now(calls))
            calls.time[0], calls.time[1] = wait // _SECOND, wait % _SECOND
            wait = calls.time.ctypes.data
        ready = _ppoll(calls.polled.ctypes.data, 2, wait, 0)
        if calls.polled[1] >> np.uint64(48):
            return
        if ready <= 0:
            continue
        count = _epoll_wait(epoll, calls.events.ctypes.data, limit, 0)
        for number in range(count):
            place = number * stride + stride - 8
            handle = np.int64(calls.events[place]) | np.int64(calls.events[place + 1]) << 8
            _receive(lanes, frames, calls, int(handle))
