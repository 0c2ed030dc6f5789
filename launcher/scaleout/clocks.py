"""How far the clocks of a lab's machines are apart: by the middle of a round trip, as NTP does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Final

from launcher.records import ClockRecord, EngineRecord

TRIALS: Final = 15
TOLERATED_NS: Final = 50_000_000  # a flow belongs to whoever had its ports within that time


def measure(
    ask_ns: Callable[[], int], *, now_ns: Callable[[], int] = time.time_ns, trials: int = TRIALS
) -> ClockRecord:
    """How far the clock that ``ask_ns`` reads elsewhere is ahead of ours, by the fastest trial."""
    found = []
    for _ in range(trials):
        before_ns = now_ns()
        there_ns = ask_ns()
        after_ns = now_ns()
        middle_ns = (before_ns + after_ns) // 2
        found.append(
            ClockRecord(
                time_ns=middle_ns,
                ahead_ns=there_ns - middle_ns,
                round_trip_ns=after_ns - before_ns,
            )
        )
    return min(found, key=lambda record: record.round_trip_ns)


def warnings(engines: Sequence[EngineRecord]) -> Iterator[str]:
    """What the clocks of these machines make of a run's times, where it matters."""
    for one, other in combinations(engines, 2):
        apart_ns = _apart_ns(one, other)
        if apart_ns > TOLERATED_NS:
            yield (
                f"the clocks of engines '{one.name}' and '{other.name}' are up to "
                f"{apart_ns / 1e6:.1f} ms apart: flows between them may be labelled wrongly; "
                "keep both by NTP or PTP"
            )


def _apart_ns(one: EngineRecord, other: EngineRecord) -> int:
    """At most: what the measurements may be wrong by counts, too."""
    pairs = zip(one.clock, other.clock, strict=False)
    return max(
        (abs(a.ahead_ns - b.ahead_ns) + (a.round_trip_ns + b.round_trip_ns) // 2 for a, b in pairs),
        default=0,
    )
