from __future__ import annotations

import numpy as np
import pytest

from builder.space import Choice, IntRange, LogUniform, Uniform, draw

SPACE = {
    "choice": Choice((None, "sqrt", 0.5)),
    "whole": IntRange(1, 3),
    "whole_log": IntRange(1, 100, log=True),
    "real": Uniform(0.5, 1.0),
    "real_log": LogUniform(0.001, 1.0),
}


def draws(count: int = 2000):
    rng = np.random.default_rng(0)
    return [draw(SPACE, rng) for _ in range(count)]


@pytest.mark.parametrize("name", SPACE)
def test_what_is_drawn_is_in_the_domain(name):
    assert all(params[name] in SPACE[name] for params in draws())


def test_draws_are_plain_python_values():
    kinds = {type(value) for params in draws(50) for value in params.values()}
    assert kinds == {int, float, str, type(None)}


def test_ends_are_reached_and_logarithms_favour_the_small():
    found = draws()
    assert {params["whole"] for params in found} == {1, 2, 3}
    assert {params["choice"] for params in found} == {None, "sqrt", 0.5}
    wide = [params["whole_log"] for params in found]
    assert min(wide) == 1
    assert max(wide) == 100
    assert 5 < np.median(wide) < 15  # the geometric middle, not 50
    assert 0.02 < np.median([params["real_log"] for params in found]) < 0.05


def test_what_is_outside_is_told():
    assert 4 not in SPACE["whole"]
    assert 1.5 not in SPACE["real"]
    assert 2.0 not in SPACE["real_log"]
    assert "log2" not in SPACE["choice"]
