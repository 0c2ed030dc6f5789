"""Phases' shapes and targets: what a curve integrates to, and whether a target is met."""

from __future__ import annotations

import heapq
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from launcher.compile import compile_run
from launcher.drafts import pool_size
from launcher.pace import Load, Pacer
from launcher.schedule import session_starts
from topologies import Phase, Topology, load_topology
from topologies.distributions import Constant
from topologies.document import Document

SHAPES = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"shape": st.just("ramp"), "start": st.floats(0, 5), "end": st.floats(0, 5)}
    ),
    st.fixed_dictionaries(
        {
            "shape": st.just("steps"),
            "levels": st.lists(st.floats(0, 5), min_size=1, max_size=6),
        }
    ),
    st.fixed_dictionaries(
        {
            "shape": st.just("bursts"),
            "base": st.floats(0, 2),
            "peak": st.floats(0, 5),
            "every_s": st.floats(2, 30),
            "length_s": st.floats(0.5, 2),
        }
    ),
    st.fixed_dictionaries(
        {
            "shape": st.just("diurnal"),
            "low": st.floats(0, 1),
            "high": st.floats(1, 4),
            "day_s": st.floats(1, 90),
        }
    ),
)


def phase(shape: dict[str, object] | None, **more: object) -> Phase:
    return Phase.model_validate({"name": "p", "duration_s": 60, "shape": shape} | more)


@given(SHAPES, st.floats(0, 60), st.floats(0, 60))
def test_the_integral_of_a_level_grows_and_is_inverted(
    shape: dict[str, object] | None, one: float, two: float
) -> None:
    made = phase(shape, intensity=1.5)
    early, late = sorted((one, two))
    assert made.area_s(0) == pytest.approx(0, abs=1e-9)
    assert made.area_s(early) <= made.area_s(late) + 1e-9
    whole = made.area_s(60)
    if whole > 0.01:
        area = whole * one / 61
        assert made.area_s(made.time_of(area)) == pytest.approx(area, abs=1e-6)


@given(SHAPES, st.floats(0.1, 10), st.floats(0, 1))
def test_a_phase_scaled_in_time_has_the_same_curve(
    shape: dict[str, object] | None, factor: float, share: float
) -> None:
    made = phase(shape)
    other = made.scaled(factor)
    assert other.duration_s == pytest.approx(60 * factor)
    expected = made.area_s(60 * share) * factor
    assert other.area_s(60 * factor * share) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "halves"),
    [
        ({"shape": "ramp", "start": 0, "end": 2}, (15, 45)),
        ({"shape": "steps", "levels": [0.5, 1.5]}, (15, 45)),
        ({"shape": "diurnal", "low": 0, "high": 2, "day_s": 60}, (30, 30)),
        ({"shape": "bursts", "base": 0, "peak": 4, "every_s": 30, "length_s": 5}, (20, 20)),
    ],
)
def test_sessions_follow_the_shape(shape: dict[str, object], halves: tuple[int, int]) -> None:
    starts = list(session_starts(Constant(value_s=1.0), [phase(shape)], Random(4)))
    first = sum(start < 30 for start in starts)
    assert (first, len(starts) - first) == (
        pytest.approx(halves[0], abs=1), pytest.approx(halves[1], abs=1)
    )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": {"shape": "bursts", "every_s": 2, "length_s": 3}},
        {"shape": {"shape": "zigzag"}},
        {"shape": {"shape": "steps", "levels": []}},
        {"target": {}},
        {"target": {"users": 3, "flows_per_s": 2}},
        {"target": {"users": 0}},
    ],
)
def test_what_is_no_shape_or_target_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Phase.model_validate({"name": "p", "duration_s": 9} | wrong)


def simulated(made: Phase, seed: int, *, mean_s: float, flows: float, late_s: float) -> Pacer:
    """Play a phase with sessions of random lengths, whose flows come late and all along."""
    rng, pacer = Random(seed), Pacer(made)
    ends: list[tuple[float, int]] = []
    opening: list[tuple[float, int]] = []
    opened: dict[int, int] = {}
    ended = ended_flows = begun = 0
    for tick in range(int(made.duration_s / 0.05)):
        now = tick * 0.05
        while opening and opening[0][0] <= now:
            opened[heapq.heappop(opening)[1]] += 1
        while ends and ends[0][0] <= now:
            ended, ended_flows = ended + 1, ended_flows + opened.pop(heapq.heappop(ends)[1])
        running = list(opened.values())
        load = Load(running, ended, ended_flows, ended_flows + sum(running))
        for _ in range(pacer.wanted(now, load)):
            opened[begun] = 0
            begun += 1
            length_s = late_s + rng.expovariate(1 / mean_s)
            for _ in range(1 + int(rng.expovariate(1 / flows))):
                at = now + late_s + rng.random() * (length_s - late_s)
                heapq.heappush(opening, (at, begun - 1))
            heapq.heappush(ends, (now + length_s + 0.1, begun - 1))
    return pacer


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [None, {"shape": "ramp", "start": 0.5, "end": 1.5}])
@pytest.mark.parametrize(
    ("target", "mean_s", "flows"),
    [({"users": 20}, 4, 3), ({"flows_per_s": 30}, 4, 3), ({"flows_per_s": 12}, 1, 8)],
)
def test_a_target_is_met_within_five_per_cent(
    target: dict[str, float], shape: dict[str, object] | None, mean_s: float, flows: float,
    seed: int,
) -> None:  # fmt: skip
    made = phase(shape, target=target, duration_s=120)
    pacer = simulated(made, seed, mean_s=mean_s, flows=flows, late_s=0.5)
    assert pacer.asked == pytest.approx(next(iter(target.values())), rel=0.02)
    assert pacer.met, (pacer.asked, pacer.achieved)


def test_users_who_came_late_are_made_up_for() -> None:
    pacer = Pacer(phase(None, target={"users": 10}, duration_s=120))
    running = 0
    for tick in range(2400):
        begun = pacer.wanted(tick * 0.05, Load([1] * running, 0, 0, 0))
        if 400 <= tick < 600:  # a busy machine: nobody begins, and everybody has ended
            running = 0
        else:
            running += begun - (tick % 20 == 0 and running > 0)
    assert pacer.achieved == pytest.approx(10, rel=0.03)
    assert running <= 11


def test_what_cannot_be_met_is_known() -> None:
    made = phase(None, target={"flows_per_s": 50}, duration_s=20)
    pacer = Pacer(made)
    for tick in range(400):
        pacer.wanted(tick * 0.05, Load([], 0, 0, tick))
    assert not pacer.met
    assert pacer.achieved == pytest.approx(20, rel=0.05)


def with_phases(*phases: Phase) -> Document[Topology]:
    office = load_topology("office")
    return Document(office.model.model_copy(update={"phases": phases}), office.source)


def test_sessions_for_a_target_are_drawn_beforehand_and_alike_for_a_seed() -> None:
    paced = phase(None, target={"users": 5}, duration_s=10)
    document = with_phases(Phase(name="free", duration_s=20), paced)
    plan = compile_run(document, seed=3)
    assert plan == compile_run(document, seed=3)
    pool = [session for session in plan.sessions if session.phase == 1]
    assert len(pool) == pool_size(paced) == 50
    assert {session.start_s for session in pool} == {20.0}
    free = [session for session in plan.sessions if session.phase is None]
    assert free
    assert max(session.start_s for session in free) < 20
    assert len({session.kind for session in pool}) > 3
