"""When sessions begin: a renewal process whose rate follows the phases' intensity. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from topologies import Phase
from topologies.distributions import TimeDistribution


def session_starts(
    arrival: TimeDistribution, phases: Sequence[Phase], rng: Random
) -> Iterator[float]:
    """Yield the start times of one user's sessions, in seconds from the first phase.

    Gaps are drawn from ``arrival`` in operational time, which runs at the intensity of the phase
    (time rescaling: twice the intensity, half the gaps; none at intensity 0).
    """
    operational = arrival.sample_s(rng) * rng.random()  # users do not all begin together
    while (start := _real_time(operational, phases)) is not None:
        yield start
        # A gap of 0 would never reach the end of the phases.
        operational += max(arrival.sample_s(rng), 0.01)


def _real_time(operational: float, phases: Sequence[Phase]) -> float | None:
    """Invert the integral of the intensity; None beyond the last phase."""
    begin = 0.0
    for phase in phases:
        length = phase.duration_s * phase.intensity
        if operational < length:
            return begin + operational / phase.intensity
        operational -= length
        begin += phase.duration_s
    return None
