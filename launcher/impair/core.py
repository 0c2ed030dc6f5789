"""What becomes of a frame on the user-space link: lost, queued, delayed, overtaking, doubled.

Compiled. A *lane* is one direction of a link. Times are nanoseconds of the monotonic clock.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from launcher.impair.jit import compiled
from launcher.impair.jitter import SIZE

# Columns of Lanes.quality.
NS_PER_BYTE, DELAY_NS, JITTER_NS, JITTER_KIND, LOSS, BURST_ENTER, BURST_LEAVE = range(7)
REORDER, DUPLICATE, QUEUE_NS, QUALITIES = 7, 8, 9, 10
# Columns of Lanes.state.
BAD, FREE_AT, LAST_DUE, JITTER_NOW, JITTER_UNTIL, STATES = range(6)
# Columns of Lanes.counts.
RECEIVED, SENT, LOST, QUEUE_FULL, DUPLICATED, REORDERED, OVERRUN, COUNTS = range(8)
# Columns of Lanes.random: a generator of its own for each kind of chance.
_LOSS_CHANCE, _REORDER_CHANCE, _DUPLICATE_CHANCE, _JITTER_CHANCE, CHANCES = range(5)

_HOLD: Final = 4  # a draw of the jitter is good for so many times the jitter


class Lanes(NamedTuple):
    """What the lanes do and where they stand: arrays with a row for each lane."""

    quality: np.ndarray[Any, Any]  # float64
    state: np.ndarray[Any, Any]  # int64
    counts: np.ndarray[Any, Any]  # int64
    random: np.ndarray[Any, Any]  # uint64
    output: np.ndarray[Any, Any]  # int64: the socket it sends to
    jitter: np.ndarray[Any, Any]  # float64: quantiles by kind of jitter


@compiled
def draw(lanes: Lanes, lane: int, chance: int) -> float:
    """Next number of a lane's generator (splitmix64), in [0, 1)."""
    state = lanes.random[lane, chance] + np.uint64(0x9E3779B97F4A7C15)
    lanes.random[lane, chance] = state
    mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return float((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@compiled
def lost(lanes: Lanes, lane: int) -> bool:
    """Whether the next frame of a lane is lost: by itself, or in a burst (Gilbert's model).

    Always draws two numbers, so that the same seed loses the same positions.
    """
    quality, state = lanes.quality[lane], lanes.state[lane]
    change, chance = draw(lanes, lane, _LOSS_CHANCE), draw(lanes, lane, _LOSS_CHANCE)
    if quality[BURST_LEAVE] == 0.0:
        return bool(chance < quality[LOSS])
    if state[BAD]:
        state[BAD] = 0 if change < quality[BURST_LEAVE] else 1
    else:
        state[BAD] = 1 if change < quality[BURST_ENTER] else 0
    return bool(state[BAD] == 1)


@compiled
def leaves_at(lanes: Lanes, lane: int, now: int, length: int) -> int:
    """When a frame has passed the lane's rate limit; -1 if the queue there is full."""
    quality, state = lanes.quality[lane], lanes.state[lane]
    if quality[NS_PER_BYTE] == 0.0:
        return now
    starts = max(now, state[FREE_AT])
    # The frame that is being sent does not wait.
    if starts - now > quality[QUEUE_NS]:
        return -1
    state[FREE_AT] = starts + np.int64(length * quality[NS_PER_BYTE])
    return int(state[FREE_AT])


@compiled
def arrives_at(lanes: Lanes, lane: int, leaves: int) -> int:
    """When a frame that left the rate limit is due; it overtakes none but by being reordered."""
    quality, state = lanes.quality[lane], lanes.state[lane]
    if quality[REORDER] > 0.0 and draw(lanes, lane, _REORDER_CHANCE) < quality[REORDER]:
        lanes.counts[lane, REORDERED] += 1
        return leaves
    if quality[JITTER_NS] > 0.0 and leaves >= state[JITTER_UNTIL]:
        place = np.int64(draw(lanes, lane, _JITTER_CHANCE) * SIZE)
        value = lanes.jitter[np.int64(quality[JITTER_KIND]), place]
        state[JITTER_NOW] = np.int64(value * quality[JITTER_NS])
        state[JITTER_UNTIL] = leaves + np.int64(_HOLD * quality[JITTER_NS])
    delay = np.int64(quality[DELAY_NS]) + (state[JITTER_NOW] if quality[JITTER_NS] > 0.0 else 0)
    state[LAST_DUE] = max(leaves + max(delay, 0), state[LAST_DUE] + 1)
    return int(state[LAST_DUE])


@compiled
def admit(lanes: Lanes, lane: int, now: int, length: int) -> tuple[int, int]:
    """When a frame of ``length`` bytes is due, and its duplicate; -1 for what never is."""
    counts = lanes.counts[lane]
    counts[RECEIVED] += 1
    twice = draw(lanes, lane, _DUPLICATE_CHANCE) < lanes.quality[lane, DUPLICATE]
    if lost(lanes, lane):
        counts[LOST] += 1
        return -1, -1
    leaves = leaves_at(lanes, lane, now, length)
    if leaves < 0:
        counts[QUEUE_FULL] += 1
        return -1, -1
    first, second = arrives_at(lanes, lane, leaves), -1
    if twice:
        counts[DUPLICATED] += 1
        leaves = leaves_at(lanes, lane, now, length)
        second = -1 if leaves < 0 else arrives_at(lanes, lane, leaves)
    return first, second
