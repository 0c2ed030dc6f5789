"""Many captures, each into a file of its own: one after the other, or as tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flowmeter.config import MeterConfig
from flowmeter.output.files import FORMATS, Format
from flowmeter.output.parquet import Compression
from flowmeter.runs import MeterReport, meter_capture
from topologies.cluster import cluster
from topologies.errors import InputError, Problem


@dataclass(frozen=True, slots=True)
class Job:
    """One capture, the file its flows go to, and how."""

    capture: Path
    out: Path
    config: MeterConfig
    form: Format
    compression: Compression

    def __call__(self) -> MeterReport | tuple[Problem, ...]:
        """Do it; what is wrong with the input comes back, for an error's cause may not travel."""
        try:
            return meter_capture(
                self.capture,
                self.out,
                config=self.config,
                form=self.form,
                compression=self.compression,
            )
        except InputError as error:
            return error.problems


class Runner(Protocol):
    """Does jobs, in any order; their results come in the order of the jobs."""

    def run(self, jobs: Sequence[Job]) -> Iterator[MeterReport | tuple[Problem, ...]]:
        """Do them."""


class SerialRunner:
    """One job after the other, in this process."""

    def run(self, jobs: Sequence[Job]) -> Iterator[MeterReport | tuple[Problem, ...]]:
        """Do them."""
        for job in jobs:
            yield job()


@dataclass(frozen=True, slots=True)
class RayRunner:
    """A Ray task for each job: on ``cpus`` here (None: all), or on the cluster at ``address``.

    The machines of a cluster read the captures and write the files by the paths given here, so
    both have to be on a file system that they share, and this package has to be installed there.
    """

    cpus: int | None = None
    address: str | None = None

    def run(self, jobs: Sequence[Job]) -> Iterator[MeterReport | tuple[Problem, ...]]:
        """Do them."""
        with cluster(self.cpus, self.address) as ray:
            there = int(ray.cluster_resources().get("CPU", 1))
            tasks = [
                ray.remote(num_cpus=min(job.config.threads, there), max_retries=0)(_do)
                for job in jobs
            ]
            references = [task.remote(job) for task, job in zip(tasks, jobs, strict=True)]
            for reference in references:
                try:
                    yield ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None


def meter_many(
    captures: Sequence[Path],
    folder: Path,
    *,
    config: MeterConfig | None = None,
    form: Format = "parquet",
    compression: Compression = "lz4",
    runner: Runner | None = None,
) -> list[MeterReport]:
    """Meter each capture into ``folder/NAME.flows.FORMAT``, with its report beside it.

    Parameters
    ----------
    captures
        Captures that have nothing to do with each other.
    runner
        Default is `SerialRunner`. The files are the same, to the last byte, with any.

    Raises
    ------
    InputError
        Captures that cannot be read, all of them; the others are metered. Or two would have the
        same file.
    """
    config = config or MeterConfig()
    jobs = [
        Job(
            path.absolute(), (folder / flows_name(path, form)).absolute(), config, form, compression
        )
        for path in captures
    ]
    _check_names(jobs)
    reports: list[MeterReport] = []
    problems: list[Problem] = []
    for result in (runner or SerialRunner()).run(jobs):
        if isinstance(result, MeterReport):
            reports.append(result)
        else:
            problems += result
    if problems:
        raise InputError(problems)
    return reports


def flows_name(capture: Path, form: Format = "parquet") -> str:
    """What a capture's flow table is called."""
    if form not in FORMATS:
        raise ValueError(f"no such format: {form}")
    stem = capture.name
    for suffix in reversed(capture.suffixes):
        if suffix.lower() not in (".gz", ".zst", ".pcap", ".pcapng", ".cap"):
            break
        stem = stem.removesuffix(suffix)
    return f"{stem}.flows.{form}"


def _check_names(jobs: Sequence[Job]) -> None:
    first: dict[Path, Path] = {}
    problems = []
    for job in jobs:
        other = first.setdefault(job.out, job.capture)
        if other != job.capture or sum(job.capture == again.capture for again in jobs) > 1:
            problems.append(
                Problem(
                    str(job.capture),
                    path="",
                    expected="captures with names of their own",
                    got=f"two whose flows would go to {job.out.name}",
                    remedy="rename one, or meter them into two folders",
                )
            )
    if problems:
        raise InputError(problems)


def _do(job: Job) -> MeterReport | tuple[Problem, ...]:
    return job()
