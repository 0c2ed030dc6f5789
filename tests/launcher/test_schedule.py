from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.schedule import session_starts
from topologies import Phase
from topologies.distributions import Constant, Exponential, Pareto, TimeDistribution

PHASES = st.lists(
    st.builds(
        Phase,
        name=st.just("p"),
        duration_s=st.floats(0.5, 50),
        intensity=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    ),
    min_size=1,
    max_size=5,
)


@given(PHASES, st.integers(0, 2**32))
def test_starts_grow_and_lie_in_phases_with_intensity(phases: list[Phase], seed: int) -> None:
    starts = list(session_starts(Exponential(mean_s=2.0), phases, Random(seed)))
    assert starts == sorted(starts)
    for start in starts:
        begin = 0.0
        for phase in phases:
            if start < begin + phase.duration_s:
                break
            begin += phase.duration_s
        assert start <= begin + phase.duration_s + 1e-9
        assert phase.intensity > 0 or start == pytest.approx(begin)


def test_twice_the_intensity_is_twice_the_sessions() -> None:
    phases = [
        Phase(name="one", duration_s=1000, intensity=1),
        Phase(name="two", duration_s=1000, intensity=2),
    ]
    starts = list(session_starts(Constant(value_s=1.0), phases, Random(1)))
    first = sum(start < 1000 for start in starts)
    assert first == pytest.approx(1000, abs=2)
    assert len(starts) - first == pytest.approx(2000, abs=2)


def test_no_intensity_no_sessions() -> None:
    assert not list(
        session_starts(
            Constant(value_s=1.0), [Phase(name="q", duration_s=9, intensity=0)], Random(1)
        )
    )


@pytest.mark.parametrize(
    "arrival", [Constant(value_s=20.0), Exponential(mean_s=30.0), Pareto(minimum_s=5.0)]
)
def test_a_run_does_not_begin_with_a_rush(arrival: TimeDistribution) -> None:
    phases = [Phase(name="p", duration_s=50)]
    starts = [s for seed in range(2000) for s in session_starts(arrival, phases, Random(seed))]
    tenths = Counter(int(start / 5) for start in starts)
    assert tenths[0] == pytest.approx(len(starts) / 10, rel=0.15)
