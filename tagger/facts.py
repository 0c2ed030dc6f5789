"""Facts of a run that travel with its flows: what an audit asks of captures, host and evidence.

`write_dataset` writes them, a file per run, while the run directory is at hand; so a dataset can
be audited wherever it is, long after its captures are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launcher.records import HostLoad
from topologies.records import damaged_record

FACTS: Final = "facts"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CaptureFacts(_Frozen):
    """One capture point: its packets looked at again, beside the flow table made of them."""

    network: str
    sha256: dict[str, str] = Field({}, description="of its files, as the run's manifest has it")
    note: str = Field("", description="why its packets were not looked at; empty: they were")
    packets: int = Field(0, description="records in its files")
    accepted: int = Field(0, description="of them, those that are in flows")
    rejects: dict[str, int] = Field({}, description="the others, by reason")
    ip_bytes: int = Field(0, description="of IP, in the accepted packets")
    table_flows: int = Field(0, description="flows that the flow table has of it")
    table_packets: int = Field(0, description="packets of those flows")
    table_ip_bytes: int = Field(0, description="bytes of those flows")
    unordered: int = Field(0, description="packets stamped earlier than one before them")
    late: int = Field(0, description="of them, those by more than 10 ms")
    latest_ms: float = 0.0
    repeated: int = Field(0, description="equal frames within 1 ms")
    mtu: int = 0
    oversize: int = Field(0, description="frames with more IP than the MTU")
    largest_bytes: int = Field(0, description="of IP in a frame, at most")
    syn_by_initiator: int = Field(0, description="SYNs sent by the initiator of their flow")
    syn_by_responder: int = 0
    live_flows: int = Field(0, description="flows that the live path makes of the packets")
    differing: tuple[str, ...] = Field((), description="columns in which its rows are others")


class PointFacts(_Frozen):
    """Flows seen at several capture points, packets counted by direction at each."""

    flows: int = 0
    packets: int = Field(0, description="at the points nearer to their senders")
    appeared: int = Field(0, description="packets more at a point further from the sender")
    vanished: int = Field(0, description="packets fewer there")
    loss_percent: float = Field(0.0, description="declared for the links on the way, at most")
    duplicate_percent: float = 0.0
    excused: tuple[str, ...] = Field((), description="what else may drop packets on the way")


class ClockFacts(_Frozen):
    """How far the clocks were apart whose times a run has."""

    engines_ms: float = Field(0.0, description="between machines of the lab, at most")
    kernel_ms: float | None = Field(
        None, description="median from the kernel's word of a connection to its first packet"
    )
    compared: int = Field(0, description="connections for that")
    delay_ms: float = Field(0.0, description="that links may have added to it")


class RunFacts(_Frozen):
    """Everything of one run."""

    format: Literal["gsta-run-facts"] = "gsta-run-facts"
    format_version: Literal[1] = 1
    run_id: str
    seed: int
    topology_sha256: str
    backend: str
    images: dict[str, str]
    versions: dict[str, str]
    machine: dict[str, Any]
    time_scale: float
    losses: tuple[str, ...]
    load: HostLoad | None = Field(None, description="null: the run did not watch its machine")
    config: dict[str, Any] = Field({}, description="of the flow meter")
    captures: tuple[CaptureFacts, ...]
    points: PointFacts | None = Field(None, description="null: fewer than two capture points")
    clock: ClockFacts
    outside: dict[str, int] = Field(
        {}, description="addresses outside the lab that sent a packet, and their flows"
    )
    after_stop: dict[str, int] = Field(
        {}, description="flows that the kernel saw an attack open 5 s or more after its stop"
    )
    torn: tuple[str, ...] = Field(
        (), description="labelled flows that the kernel gives to activities of different labels"
    )


def facts_file(dataset_dir: Path, run_id: str) -> Path:
    """Where the facts of a run are."""
    return dataset_dir / FACTS / f"{quote(run_id, safe='')}.json"


def read_facts(dataset_dir: Path, run_ids: Sequence[str]) -> tuple[RunFacts, ...]:
    """The facts of those runs that have some; raises `InputError` for a damaged file."""
    found = []
    for path in (facts_file(dataset_dir, run_id) for run_id in run_ids):
        if not path.is_file():
            continue
        try:
            found.append(RunFacts.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            raise damaged_record(
                path,
                error,
                expected="facts of a run of this format",
                remedy="write the dataset again from its runs",
            ) from error
    return tuple(found)
