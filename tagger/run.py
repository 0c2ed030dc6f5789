"""A run directory as the rules may see it: manifest, topology and journal. Not the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from launcher.records import ActivityRecord, Manifest, PhaseRecord, ServiceRecord
from launcher.rundir import MANIFEST, TOPOLOGY, read_journal, read_manifest
from tagger.observations import Subnets
from topologies import load_topology
from topologies.errors import InputError, Problem


@dataclass(frozen=True, slots=True)
class Journal:
    """What was done, and the run with the programs' logs; None where there are none."""

    folder: Path | None
    activities: tuple[ActivityRecord, ...]
    services: tuple[ServiceRecord, ...] = ()
    phases: tuple[PhaseRecord, ...] = ()

    @property
    def begin_ns(self) -> int:
        """When the experiment began: its first phase, else its first activity."""
        begun = [record.start_ns for record in self.phases or self.activities]
        return min(begun, default=0)


@dataclass(frozen=True, slots=True)
class Run:
    """What labelling needs of a run."""

    folder: Path
    manifest: Manifest
    subnets: Subnets
    journal: Journal

    @property
    def activities(self) -> tuple[ActivityRecord, ...]:
        """Sessions, in the journal's order."""
        return self.journal.activities

    @property
    def services(self) -> tuple[ServiceRecord, ...]:
        """Server programs, in the journal's order."""
        return self.journal.services


def read_run(run_dir: Path) -> Run:
    """Read a complete run.

    Raises
    ------
    NotFoundError
        The folder is no run directory.
    InputError
        The run is incomplete or damaged.
    """
    manifest = read_manifest(run_dir)
    if manifest.status != "complete":
        raise InputError(
            Problem(
                str(run_dir / MANIFEST),
                "status",
                "a complete run",
                f"an incomplete one ({manifest.reason or 'no reason given'})",
                "run the lab again; half a journal would label half the flows wrongly",
            )
        )
    topology = load_topology(run_dir / TOPOLOGY).model
    records = list(read_journal(run_dir))
    return Run(
        folder=run_dir,
        manifest=manifest,
        subnets={name: network.subnets for name, network in topology.networks.items()},
        journal=Journal(
            folder=run_dir,
            activities=tuple(r for r in records if isinstance(r, ActivityRecord)),
            services=tuple(r for r in records if isinstance(r, ServiceRecord)),
            phases=tuple(r for r in records if isinstance(r, PhaseRecord)),
        ),
    )
