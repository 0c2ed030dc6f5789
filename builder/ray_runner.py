"""Candidates evaluated by Ray tasks. The only door to Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from builder.objective import Candidate, Objective, failed, overrun
from builder.result import Trial
from topologies.cluster import cluster

GRACE_S: Final = 5.0  # for a task to start and to end by itself, before its process is killed


def _evaluate(objective: Objective, candidate: Candidate) -> Trial:
    return objective(candidate)


@dataclass(frozen=True, slots=True)
class _Running:
    candidate: Candidate
    since: float


@dataclass(frozen=True, slots=True)
class RayRunner:
    """Many candidates at once: ``cpus`` here (None: all), or those of the cluster at ``address``.

    The data goes to the object store once. A cluster of this machine is started for a run and
    ended after it; one that is there already is used and left alone. Workers of a cluster
    elsewhere need this package installed.
    """

    cpus: int | None = None
    address: str | None = None
    clock: Callable[[], float] = time.monotonic

    def run(self, objective: Objective, candidates: Iterator[Candidate]) -> Iterator[Trial]:
        """Yield the trials as they end."""
        with cluster(self.cpus, self.address) as ray:
            places = max(1, int(ray.cluster_resources().get("CPU", 1)) // objective.trainer.threads)
            task = ray.remote(num_cpus=objective.trainer.threads, max_retries=0)(_evaluate)
            shared = ray.put(objective)
            running: dict[Any, _Running] = {}
            while True:
                while len(running) < places and (candidate := next(candidates, None)) is not None:
                    reference = task.remote(shared, candidate)
                    running[reference] = _Running(candidate, self.clock())
                if not running:
                    return
                yield from self._ended(ray, running)

    def _ended(self, ray: Any, running: dict[Any, _Running]) -> list[Trial]:
        """Wait for a task to end or to overrun; take the ended ones out of ``running``."""
        now = self.clock()
        ends = min(job.since + job.candidate.limit_s for job in running.values()) + GRACE_S
        ready, _ = ray.wait(list(running), num_returns=1, timeout=max(0.0, min(ends - now, 3600.0)))
        trials = [_result(ray, reference, running.pop(reference)) for reference in ready]
        now = self.clock()
        for reference, job in list(running.items()):
            seconds = now - job.since
            if seconds > job.candidate.limit_s + GRACE_S:
                ray.cancel(reference, force=True)
                trials.append(overrun(job.candidate, seconds=seconds, scores=[]))
                del running[reference]
        return trials


def _result(ray: Any, reference: Any, job: _Running) -> Trial:
    """What became of an ended task; a worker that died is a failed trial."""
    try:
        trial: Trial = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        message = f"the worker died: {type(error).__name__}"
        return failed(job.candidate, message, seconds=0.0, scores=[])
    return trial
