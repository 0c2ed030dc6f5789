"""Hand-made runs: a journal, evidence and a flow table, written as the launcher and meter do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from launcher.records import (
    ActivityRecord,
    EvidenceRecord,
    Manifest,
    Peer,
    PhaseRecord,
    ServiceRecord,
)
from topologies.files import write_json, write_text

T0_NS = 1_700_000_000_000_000_000
ALICE, BOB, SERVER, OTHER = "198.18.1.1", "198.18.2.1", "198.18.10.1", "198.18.10.2"

TOPOLOGY = """
name: small
networks:
  lan-a: {subnet: 198.18.1.0/24}
  lan-b: {subnet: 198.18.2.0/24}
  servers: {subnet: 198.18.10.0/24}
routers:
  core: {networks: [lan-a, lan-b, servers]}
hosts:
  alice: {networks: [lan-a]}
  bob: {networks: [lan-b]}
  server: {networks: [servers]}
  other: {networks: [servers]}
"""

SCHEMA = pa.schema(
    [
        pa.field(name, kind, metadata={"role": role})
        for name, kind, role in [
            ("flow_id", pa.string(), "identity"),
            ("run_id", pa.string(), "identity"),
            ("network", pa.string(), "identity"),
            ("src_ip", pa.string(), "key"),
            ("dst_ip", pa.string(), "key"),
            ("src_port", pa.uint16(), "key"),
            ("dst_port", pa.uint16(), "key"),
            ("protocol", pa.uint8(), "key"),
            ("first_ns", pa.int64(), "time"),
            ("last_ns", pa.int64(), "time"),
            ("c2s_packets", pa.int64(), "feature"),
            ("c2s_payload_packets", pa.int64(), "feature"),
            ("s2c_payload_packets", pa.int64(), "feature"),
        ]
    ]
)


def ns(seconds: float) -> int:
    return T0_NS + round(seconds * 1e9)


def connection(time_s: float, sport: int, dport: int = 443, **more: Any) -> dict[str, Any]:
    """The event of a client's log that names a connection to the server."""
    return {
        "time_ns": ns(time_s),
        "event": "connection",
        "protocol": "tcp",
        "local_address": ALICE,
        "local_port": sport,
        "peer_address": SERVER,
        "peer_port": dport,
    } | more


@dataclass
class HandmadeRun:
    """Collects what happened, then writes a run directory and its flow table."""

    folder: Path
    records: list[ActivityRecord | ServiceRecord | PhaseRecord] = field(default_factory=list)
    evidence: list[EvidenceRecord] = field(default_factory=list)
    flows: list[dict[str, Any]] = field(default_factory=list)
    status: str = "complete"
    reason: str = ""
    schema: pa.Schema = SCHEMA

    @property
    def run_id(self) -> str:
        return self.folder.name

    @property
    def table(self) -> Path:
        return self.folder.parent / f"{self.run_id}.parquet"

    def activity(
        self,
        kind: str,
        *,
        start_s: float,
        stop_s: float,
        host: str = "alice",
        address: str = ALICE,
        server: str = SERVER,
        port: int | None = 443,
        service_kind: str | None = None,
        protocol: str = "tcp",
        **more: Any,
    ) -> str:
        """Journal a session; its id."""
        number = len(self.records)
        peer = Peer(
            service="www",
            kind=service_kind or kind,
            host="server",
            address=server,
            port=port,
            protocol=protocol,
        )
        values: dict[str, Any] = {
            "id": f"a{number:04d}",
            "name": kind,
            "kind": kind,
            "variant": "plain",
            "params": {},
            "user": f"{host}/{kind}/0",
            "host": host,
            "addresses": (address,),
            "container": host,
            "owner": 1000 + number,
            "peers": (peer,),
            "start_ns": ns(start_s),
            "stop_ns": ns(stop_s),
            "outcome": "ok",
            "exit_code": 0,
            "effect": None,
        }
        self.records.append(ActivityRecord.model_validate(values | more))
        return str(values["id"])

    def log(self, activity: str, *events: dict[str, Any]) -> None:
        """Append events to the log of a session."""
        sessions = (r for r in self.records if isinstance(r, ActivityRecord))
        record = next(r for r in sessions if r.id == activity)
        self._append(record.host, f"{record.id}-{record.kind}.log", events)

    def service_log(self, *events: dict[str, Any]) -> None:
        """Append events to the log of the service that `service` made."""
        self._append("server", "service-www.log", events)

    def _append(self, host: str, name: str, events: Iterable[dict[str, Any]]) -> None:
        path = self.folder / "logs" / host / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps(event) + "\n" for event in events)

    def service(
        self, *, kind: str = "web", address: str = SERVER, port: int = 443, protocol: str = "tcp"
    ) -> str:
        """Journal a server that ran all the time; its id."""
        number = len(self.records)
        self.records.append(
            ServiceRecord(
                id=f"s{number:02d}",
                name="www" if kind == "web" else kind,
                kind=kind,
                host="server",
                address=address,
                ports=(port,),
                protocol="udp" if protocol == "udp" else "tcp",
                container="server",
                owner=1000 + number,
                start_ns=ns(0),
                stop_ns=ns(1000),
                outcome="ok",
            )
        )
        return f"s{number:02d}"

    def phase(self, name: str, start_s: float, stop_s: float) -> None:
        """Journal a phase."""
        times = {"start_ns": ns(start_s), "stop_ns": ns(stop_s)}
        self.records.append(PhaseRecord(name=name, intensity=1.0, **times))

    def flow(
        self,
        first_s: float,
        last_s: float,
        *,
        sport: int,
        src: str = ALICE,
        dst: str = SERVER,
        dport: int = 443,
        protocol: int = 6,
        network: str = "servers",
        owner: str | None = None,
        event_s: float | None = None,
        payload: int = 2,
    ) -> str:
        """Add a flow, and the kernel's event when it has an owner; the flow's id."""
        flow_id = f"{self.run_id}-{len(self.flows)}"
        self.flows.append(
            {
                "flow_id": flow_id,
                "run_id": self.run_id,
                "network": network,
                "src_ip": src,
                "dst_ip": dst,
                "src_port": sport,
                "dst_port": dport,
                "protocol": protocol,
                "first_ns": ns(first_s),
                "last_ns": ns(last_s),
                "c2s_packets": 3 + len(self.flows),
                "c2s_payload_packets": payload,
                "s2c_payload_packets": payload,
            }
        )
        if owner is not None:
            self.evidence.append(
                EvidenceRecord(
                    time_ns=ns(first_s if event_s is None else event_s),
                    protocol=protocol,
                    src=src,
                    sport=sport,
                    dst=dst,
                    dport=dport,
                    host="alice",
                    activity=owner,
                )
            )
        return flow_id

    def write(self) -> HandmadeRun:
        """Write everything; may be called again after changes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = Manifest.model_validate(
            {
                "run_id": self.run_id,
                "name": "small",
                "status": self.status,
                "reason": self.reason,
                "seed": 1,
                "backend": "netns",
                "topology_sha256": "0" * 64,
                "images": {},
                "versions": {},
                "machine": {},
                "evidence": "conntrack by group id",
                "start_ns": ns(0),
                "stop_ns": ns(100),
                "counts": {},
                "notes": [],
                "captures": [],
                "sha256": {},
            }
        )
        write_json(self.folder / "manifest.json", manifest.model_dump(mode="json"))
        write_text(self.folder / "topology.yaml", TOPOLOGY)
        for name, records in (("journal", self.records), ("evidence", self.evidence)):
            lines = "".join(record.model_dump_json() + "\n" for record in records)
            write_text(self.folder / f"{name}.jsonl", lines)
        rows = [{name: row.get(name) for name in self.schema.names} for row in self.flows]
        pq.write_table(pa.Table.from_pylist(rows, schema=self.schema), self.table)
        return self


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., HandmadeRun]:
    """Start a run of a given name."""

    def make(name: str = "run-1") -> HandmadeRun:
        return HandmadeRun(tmp_path / "runs" / name)

    return make


@pytest.fixture
def busy_run(new_run: Callable[..., HandmadeRun]) -> Callable[..., HandmadeRun]:
    """Start a run with a web, an SSH and a scanning session and a flow of each."""

    def make(name: str = "run-1") -> HandmadeRun:
        run = new_run(name)
        web = run.activity("web", start_s=1, stop_s=5)
        ssh = run.activity("ssh", start_s=1, stop_s=5, port=22)
        scan = run.activity(
            "scan",
            start_s=20,
            stop_s=25,
            port=None,
            protocol="any",
            effect={"event": "effect", "success": True},
        )
        for sport in range(40_000, 40_005):
            run.flow(1.5, 2.5, sport=sport, owner=web)
        run.flow(1.5, 4.9, sport=41_000, dport=22, owner=ssh)
        run.flow(21, 21, sport=42_000, dport=8080, owner=scan)
        run.flow(50, 51, sport=43_000)
        for row in run.flows:  # so that no two runs look alike
            row["c2s_packets"] += 0 if name == "run-1" else 8 * (1 + sum(name.encode()) % 11)
        return run

    return make
