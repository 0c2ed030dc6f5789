"""Keeping to a phase's target: how many sessions to begin now. Pure.

Users are sessions going on at once: as many begin as are missing, and some more for a while after
too few could begin. Flows follow a session's begin, some at once and some later, so what running
sessions will still open is estimated from those that have ended, and sessions begin until what was
opened and what is to be expected meets the integral of the target a moment ahead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from launcher.plan import SessionPlan
from topologies import Phase

AHEAD_S: Final = 1.0  # a session needs some time until its first flow
MOST_AT_ONCE: Final = 3  # per call: a burst of processes would delay them all
CATCH_UP_S: Final = 10.0  # in which user-seconds that a busy machine lost are made up for
MOST_MORE: Final = 0.1  # users at once above the target, as a share of it
PRIOR_FLOWS: Final = 4.0  # of a session, before any has ended; counts
PRIOR_SESSIONS: Final = 3.0  # like so many
TOLERANCE: Final = 0.05


class Load(NamedTuple):
    """What goes on in the lab.

    Attributes
    ----------
    running
        For each session that goes on, how many flows it has opened.
    ended, ended_flows
        Sessions that have ended since the run began, and how many flows they had opened.
    flows
        Flows that all sessions have opened since the phase began.
    """

    running: Sequence[int]
    ended: int
    ended_flows: int
    flows: int


class Pacer:
    """Meets the target of one phase, and measures how well.

    Attributes
    ----------
    phase
        It must have a target.
    """

    def __init__(self, phase: Phase) -> None:
        if phase.target is None:
            raise ValueError("a phase without a target needs no pace")
        self.phase, self._target = phase, phase.target
        self._busy_s = self._flows = self._last_s = 0.0

    def wanted(self, time_s: float, load: Load) -> int:
        """How many sessions to begin ``time_s`` seconds after the phase's begin."""
        running = len(load.running)
        self._busy_s += running * max(time_s - self._last_s, 0.0)
        self._last_s, self._flows = time_s, load.flows
        if self._target.unit == "users":
            level = self._target.value * self.phase.level(time_s)
            behind_s = self._target.value * self.phase.area_s(time_s) - self._busy_s
            more = min(max(behind_s, 0.0) / CATCH_UP_S, MOST_MORE * level)
            missing = round(level + more) - running
        else:
            each = (load.ended_flows + PRIOR_FLOWS * PRIOR_SESSIONS) / (load.ended + PRIOR_SESSIONS)
            each = max(each, 1.0)
            to_come = sum(max(each - opened, 0.0) for opened in load.running)
            due = self._target.value * self.phase.area_s(
                min(time_s + AHEAD_S, self.phase.duration_s)
            )
            missing = math.floor((due - load.flows - to_come) / each)
        return max(min(missing, MOST_AT_ONCE), 0)

    @property
    def asked(self) -> float:
        """The target's average over the phase so far: users, or flows a second."""
        if self._last_s == 0:
            return 0.0
        return self._target.value * self.phase.area_s(self._last_s) / self._last_s

    @property
    def achieved(self) -> float:
        """What was measured, likewise."""
        if self._last_s == 0:
            return 0.0
        return (self._busy_s if self._target.unit == "users" else self._flows) / self._last_s

    @property
    def met(self) -> bool:
        """Whether that is within five per cent."""
        return abs(self.achieved - self.asked) <= TOLERANCE * self.asked


class Paces:
    """Every phase with a target, and the sessions that are kept ready for it.

    Attributes
    ----------
    pacers
        By the number of the phase.
    """

    def __init__(self, phases: Sequence[Phase], sessions: Sequence[SessionPlan]) -> None:
        self._phases = phases
        self.pacers: Mapping[int, Pacer] = {
            number: Pacer(phase) for number, phase in enumerate(phases) if phase.target is not None
        }
        self._ready: dict[int, list[SessionPlan]] = {number: [] for number in self.pacers}
        for session in reversed(sessions):
            if session.phase is not None:
                self._ready[session.phase].append(session)
        self._flows_before: dict[int, int] = {}

    def due(self, now_s: float, load: Load) -> list[SessionPlan]:
        """Sessions to begin ``now_s`` seconds after the first phase began.

        ``load`` counts flows since the run began.
        """
        begin_s = 0.0
        for number, phase in enumerate(self._phases):
            if number in self.pacers and begin_s <= now_s < begin_s + phase.duration_s:
                before = self._flows_before.setdefault(number, load.flows)
                since = load._replace(flows=load.flows - before)
                wanted = self.pacers[number].wanted(now_s - begin_s, since)
                ready = self._ready[number]
                return [ready.pop() for _ in range(min(wanted, len(ready)))]
            begin_s += phase.duration_s
        return []

    def over(self, now_s: float) -> bool:
        """Whether no phase with a target goes on or is to come."""
        ends_s = [
            sum(phase.duration_s for phase in self._phases[: number + 1]) for number in self.pacers
        ]
        return now_s >= max(ends_s, default=0.0)
