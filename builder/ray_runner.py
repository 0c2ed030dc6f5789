"""Candidates evaluated by Ray tasks. The only door to Ray."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from builder.objective import Candidate, Objective, failed, overrun
from builder.result import Trial

GRACE_S: Final = 5.0  # for a task to start and to end by itself, before its process is killed
LONGEST_SCRATCH: Final = 24


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
        with self._cluster() as ray:
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

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Without it Ray hides GPUs from tasks that ask for none, and warns that it will not.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        if ray.is_initialized():
            yield ray
            return
        logging.getLogger("ray").setLevel(logging.ERROR)
        with ExitStack() as stack:
            here: dict[str, Any] = {}
            if self.address is None:
                folder = tempfile.TemporaryDirectory(
                    prefix="gsta-ray-", dir=_scratch(), ignore_cleanup_errors=True
                )
                here = {
                    "num_cpus": self.cpus or os.cpu_count(),
                    "include_dashboard": False,
                    "_temp_dir": stack.enter_context(folder),
                }
            ray.init(
                address=self.address,
                configure_logging=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                **here,
            )
            stack.callback(ray.shutdown)
            yield ray


def _scratch() -> str:
    """Where Ray may put its files: a short path, for its sockets have to fit in 107 bytes."""
    usual = tempfile.gettempdir()
    return usual if len(usual) <= LONGEST_SCRATCH else "/tmp"  # noqa: S108 - a private folder in it


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
