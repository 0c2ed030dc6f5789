from __future__ import annotations

import statistics
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies.distributions import Constant, Exponential, Lognormal, Pareto, Uniform

TIMES = st.floats(0.001, 100)


@given(
    st.one_of(
        st.builds(Constant, value_s=TIMES),
        st.builds(Exponential, mean_s=TIMES),
        st.builds(Lognormal, median_s=TIMES, sigma=st.floats(0, 4)),
        st.builds(Pareto, minimum_s=TIMES, shape=st.floats(0.1, 10)),
    ),
    st.integers(0, 2**32),
)
def test_draws_are_bounded_and_repeat_with_the_seed(distribution: Constant, seed: int) -> None:
    first, again = distribution.sample_s(Random(seed)), distribution.sample_s(Random(seed))
    assert first == again
    assert 0 <= first <= distribution.maximum_s


@pytest.mark.parametrize(
    ("distribution", "centre"),
    [
        (Exponential(mean_s=2.0, maximum_s=1000), 2.0),
        (Uniform(low_s=1.0, high_s=3.0), 2.0),
        (Lognormal(median_s=2.0, sigma=0.0), 2.0),
    ],
)
def test_the_mean_is_what_it_says(distribution: Exponential, centre: float) -> None:
    rng = Random(7)
    mean = statistics.fmean(distribution.sample_s(rng) for _ in range(20_000))
    assert mean == pytest.approx(centre, rel=0.03)
