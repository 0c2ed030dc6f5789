"""Whose sessions there will be, and what each user does: drawn, not yet in order. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import Any, Final

from pydantic import BaseModel

from launcher.activities import ActivityKind
from launcher.schedule import session_starts
from launcher.seeds import derive_seed
from topologies import Activity, Phase, Topology

SHORTEST_S: Final = 1.0
"""What a session lasts on average, at least: so many keep a number of users busy."""
LARGEST_POOL: Final = 20_000
GAPS: Final = 64  # drawn to learn how often the users of an activity begin a session


@dataclass(frozen=True, slots=True)
class Draft:
    """A session before the sessions of all users are put in order.

    ``phase`` is the phase with a target that it is kept ready for; it begins when it is needed.
    """

    name: str
    activity: Activity
    kind: ActivityKind[Any]
    user: str
    host: str
    start_s: float
    seed: int
    variant: str
    params: dict[str, Any]
    phase: int | None = None


@dataclass(frozen=True, slots=True)
class _User:
    name: str  # of the activity
    host: str
    index: int

    @property
    def label(self) -> str:
        return f"{self.host}/{self.name}/{self.index}"


class Drafts:
    """Draws the sessions of a topology."""

    def __init__(
        self,
        topology: Topology,
        kinds: Mapping[str, ActivityKind[Any]],
        params: Mapping[str, BaseModel],
        seed: int,
    ) -> None:
        self._topology, self._kinds, self._params, self._seed = topology, kinds, params, seed

    def all(self) -> Iterator[Draft]:
        """Sessions that users begin by themselves, then those kept ready for phases' targets."""
        for user in self._users():
            arrival = self._topology.activities[user.name].arrival
            rng = Random(derive_seed(self._seed, "arrivals", user.label))
            for number, start_s in enumerate(session_starts(arrival, self._topology.phases, rng)):
                seed = derive_seed(self._seed, "session", user.label, number)
                yield self._draft(user, start_s, seed, None)
        begin_s = 0.0
        for index, phase in enumerate(self._topology.phases):
            if phase.target is not None:
                yield from self._pool(index, phase, begin_s)
            begin_s += phase.duration_s

    def _users(self) -> Iterator[_User]:
        for name, activity in self._topology.activities.items():
            for group in activity.hosts:
                for host in self._topology.members(group):
                    yield from (_User(name, host, index) for index in range(activity.users))

    def _pool(self, index: int, phase: Phase, begin_s: float) -> Iterator[Draft]:
        """As many sessions as the target may take, each user's in proportion to their own rate."""
        users = list(self._users())
        if not users:
            return
        rng = Random(derive_seed(self._seed, "pool", index))
        rates = {name: self._rate(name) for name in self._topology.activities}
        chosen = rng.choices(users, [rates[user.name] for user in users], k=pool_size(phase))
        for number, user in enumerate(chosen):
            seed = derive_seed(self._seed, "pool", index, number)
            yield self._draft(user, begin_s, seed, index)

    def _rate(self, name: str) -> float:
        """Sessions a second that a user of an activity begins by themselves."""
        arrival = self._topology.activities[name].arrival
        rng = Random(derive_seed(self._seed, "rate", name))
        return 1 / max(fmean(arrival.sample_s(rng) for _ in range(GAPS)), 0.01)

    def _draft(self, user: _User, start_s: float, seed: int, phase: int | None) -> Draft:
        activity = self._topology.activities[user.name]
        kind = self._kinds[activity.kind]
        variant, params = kind.draw(Random(seed), self._params[user.name])
        return Draft(
            name=user.name,
            activity=activity,
            kind=kind,
            user=user.label,
            host=user.host,
            start_s=start_s,
            seed=seed,
            variant=variant,
            params=dict(params),
            phase=phase,
        )


def pool_size(phase: Phase) -> int:
    """How many sessions a phase's target may take: a session opens at least one flow."""
    if phase.target is None:
        return 0
    wanted = phase.target.value * phase.area_s(phase.duration_s)
    if phase.target.unit == "users":
        wanted /= SHORTEST_S
    return min(math.ceil(wanted), LARGEST_POOL)
