"""Packets of a running lab straight into the flow meter, so that a long run needs no room for them.

Each capture point has a named pipe, which the launcher's capture fills and a process of its own
meters. What comes out is the flow table that the meter makes of the same packets in a file.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import contextmanager, suppress
from fcntl import F_SETPIPE_SZ, fcntl
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from flowmeter.runs import NetworkReport, join_networks, meter_network
from launcher.captures import Sink

log = logging.getLogger(__name__)

POLL_S: Final = 0.05
PIPE_BYTES: Final = 1 << 20  # the most that a user who is not root may ask for


@contextmanager
def metering(run_id: str, points: Sequence[str], out: Path) -> Iterator[Sink]:
    """Meter what comes in while the context lasts; the flow table ``out`` is there after it.

    Parameters
    ----------
    points
        The run's capture points, in the order of their flows in the table.

    Raises
    ------
    GstaError
        The packets could not be metered, or the table not written.
    """
    with (
        tempfile.TemporaryDirectory(prefix="gsta-") as folder,
        ProcessPoolExecutor(
            len(points), mp_context=get_context("spawn"), initializer=_leave_signals
        ) as pool,
    ):
        pipes = {point: Path(folder) / f"{number}.pcap" for number, point in enumerate(points)}
        jobs = {point: _start(pool, pipe, run_id, point) for point, pipe in pipes.items()}
        try:
            yield pipes.__getitem__
        finally:
            for point, job in jobs.items():
                _await(job, pipes[point], point)
        join_networks(
            [_part(pipe) for pipe in pipes.values()],
            [job.result() for job in jobs.values()],
            out,
            run_id=run_id,
        )


def _start(pool: ProcessPoolExecutor, pipe: Path, run_id: str, point: str) -> Future[NetworkReport]:
    os.mkfifo(pipe, 0o600)
    # Held open, so that the capture need not wait for the meter; until that ends, so that the
    # capture of a meter that failed fails too.
    handle = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with suppress(OSError):  # as large as this user may have it
        fcntl(handle, F_SETPIPE_SZ, PIPE_BYTES)
    job = pool.submit(_meter, pipe, run_id, point)
    job.add_done_callback(lambda _: os.close(handle))
    return job


def _await(job: Future[NetworkReport], pipe: Path, point: str) -> None:
    """Let a meter come to the end of its pipe, even if nothing was ever written to it."""
    while not job.done():
        with suppress(OSError):
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        wait([job], POLL_S)
    if error := job.exception():
        log.warning("the packets of %s were not metered: %s", point, error)


def _part(pipe: Path) -> Path:
    return pipe.with_suffix(".parquet")


def _leave_signals() -> None:
    """A Ctrl-C is for the launcher, at whose end the pipes end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _meter(pipe: Path, run_id: str, point: str) -> NetworkReport:
    """Meter one pipe to its end (in a process of its own)."""
    return meter_network(pipe, _part(pipe), run_id=run_id, network=point)
