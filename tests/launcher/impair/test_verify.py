"""What a probe makes of the frames that arrived, and what of that is grossly wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from launcher.impair.places import Place
from launcher.impair.probe import FRAMES, Lane
from launcher.impair.verify import faults_of, measure, rate_mbit
from launcher.plan import Segment
from launcher.records import LinkMeasure, LinkRecord, VerifiedLink
from topologies.impairments import Impairments, JitterDistribution, Quality

MS = 1_000_000
PLACE = Place(
    Segment("lan", IPv4Network("198.18.1.0/24"), 1_500, Impairments()),
    *("a", Path("/none"), "eth0", "p0-0", "n0-0", "f0-0"),
)


@contextmanager
def lane(quality: Quality, *, bucket_bytes: int = 0) -> Iterator[Lane]:
    one, two = socket.socketpair()
    with one, two:
        yield Lane(PLACE, "down", quality, one, two, bucket_bytes)


def test_a_measure_of_frames_lost_doubled_and_overtaking() -> None:
    with lane(Quality()) as tested:
        tested.sent = 10
        delays = {0: 20, 1: 22, 2: 18, 5: 1, 3: 20, 4: 20, 6: 20, 8: 20}  # 7 and 9 are lost
        tested.arrived = [(number, delay * MS, 0, 60) for number, delay in delays.items()]
        tested.arrived.append((8, 21 * MS, 0, 60))
        found = measure(tested)
    assert (found.delay_ms, found.frames) == (20, 10)
    assert found.jitter_ms == pytest.approx((8 / 7) ** 0.5, abs=1e-3)
    assert (found.loss_percent, found.duplicate_percent, found.reorder_percent) == (20, 10, 10)


def test_a_measure_of_nothing() -> None:
    with lane(Quality()) as tested:
        tested.sent = 5
        assert measure(tested).delay_ms is None
        assert measure(tested).loss_percent == 100
        assert rate_mbit(tested) is None


def test_the_rate_begins_after_the_bucket_and_a_pause_says_nothing() -> None:
    with lane(Quality(rate_mbit=8), bucket_bytes=10_000) as tested:
        tested.offered_mbit = 10
        at_ns = 0
        for number in range(90):
            # Ten at once from the bucket, then one each millisecond, but for one pause.
            at_ns += 0 if number < 10 else 80 * MS if number == 50 else MS
            tested.arrived.append((number, 0, at_ns, 1_000))
        assert rate_mbit(tested) == pytest.approx(8)
        tested.offered_mbit = 7
        assert rate_mbit(tested) == pytest.approx(8)


def test_a_rate_that_was_not_reached_says_nothing() -> None:
    with lane(Quality(rate_mbit=80)) as tested:
        tested.arrived = [(number, 0, number * MS, 1_000) for number in range(90)]
        tested.offered_mbit = 8
        assert rate_mbit(tested) is None
        tested.offered_mbit = 100
        assert rate_mbit(tested) == pytest.approx(8)


def found(asked: Quality, **measured: float | None) -> list[str]:
    values = {
        "frames": FRAMES,
        "rate_mbit": asked.rate_mbit,
        "delay_ms": asked.delay_ms,
        "jitter_ms": asked.jitter_ms,
        "loss_percent": asked.loss_percent,
        "reorder_percent": asked.reorder_percent,
        "duplicate_percent": asked.duplicate_percent,
    }
    return faults_of(
        [
            VerifiedLink(
                network="lan",
                direction="up",
                mechanism="netem",
                node="a",
                asked=LinkRecord(**asdict(asked)),
                measured=LinkMeasure.model_validate(values | measured),
            )
        ]
    )


@pytest.mark.parametrize(
    ("asked", "wrong", "right"),
    [
        (Quality(rate_mbit=10), {"rate_mbit": 5}, {"rate_mbit": 12}),
        (Quality(rate_mbit=10), {"rate_mbit": 14}, {"rate_mbit": None}),
        (Quality(delay_ms=100), {"delay_ms": 70}, {"delay_ms": 85}),
        (Quality(delay_ms=100), {"delay_ms": 150}, {"delay_ms": 140}),
        (Quality(), {"delay_ms": 25}, {"delay_ms": 15}),
        (Quality(delay_ms=50, jitter_ms=5), {"jitter_ms": 2}, {"jitter_ms": 3}),
        (Quality(delay_ms=50, jitter_ms=5), {"jitter_ms": 31}, {"jitter_ms": 20}),
        (Quality(loss_percent=5), {"loss_percent": 0}, {"loss_percent": 3}),
        (Quality(loss_percent=5), {"loss_percent": 12}, {"loss_percent": 9}),
        (
            Quality(loss_percent=5, loss_burst_packets=20),
            {"loss_percent": 40},
            {"loss_percent": 12},
        ),
        (Quality(duplicate_percent=10), {"duplicate_percent": 1}, {"duplicate_percent": 8}),
    ],
)
def test_what_is_gross(
    asked: Quality, wrong: dict[str, float | None], right: dict[str, float | None]
) -> None:
    assert found(asked) == []
    assert found(asked, **right) == []
    [fault] = found(asked, **wrong)
    [what] = wrong
    assert fault.startswith(f"network 'lan', up (netem): {what} was to be within ")
    assert fault.endswith(f"a probe found {wrong[what]:g}")


def test_a_link_that_lets_nothing_through_is_a_fault() -> None:
    assert "nothing of a probe of 600 frames arrived" in " ".join(
        found(Quality(loss_percent=5), delay_ms=None, jitter_ms=None, loss_percent=100)
    )


@pytest.mark.parametrize(("kind", "low_ms"), [("normal", 3.0), ("uniform", 1.5)])
def test_a_uniform_jitter_deviates_less(kind: JitterDistribution, low_ms: float) -> None:
    asked = Quality(delay_ms=50, jitter_ms=5, jitter_distribution=kind)
    assert found(asked, jitter_ms=low_ms) == []
    assert found(asked, jitter_ms=low_ms - 1) != []
