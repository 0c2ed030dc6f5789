"""When sessions begin: a renewal process whose rate follows the phases' level. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from topologies import Phase
from topologies.distributions import TimeDistribution


def session_starts(
    arrival: TimeDistribution, phases: Sequence[Phase], rng: Random
) -> Iterator[float]:
    """Yield the start times of one user's sessions, in seconds from the first phase.

    Gaps are drawn from ``arrival`` in operational time, which runs at the level of the phase (time
    rescaling: twice the level, half the gaps; none at level 0).
    """
    operational = arrival.sample_s(rng) * rng.random()  # users do not all begin together
    while (start := _real_time(operational, phases)) is not None:
        yield start
        # A gap of 0 would never reach the end of the phases.
        operational += max(arrival.sample_s(rng), 0.01)


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
