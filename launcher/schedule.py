"""When sessions begin: a renewal process whose rate follows the phases' level. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

from topologies import Phase
from topologies.distributions import TimeDistribution

GAPS: Final = 64  # drawn to find the one that a run begins in
SHORTEST_GAP_S: Final = 0.01  # gaps of 0 would never reach the end of the phases


def session_starts(
    arrival: TimeDistribution, phases: Sequence[Phase], rng: Random
) -> Iterator[float]:
    """Yield the start times of one user's sessions, in seconds from the first phase.

    Gaps are drawn from ``arrival`` in operational time, which runs at the level of the phase (time
    rescaling: twice the level, half the gaps; none at level 0).
    """
    operational = _first_s(arrival, rng)
    while (start := _real_time(operational, phases)) is not None:
        yield start
        operational += max(arrival.sample_s(rng), SHORTEST_GAP_S)


def _first_s(arrival: TimeDistribution, rng: Random) -> float:
    """How long until somebody begins a session who was at it before the first phase.

    The phases begin somewhere in a gap, and more often in a long one: without that weight all
    users would have short first gaps, and a run would begin with a rush.
    """
    gaps = [max(arrival.sample_s(rng), SHORTEST_GAP_S) for _ in range(GAPS)]
    return rng.choices(gaps, gaps)[0] * rng.random()


def _real_time(operational: float, phases: Sequence[Phase]) -> float | None:
    """Invert the integral of the level; None beyond the last phase.

    A phase with a target counts for nothing here: its sessions begin as `launcher.pace` says.
    """
    begin = 0.0
    for phase in phases:
        length = phase.area_s(phase.duration_s) if phase.target is None else 0.0
        if operational < length:
            return begin + phase.time_of(operational)
        operational -= length
        begin += phase.duration_s
    return None
