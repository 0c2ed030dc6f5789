"""Whether the impairments are what was asked for: measured at the start of every run.

One link of each impaired network is probed, all networks at the same time, in about two seconds and
the longest delay. Small deviations are a matter of record; a gross one is an error.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Final

from launcher.impair import Links
from launcher.impair.probe import (
    FASTEST_MBIT,
    FRAMES,
    PACED_S,
    Lane,
    lanes_of,
    pace,
    saturate,
)
from launcher.records import LinkMeasure, LinkRecord, VerifiedLink
from topologies.errors import MachineError
from topologies.impairments import DIRECTIONS, Quality

# What is gross. Deviations of shares are in standard deviations of the share itself.
RATE_FACTORS: Final = (0.6, 1.3)
DELAY_FACTORS: Final = (0.8, 1.25)
LATE_MS: Final = 20.0  # by a busy machine, at most
JITTER_FACTORS: Final = (0.5, 2.0)
SHARE_DEVIATIONS: Final = 5.0
SHARE_PERCENT: Final = 1.0
_HELD_DRAWS: Final = 20  # of the jitter, fewer say nothing about it
_DUE, _LEAST_SHARE = 12.0, 0.1
_SATURATING: Final = 1.1  # times the rate
_FEWEST_ARRIVALS: Final = 10
_STRETCHES: Final = 8
_UNIFORM_DEVIATION: Final = 3**-0.5


def verify(links: Links) -> tuple[VerifiedLink, ...]:
    """Measure every impaired network; what was asked for and what was found.

    Raises
    ------
    MachineError
        Two probes one after the other found something grossly different.
    """
    if not links.places:
        return links.verified
    found = _measured(links)
    if faults_of(found):
        found = _measured(links)  # the machine may have been busy
    links.restart()
    if faults := faults_of(found):
        raise MachineError(
            "; ".join(faults),
            remedy="make the machine less busy, or ask for what docs/impairments.md says that it "
            "can do",
        )
    return found


def _measured(links: Links) -> tuple[VerifiedLink, ...]:
    first = {place.segment.name: place for place in reversed(links.places)}
    lanes: list[Lane] = []
    with ExitStack() as stack:
        for name, place in first.items():
            stage = links.stages[name][0]
            qualities = {d: stage.of(d) for d in DIRECTIONS if not stage.of(d).perfect}
            bucket = not links.cut(name)
            closing, made = lanes_of(place, qualities, bucket=bucket, fabric=links.fabric)
            stack.enter_context(closing)
            lanes += made
        if not lanes:
            return ()
        pace(lanes)
        measures = [measure(lane) for lane in lanes]
        limited = [lane.again() for lane in lanes if _rate_counts(lane)]
        if limited:
            saturate(limited)
        rates = {(lane.place.port, lane.direction): rate_mbit(lane) for lane in limited}
    return tuple(
        VerifiedLink(
            network=lane.place.segment.name,
            direction=lane.direction,
            mechanism=links.mechanism[lane.place.segment.name],
            node=lane.place.node,
            asked=LinkRecord(**asdict(lane.quality)),
            measured=found.model_copy(
                update={"rate_mbit": rates.get((lane.place.port, lane.direction))}
            ),
        )
        for lane, found in zip(lanes, measures, strict=True)
    )


def _rate_counts(lane: Lane) -> bool:
    return lane.quality.rate_mbit is not None and lane.quality.rate_mbit <= FASTEST_MBIT


def measure(lane: Lane) -> LinkMeasure:
    """All but the rate, from what arrived of paced frames."""
    first: dict[int, int] = {}
    for sequence, delay_ns, _, _ in lane.arrived:
        first.setdefault(sequence, delay_ns)
    overtaking = set(_overtaking(list(first)))
    delays = [delay / 1e6 for number, delay in first.items() if number not in overtaking]
    sent = max(1, lane.sent)
    return LinkMeasure(
        frames=lane.sent,
        rate_mbit=None,
        delay_ms=round(statistics.median(delays), 3) if delays else None,
        jitter_ms=round(statistics.pstdev(delays), 3) if delays else None,
        loss_percent=round(100 * (1 - len(first) / sent), 2),
        reorder_percent=round(100 * len(overtaking) / sent, 2),
        duplicate_percent=round(100 * (len(lane.arrived) - len(first)) / sent, 2),
    )


def rate_mbit(lane: Lane) -> float | None:
    """How fast a saturated lane was, once its token bucket was empty; None: cannot be said."""
    asked = lane.quality.rate_mbit or 0.0
    skipped, left = lane.bucket_bytes, []
    for _, _, at_ns, size in lane.arrived:
        skipped -= size
        if skipped < 0:
            left.append((at_ns, size))
    if len(left) < _FEWEST_ARRIVALS:
        return None
    # The median of stretches, for a moment in which this program had to wait says nothing.
    step = max(2, len(left) // _STRETCHES)
    found = statistics.median(
        sum(size for _, size in left[first + 1 : first + step + 1])
        * 8e3
        / max(left[first + step][0] - left[first][0], 1)
        for first in range(0, len(left) - step, step)
    )
    # Not saturated, for want of a faster sender: no more than that the limit is not lower.
    return None if lane.offered_mbit < _SATURATING * asked and found < asked else round(found, 3)


def _overtaking(order: Sequence[int]) -> Iterator[int]:
    """Numbers that arrived before a smaller one."""
    smallest = max(order, default=0) + 1
    for number in reversed(order):
        if number > smallest:
            yield number
        smallest = min(smallest, number)


def faults_of(links: Iterable[VerifiedLink]) -> list[str]:
    """What is grossly different, in words."""
    return [fault for link in links for fault in _faults(link)]


def _faults(link: VerifiedLink) -> Iterator[str]:
    asked, found = Quality(**link.asked.model_dump()), link.measured
    for what, value, low, high in _bounds(asked, found):
        if value is not None and not low <= value <= high:
            yield (
                f"network '{link.network}', {link.direction} ({link.mechanism}): {what} was to be "
                f"within {low:.4g} and {high:.4g}, a probe found {value:g}"
            )
    if found.delay_ms is None:
        yield (
            f"network '{link.network}', {link.direction} ({link.mechanism}): nothing of a probe of "
            f"{found.frames} frames arrived"
        )


def _bounds(asked: Quality, found: LinkMeasure) -> Iterator[tuple[str, float | None, float, float]]:
    """What was measured, as what, and between which values it must be."""
    if asked.rate_mbit is not None:
        low, high = (asked.rate_mbit * factor for factor in RATE_FACTORS)
        yield "rate_mbit", found.rate_mbit, low, high
    low, high = (asked.delay_ms * factor for factor in DELAY_FACTORS)
    sending_ms = 60 * 8 / (asked.rate_mbit * 1e3) if asked.rate_mbit else 0
    late_ms = LATE_MS + sending_ms + 4 * asked.jitter_ms
    yield "delay_ms", found.delay_ms, max(0.0, low - 1 - asked.jitter_ms), high + late_ms
    # A draw of the jitter holds for four times the jitter.
    if asked.jitter_ms and PACED_S * 1e3 / (4 * asked.jitter_ms) >= _HELD_DRAWS:
        uniform = asked.jitter_distribution == "uniform"
        expected = asked.jitter_ms * (_UNIFORM_DEVIATION if uniform else 1)
        low, high = (expected * factor for factor in JITTER_FACTORS)
        enough = asked.delay_ms >= 2 * asked.jitter_ms and found.frames >= FRAMES / 2
        yield "jitter_ms", found.jitter_ms, low if enough else 0.0, high + LATE_MS
    bursts = 2 * asked.loss_burst_packets - 1
    yield "loss_percent", found.loss_percent, *_share(asked.loss_percent, found.frames, bursts)
    yield (
        "duplicate_percent",
        found.duplicate_percent,
        *_share(asked.duplicate_percent, found.frames, 1),
    )


def _share(percent: float, frames: int, variance: float) -> tuple[float, float]:
    """Bounds of a share found among ``frames``, whose variance is that many times binomial."""
    share = percent / 100
    deviation = (share * (1 - share) * variance / frames) ** 0.5 * 100
    allowed = SHARE_DEVIATIONS * deviation + SHARE_PERCENT
    # Where that many are due, next to none is not chance.
    least = _LEAST_SHARE * percent if share * frames / variance >= _DUE else 0.0
    return max(percent - allowed, least), percent + allowed
