"""What the launcher writes down: journal, evidence and manifest records (a data contract).

Times are integer nanoseconds of the machine's real-time clock, the clock of the captures.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from launcher.activities.kind import Origin

RUN_FORMAT = 1


class Record(BaseModel):
    """A frozen line of a run directory's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Protocol = Literal["tcp", "udp", "any"]


def protocol_name(name: str) -> Protocol:
    """``name`` as a protocol of the journal; whatever is neither TCP nor UDP is any."""
    return "tcp" if name == "tcp" else "udp" if name == "udp" else "any"


class Peer(Record):
    """A service that an activity was told to talk to."""

    service: str
    kind: str
    host: str
    address: str
    port: int | None = Field(description="null: any port of the host (a scan)")
    protocol: Protocol


class InsideRecord(Record):
    """What a session carried through its tunnel."""

    kind: str
    variant: str
    params: dict[str, Any]
    services: tuple[str, ...]


class LinkRecord(Record):
    """One direction of a network's links, as it was asked for."""

    rate_mbit: float | None = Field(description="null: unlimited")
    delay_ms: float
    jitter_ms: float
    jitter_distribution: str
    loss_percent: float
    loss_burst_packets: float
    reorder_percent: float
    duplicate_percent: float
    queue_packets: int | None
    queue_ms: float | None


class LinkMeasure(Record):
    """One direction of one link of a network, as a probe found it before the first packet."""

    frames: int = Field(description="sent by the probe to measure all but the rate")
    rate_mbit: float | None = Field(description="null: not limited, or too fast to measure")
    delay_ms: float | None = Field(description="median; null: nothing arrived")
    jitter_ms: float | None = Field(description="standard deviation of the delay")
    loss_percent: float
    reorder_percent: float
    duplicate_percent: float


class VerifiedLink(Record):
    """What a network's links were asked to do at the start, and what they did."""

    network: str
    direction: Literal["down", "up"] = Field(description="down: towards the machines")
    mechanism: str = Field(description="tbf, netem or user-space link")
    node: str = Field(description="the machine whose link was measured")
    asked: LinkRecord
    measured: LinkMeasure


class ActivityRecord(Record):
    """One session of one user: a program that ran on a host."""

    record: Literal["activity"] = "activity"
    id: str = Field(description="unique in the run, for example a0042")
    name: str = Field(description="name of the activity in the topology")
    kind: str
    variant: str
    params: dict[str, Any]
    user: str = Field(description="who acts, for example client-1/browsing/0")
    host: str
    addresses: tuple[str, ...] = Field(description="of the host, and those that NAT gives it")
    container: str = Field(description="container id or network namespace name")
    owner: int = Field(description="group id of its processes, the mark the kernel puts on flows")
    peers: tuple[Peer, ...]
    start_ns: int
    stop_ns: int
    outcome: Literal["ok", "failed", "stopped"]
    exit_code: int | None
    effect: dict[str, Any] | None = Field(description="what an attack achieved; null for the rest")
    inside: InsideRecord | None = Field(None, description="of a tunnel: what it carried")
    origin: Origin = Field("real", description="or synthetic, from a profile, or replayed")


class ServiceRecord(Record):
    """One server program."""

    record: Literal["service"] = "service"
    id: str = Field(description="unique in the run, for example s01")
    name: str
    kind: str
    host: str
    address: str
    ports: tuple[int, ...]
    protocol: Protocol
    container: str
    owner: int
    start_ns: int
    stop_ns: int
    outcome: Literal["ok", "failed", "stopped"]


class TargetRecord(Record):
    """What a phase aimed at and what it met, on average."""

    unit: Literal["users", "flows_per_s"]
    asked: float
    achieved: float
    met: bool = Field(description="within five per cent")


class PhaseRecord(Record):
    """One phase of the experiment."""

    record: Literal["phase"] = "phase"
    name: str
    intensity: float
    target: TargetRecord | None = Field(None, description="null: the phase had none")
    start_ns: int
    stop_ns: int


class ImpairmentRecord(Record):
    """From this moment on the links of a network were like this."""

    record: Literal["impairment"] = "impairment"
    network: str
    time_ns: int
    at_s: float = Field(description="when the schedule asked for it")
    down: LinkRecord = Field(description="towards the machines")
    up: LinkRecord = Field(description="from the machines")


class EvidenceRecord(Record):
    """The kernel saw this owner open or accept this flow (conntrack). Never read by the rules."""

    role: Literal["opened", "accepted", "packet"] = Field(
        "opened", description="packet: it sent one that the kernel made no flow of"
    )
    time_ns: int
    protocol: int = Field(description="IP protocol number")
    src: str
    sport: int
    dst: str
    dport: int
    host: str
    activity: str | None = Field(
        description="activity or service id; null when the owner is unknown"
    )
    second: str | None = Field(
        None, description="the same by the control group of its socket; null where that is unknown"
    )


class FlowEndRecord(Record):
    """The kernel forgot a flow that this owner had opened: what it had counted until then."""

    start_ns: int
    time_ns: int = Field(description="10 s after a TCP connection closed, or when the run ended")
    protocol: int = Field(description="IP protocol number")
    src: str
    sport: int
    dst: str
    dport: int
    host: str
    activity: str | None
    packets: int = Field(description="that the opener sent, as its host counted them")
    bytes: int = Field(description="of IP")
    reply_packets: int
    reply_bytes: int


class WindowRecord(Record):
    """An activity that sends frames itself, which no flow of the kernel's shows: when and where."""

    activity: str
    host: str
    addresses: tuple[str, ...]
    macs: tuple[str, ...] = Field(description="empty on Docker's own networks")
    start_ns: int
    stop_ns: int


class CaptureRecord(Record):
    """One capture file and what the kernel said about it."""

    network: str = Field(description="or a host's interface, as client:eth0")
    file: str = Field(description="relative to the run directory; empty when it was streamed")
    further: tuple[str, ...] = Field((), description="more files of the same, when it was rotated")
    packets: int = Field(description="written to the file")
    received: int
    dropped_by_kernel: int
    dropped_by_interface: int
    lost: str = Field("", description="why packets are missing; empty when it ran to the end")


class ClockRecord(Record):
    """How far a machine's clock was ahead of the launcher's, by the middle of a round trip."""

    time_ns: int = Field(description="of the launcher's clock")
    ahead_ns: int
    round_trip_ns: int = Field(description="the offset is right within half of it")


class EngineRecord(Record):
    """One machine of a lab over several, and what of the lab was there."""

    name: str
    underlay: str = Field(description="its address, between which the long cables run")
    networks: tuple[str, ...]
    hosts: tuple[str, ...] = Field(description="routers, too")
    clock: tuple[ClockRecord, ...] = Field(description="at the start and, if it lived, at the end")
    versions: dict[str, str]
    machine: dict[str, str | int | float]


class HostLoad(Record):
    """How busy the launcher's machine was while the activities went on."""

    seconds: float
    samples: int
    busy_share: float = Field(description="of all processors' time, stolen time included")
    busiest_share: float = Field(description="the same, of the busiest second or so")
    steal_share: float = Field(description="time that the hypervisor gave to others")
    runnable_per_cpu: float = Field(description="processes that ran or could have, on average")
    stalled_share: float | None = Field(
        description="of the time in which some process had to wait for a processor; null: unknown"
    )
    throttled_s: float = Field(description="control groups held back by their limits, all in all")
    clock_step_ms: float = Field(description="how far somebody set the clock at a time, at most")


class Manifest(Record):
    """Everything needed to say what a run was and whether it is whole."""

    format: int = RUN_FORMAT
    run_id: str
    name: str
    status: Literal["incomplete", "complete"]
    reason: str = Field(description="why it is incomplete; empty when complete")
    seed: int
    backend: str
    topology_sha256: str
    images: dict[str, str]
    notes: tuple[str, ...] = Field(description="what this machine could not do, in words")
    versions: dict[str, str]
    machine: dict[str, str | int | float]
    evidence: str = Field(description="how the kernel knows whose a flow is, or why there is none")
    time_scale: float = Field(1.0, description="what pauses and phases were divided by")
    losses: tuple[str, ...] = Field((), description="what the run lost although it went on")
    load: HostLoad | None = Field(None, description="null: the run did not get that far")
    start_ns: int
    stop_ns: int | None
    counts: dict[str, int]
    captures: tuple[CaptureRecord, ...]
    links: tuple[VerifiedLink, ...] = Field((), description="of the impaired networks")
    engines: tuple[EngineRecord, ...] = Field((), description="of a lab over several machines")
    sha256: dict[str, str] = Field(description="of every other file of the run")
