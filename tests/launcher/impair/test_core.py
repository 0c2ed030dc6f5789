"""What becomes of frames on a user-space link, without any frame: chance, queues and order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.impair import core
from launcher.impair.helper import lane_values, make_frames, make_lanes
from launcher.impair.jitter import KINDS, SIZE, quantiles
from launcher.impair.pump import pop, push
from topologies.impairments import JitterDistribution, Quality

MS = 1_000_000
FRAME = 1_518


def lanes(quality: Quality, *, seed: int = 1) -> core.Lanes:
    made = make_lanes(1, seed)
    made.quality[0] = lane_values({**asdict(quality), "frame_bytes": FRAME})
    return made


def pass_frames(
    made: core.Lanes, count: int, *, gap_ns: int = MS, length: int = 100
) -> list[tuple[int, int]]:
    """Delays of frames that are sent at equal gaps, and of their duplicates; -1 is lost."""
    start = 10**9
    found = []
    for number in range(count):
        now = start + number * gap_ns
        dues = core.admit(made, 0, now, length)
        found.append(tuple(due - now if due >= 0 else -1 for due in dues))
    return found


def positions_lost(quality: Quality, seed: int, gap_ns: int = MS) -> list[int]:
    delays = pass_frames(lanes(quality, seed=seed), 4_000, gap_ns=gap_ns)
    return [number for number, (delay, _) in enumerate(delays) if delay < 0]


def test_a_perfect_lane_does_nothing() -> None:
    assert set(pass_frames(lanes(Quality()), 100, length=9_000)) == {(0, -1)}


def test_the_same_seed_loses_the_same_positions_at_any_pace() -> None:
    quality = Quality(loss_percent=5, loss_burst_packets=3)
    once = positions_lost(quality, 7)
    assert once == positions_lost(quality, 7, gap_ns=17)
    busy = Quality(*(None, 20.0, 5.0, "pareto", 5.0, 3.0), reorder_percent=9, duplicate_percent=9)
    assert once == positions_lost(busy, 7)
    assert once != positions_lost(quality, 8)


@pytest.mark.parametrize("burst", [1.0, 2.0, 8.0])
def test_loss_is_as_much_and_in_such_bursts(burst: float) -> None:
    count = 200_000
    made = lanes(Quality(loss_percent=4, loss_burst_packets=burst))
    lost = [core.lost(made, 0) for _ in range(count)]
    runs = [len(list(run)) for value, run in itertools.groupby(lost) if value]
    assert sum(lost) / count == pytest.approx(0.04, rel=0.1)
    expected = burst if burst > 1 else 1 / 0.96
    assert sum(runs) / len(runs) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_jitter_has_its_distribution(kind: JitterDistribution) -> None:
    # Frames far apart, so that each has a draw of its own and none waits for another.
    made = lanes(Quality(delay_ms=50, jitter_ms=5, jitter_distribution=kind))
    delays = np.array([d for d, _ in pass_frames(made, 20_000, gap_ns=100 * MS)]) / MS
    table = 50 + 5 * np.array(quantiles(kind))
    assert delays.mean() == pytest.approx(50, abs=0.2)
    assert delays.std() == pytest.approx(table.std(), rel=0.05)
    for share in (0.05, 0.5, 0.95):
        assert np.quantile(delays, share) == pytest.approx(np.quantile(table, share), abs=0.5)


def test_the_tables_are_standardised() -> None:
    for kind in KINDS:
        values = np.array(quantiles(kind))
        assert len(values) == SIZE
        assert values.mean() == pytest.approx(0, abs=1e-9)
        assert values.std() == pytest.approx(1 if kind != "uniform" else 3**-0.5, rel=1e-3)
        assert np.all(np.diff(values) >= 0)
        assert np.abs(values).max() <= 4


def test_a_delay_is_never_below_nothing_and_jitter_lets_none_overtake() -> None:
    made = lanes(Quality(delay_ms=2, jitter_ms=8))
    delays = [d for d, _ in pass_frames(made, 5_000, gap_ns=MS // 10)]
    assert min(delays) >= 0
    arrivals = [number * MS // 10 + delay for number, delay in enumerate(delays)]
    assert all(one < two for one, two in itertools.pairwise(arrivals))


def test_the_mean_delay_does_not_depend_on_the_pace() -> None:
    quality = Quality(delay_ms=50, jitter_ms=5)
    for gap_ns in (MS // 50, MS, 50 * MS):
        count = max(5_000, 40_000 * MS // 10 // gap_ns)
        delays = [d / MS for d, _ in pass_frames(lanes(quality), count, gap_ns=gap_ns)]
        assert sum(delays) / count == pytest.approx(50, abs=1.5)


def test_reordered_frames_overtake() -> None:
    delays = pass_frames(lanes(Quality(delay_ms=20, reorder_percent=10)), 20_000)
    overtaking = sum(delay == 0 for delay, _ in delays)
    assert overtaking / 20_000 == pytest.approx(0.1, rel=0.1)
    assert {delay for delay, _ in delays} == {0, 20 * MS}


def test_duplicates_follow_their_originals() -> None:
    delays = pass_frames(lanes(Quality(delay_ms=1, duplicate_percent=20)), 20_000)
    doubled = [(one, two) for one, two in delays if two >= 0]
    assert len(doubled) / 20_000 == pytest.approx(0.2, rel=0.1)
    assert all(two > one for one, two in doubled)


def test_a_rate_spaces_frames_and_its_queue_has_an_end() -> None:
    made = lanes(Quality(rate_mbit=8, queue_ms=10))  # a byte in a microsecond
    delays = [d for d, _ in pass_frames(made, 30, gap_ns=0, length=1_000)]
    assert delays[:11] == [MS * number for number in range(1, 12)]
    assert set(delays[11:]) == {-1}
    assert made.counts[0, core.QUEUE_FULL] == 19
    assert core.admit(made, 0, 10**9 + 20 * MS, 1_000)[0] == 10**9 + 21 * MS


@pytest.mark.parametrize(
    ("queue", "waiting"), [({}, 32), ({"queue_packets": 3}, 3), ({"queue_ms": 31}, 20)]
)
def test_the_length_of_a_queue(queue: dict[str, int], waiting: int) -> None:
    made = lanes(Quality(rate_mbit=8, **queue))
    delays = [d for d, _ in pass_frames(made, 100, gap_ns=0, length=FRAME)]
    assert sum(delay >= 0 for delay in delays) == waiting + 1  # and the one that is being sent


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(0, 1_000), max_size=200))
def test_the_heap_sorts(keys: Sequence[int]) -> None:
    frames = make_frames(1 << 20)
    for number, key in enumerate(keys):
        push(frames, key, number)
    assert [keys[pop(frames)] for _ in keys] == sorted(keys)
    assert frames.sizes[1] == 0
