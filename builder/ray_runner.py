"""Candidates evaluated by actors on Ray. The only door to Ray."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from builder.families.base import wants_gpu
from builder.objective import Candidate, Checkpoints, Objective, failed, overrun
from builder.result import Trial
from builder.runners import Place, Take
from topologies.cluster import cluster
from topologies.errors import MachineError

GRACE_S: Final = 5.0  # for a trial to end by itself, before its process is killed
LONGEST_WAIT_S: Final = 3600.0


class _Worker:
    """A process that holds the data and evaluates one candidate at a time."""

    def __init__(self, objective: Objective) -> None:
        self._objective, self._kept = objective, Checkpoints()

    def ready(self) -> None:
        """Answer once the process and the data are there."""

    def evaluate(self, candidate: Candidate) -> Trial:
        """Evaluate a candidate, going on from what this process trained before."""
        return self._objective(candidate, self._kept)


@dataclass(slots=True)
class _Seat:
    """A worker and what it does; without a candidate it is starting, or free."""

    actor: Any
    candidate: Candidate | None = None
    since: float = math.inf
    holds: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class RayRunner:
    """Many candidates at once: ``cpus`` here (None: all), or those of the cluster at ``address``.

    The data goes to the object store once and is mapped into every worker. A cluster of this
    machine is started for a run and ended after it; one that is there already is used and left
    alone. Workers of a cluster elsewhere need this package installed.

    ``cpus_per_trial`` and ``gpus_per_trial`` may be fractions. None are the threads of a trial,
    and, for families that can use one, an even share of the GPUs there are.
    """

    cpus: int | None = None
    address: str | None = None
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    clock: Callable[[], float] = time.monotonic

    def run(self, objective: Objective, take: Take) -> Iterator[Trial]:
        """Yield the trials as they end."""
        with cluster(self.cpus, self.address) as ray:
            options, places = self._options(ray, objective)
            pool = _Pool(ray, objective, options, places, self.clock)
            try:
                yield from pool.run(take)
            finally:
                pool.end()

    def _options(self, ray: Any, objective: Objective) -> tuple[dict[str, Any], int]:
        """What each worker asks of Ray, and how many there can be."""
        there = ray.cluster_resources()
        total, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
        cpus = self.cpus_per_trial or float(objective.trainer.threads)
        places = int(total / cpus + 1e-9)
        if not places:
            raise MachineError(
                f"a trial needs {cpus:g} processors, and Ray has {total:g}",
                remedy="lower threads or cpus_per_trial, or use a larger cluster",
            )
        share = 0.0
        if gpus and any(wants_gpu(one) for one in objective.trainer.families.values()):
            share = self.gpus_per_trial or 1 / math.ceil(places / gpus)
            places = min(places, int(gpus * int(1 / share)) if share < 1 else int(gpus / share))
        options: dict[str, Any] = {"num_cpus": cpus, "num_gpus": share, "max_restarts": 0}
        return options, places


class _Pool:
    """Workers that are kept for all trials; one that hangs or dies is replaced."""

    def __init__(
        self,
        ray: Any,
        objective: Objective,
        options: dict[str, Any],
        places: int,
        clock: Callable[[], float],
    ) -> None:
        self._ray, self._clock = ray, clock
        self._shared = ray.put(objective)
        self._kind, self._options, self._places = ray.remote(_Worker), options, places
        self._free: list[_Seat] = []
        self._busy: dict[Any, _Seat] = {}
        for _ in range(places):
            self._start()

    def run(self, take: Take) -> Iterator[Trial]:
        """Yield the trials as they end."""
        while True:
            self._fill(take)
            working = any(seat.candidate is not None for seat in self._busy.values())
            if not self._busy or (self._free and not working):
                return
            yield from self._ended()

    def end(self) -> None:
        """End every worker."""
        for seat in [*self._free, *self._busy.values()]:
            self._ray.kill(seat.actor)

    def _start(self) -> None:
        actor = self._kind.options(**self._options).remote(self._shared)
        self._busy[actor.ready.remote()] = _Seat(actor)

    def _fill(self, take: Take) -> None:
        for seat in list(self._free):
            candidate = take(Place(self._places, frozenset(seat.holds)))
            if candidate is None:
                return
            self._free.remove(seat)
            seat.candidate, seat.since = candidate, self._clock()
            seat.holds.add(candidate.number)
            self._busy[seat.actor.evaluate.remote(candidate)] = seat

    def _ended(self) -> list[Trial]:
        """Wait for a worker to be done or to overrun."""
        first = min(map(_ends, self._busy.values()))
        wait_s = max(0.0, min(first - self._clock(), LONGEST_WAIT_S))
        ready, _ = self._ray.wait(list(self._busy), num_returns=1, timeout=wait_s)
        trials = [self._result(reference) for reference in ready]
        now = self._clock()
        for reference, seat in list(self._busy.items()):
            if seat.candidate is not None and now > _ends(seat):
                del self._busy[reference]
                self._ray.kill(seat.actor)
                self._start()
                trials.append(overrun(seat.candidate, seconds=now - seat.since, scores=[]))
        return [trial for trial in trials if trial is not None]

    def _result(self, reference: Any) -> Trial | None:
        """What became of a call; a worker that died is a failed trial."""
        seat = self._busy.pop(reference)
        candidate, seat.candidate = seat.candidate, None
        try:
            trial: Trial | None = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self._ray.exceptions.RayError as error:
            if candidate is None:
                raise MachineError(
                    f"Ray's workers do not start: {error}",
                    remedy="install this package, of this version, on every machine of the cluster",
                ) from None
            self._start()
            message = f"the worker died: {type(error).__name__}"
            return failed(candidate, message, seconds=self._clock() - seat.since, scores=[])
        self._free.append(seat)
        return trial


def _ends(seat: _Seat) -> float:
    """When a worker is given up."""
    return math.inf if seat.candidate is None else seat.since + seat.candidate.limit_s + GRACE_S
