"""Gathers the facts of a run: from its manifest, its captures, its flow table and its evidence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flowmeter.config import MeterConfig
from flowmeter.output.digest import RowDigest
from flowmeter.witness import witness
from launcher.activities import catalogue
from launcher.rundir import TOPOLOGY
from tagger.coverage import read_ends
from tagger.evidence import read_events
from tagger.facts import CaptureFacts, ClockFacts, RunFacts
from tagger.flows import FlowKeys, Int64s, read_flow_keys
from tagger.keys import AddressPairs, lookup, pack
from tagger.points import compare_points
from tagger.run import Run, read_run
from topologies import Topology, load_topology
from topologies.addresses import lab_range
from topologies.errors import InputError

if TYPE_CHECKING:
    from launcher.records import CaptureRecord, EngineRecord

QUIET_NS: Final = 5_000_000_000
"""After this an attack that has stopped is over: what it set going has come to its end."""
BATCH_ROWS: Final = 1 << 16
PACKETS: Final = ("c2s_packets", "s2c_packets")
BYTES: Final = ("c2s_ip_bytes", "s2c_ip_bytes")
NOT_KEPT: Final = "its packets were metered while it ran, and not kept"


def gather_facts(run_dir: Path, flows: Path, *, torn: Sequence[str] = ()) -> RunFacts:
    """All that is worth keeping of a run beside its flows.

    Its captures are read once more, and metered by the path of a live capture.

    Parameters
    ----------
    torn
        Labelled flows of two owners, which only labelling knows.
    """
    run = read_run(run_dir)
    topology = load_topology(run_dir / TOPOLOGY).model
    manifest = run.manifest
    keys = read_flow_keys(flows, run_id=manifest.run_id, if_there=PACKETS)
    config = _config(pq.read_schema(flows).metadata or {})
    sent = keys.features
    points = None
    if set(PACKETS) <= set(sent):
        packets = np.stack([sent[name].astype(np.int64) for name in PACKETS])
        points = compare_points(keys, packets, topology)
    return RunFacts(
        run_id=manifest.run_id,
        seed=manifest.seed,
        topology_sha256=manifest.topology_sha256,
        backend=manifest.backend,
        images=manifest.images,
        versions=manifest.versions,
        machine=dict(manifest.machine),
        time_scale=manifest.time_scale,
        losses=manifest.losses,
        load=manifest.load,
        config=config,
        captures=tuple(_captures(run, flows, topology, config)),
        points=points,
        clock=ClockFacts(
            engines_ms=_engines_apart_ms(manifest.engines),
            delay_ms=_delay_ms(topology),
            **_kernel_and_capture(run_dir, keys),
        ),
        outside=_outside(keys),
        after_stop=_after_stop(run),
        torn=tuple(torn),
    )


# -- captures ----------------------------------------------------------------------------------


def _config(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    """How a flow table was metered; empty where it does not say."""
    found: dict[str, Any] = json.loads(metadata.get(b"config", b"{}"))
    return found


def _captures(
    run: Run, flows: Path, topology: Topology, config: Mapping[str, Any]
) -> list[CaptureFacts]:
    stored = _stored(flows)
    records: dict[str, list[CaptureRecord]] = {}
    for record in run.manifest.captures:
        records.setdefault(record.network, []).append(record)
    found = []
    for network, of in records.items():
        names = [name for one in of for name in (one.file, *one.further) if name]
        known = run.manifest.sha256
        told = CaptureFacts(
            network=network,
            sha256={name: known[name] for name in names if name in known},
            mtu=_mtu(topology, network),
            table_flows=stored.rows[network].count if network in stored.rows else 0,
            table_packets=stored.packets[network],
            table_ip_bytes=stored.ip_bytes[network],
        )
        paths = [run.folder / name for name in names]
        found.append(_looked_at(told, run, paths, config, stored.rows.get(network, RowDigest())))
    return found


def _looked_at(
    told: CaptureFacts,
    run: Run,
    paths: Sequence[Path],
    config: Mapping[str, Any],
    stored: RowDigest,
) -> CaptureFacts:
    note = ""
    if not paths:
        note = NOT_KEPT
    elif not all(path.is_file() for path in paths):
        note = "its capture is not in the run directory any more"
    elif not config:
        note = "its flow table does not say how it was metered"
    if note:
        return told.model_copy(update={"note": note})
    try:
        seen = witness(
            paths,
            config=MeterConfig(**config),
            run_id=run.manifest.run_id,
            network=told.network,
            mtu=told.mtu,
        )
    except InputError as error:
        return told.model_copy(update={"note": f"its capture cannot be read: {error}"})
    live, table = seen.rows.columns(), stored.columns()
    return told.model_copy(
        update={
            "packets": seen.packets,
            "accepted": seen.accepted,
            "rejects": seen.rejects,
            "ip_bytes": seen.ip_bytes,
            "unordered": seen.unordered,
            "late": seen.late,
            "latest_ms": seen.latest_ns / 1e6,
            "repeated": seen.repeated,
            "oversize": seen.oversize,
            "largest_bytes": seen.largest_bytes,
            "syn_by_initiator": seen.syn_forth,
            "syn_by_responder": seen.syn_back,
            "live_flows": seen.rows.count,
            "differing": tuple(
                name for name in {**table, **live} if live.get(name) != table.get(name)
            ),
        }
    )


class _Stored:
    """The rows of a flow table by network, and what is in them."""

    def __init__(self) -> None:
        self.rows: dict[str, RowDigest] = {}
        self.packets: Counter[str] = Counter()
        self.ip_bytes: Counter[str] = Counter()

    def add(self, network: str, batch: pa.RecordBatch) -> None:
        """Take some rows of a network."""
        self.rows.setdefault(network, RowDigest()).add(batch)
        for counter, names in ((self.packets, PACKETS), (self.ip_bytes, BYTES)):
            if set(names) <= set(batch.schema.names):
                counter[network] += sum(pc.sum(batch[name]).as_py() or 0 for name in names)


def _stored(flows: Path) -> _Stored:
    found = _Stored()
    with pq.ParquetFile(flows) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            for network in pc.unique(batch["network"]).to_pylist():
                found.add(str(network), batch.filter(pc.equal(batch["network"], network)))
    return found


def _mtu(topology: Topology, point: str) -> int:
    """The MTU of a captured network; of a captured cable the largest that it may have."""
    networks = topology.networks
    if point in networks:
        return networks[point].mtu
    return max(network.mtu for network in networks.values())


# -- clocks ------------------------------------------------------------------------------------


def _engines_apart_ms(engines: Sequence[EngineRecord]) -> float:
    """How far the clocks of a lab's machines, and of the launcher, were apart at most."""
    worst_ns = max((abs(c.ahead_ns) for one in engines for c in one.clock), default=0)
    for one, other in combinations(engines, 2):
        for a, b in zip(one.clock, other.clock, strict=False):
            worst_ns = max(worst_ns, abs(a.ahead_ns - b.ahead_ns))
    return worst_ns / 1e6


def _delay_ms(topology: Topology) -> float:
    """What the links of a lab delay a packet by at most."""
    return sum(
        max(stage.down.longest_ms + stage.up.longest_ms for stage in one.impairments.stages())
        for one in topology.networks.values()
    )


def _kernel_and_capture(run_dir: Path, flows: FlowKeys) -> dict[str, Any]:
    """From the kernel's first word of connections to their first packets in a capture.

    Only 5-tuples that the kernel had once: which flow is whose needs no guess then.
    """
    ends = read_ends(run_dir)
    ends = ends.filter(pc.greater(ends["sport"], 0))
    src, dst = (ends[name].combine_chunks().cast(pa.string()) for name in ("src", "dst"))
    pairs = AddressPairs(src, dst)
    numbers = (ends[name].to_numpy() for name in ("protocol", "sport", "dport"))
    keys, first, times = np.unique(
        pack(pairs.number(src, dst), *numbers), return_index=True, return_counts=True
    )
    begun: Int64s = np.full(len(keys) + 1, np.iinfo(np.int64).max, dtype=np.int64)
    pair = pairs.number(flows.src_ip, flows.dst_ip)
    place = lookup(keys, pack(pair, flows.protocol, flows.src_port, flows.dst_port))
    np.minimum.at(begun, place, flows.first_ns)
    compared = (times == 1) & (begun[:-1] < np.iinfo(np.int64).max)
    if not compared.any():
        return {}
    after = begun[:-1][compared] - ends["start_ns"].to_numpy()[first][compared]
    return {"kernel_ms": float(np.median(after)) / 1e6, "compared": int(compared.sum())}


# -- who was reached, and when -----------------------------------------------------------------


def _outside(flows: FlowKeys) -> dict[str, int]:
    """Addresses outside the lab from which a packet came."""
    back = flows.features.get("s2c_packets", np.zeros(len(flows)))
    found: Counter[str] = Counter()
    for addresses, sent in (
        (flows.src_ip, np.ones(len(flows), np.bool_)),
        (flows.dst_ip, back > 0),
    ):
        counted = pc.value_counts(addresses.filter(pa.array(sent)))
        for one in counted.to_pylist():
            if not _of_the_lab(one["values"]):
                found[one["values"]] += one["counts"]
    return dict(found.most_common())


def _of_the_lab(text: str) -> bool:
    """Whether an address is of a lab, or of no network at all."""
    address = ip_address(text)
    return (
        address in lab_range(address.version)
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_loopback
    )


def _after_stop(run: Run) -> dict[str, int]:
    """Flows that the kernel saw attacks open when they should have been over."""
    attacks = {kind.kind for kind in catalogue().values() if kind.attack_technique}
    over_ns = {a.id: a.stop_ns + QUIET_NS for a in run.activities if a.kind in attacks}
    events = read_events(run.folder)
    events = events.filter(pc.equal(events["role"], "opened"))
    found: Counter[str] = Counter()
    for activity, time_ns in zip(
        events["activity"].to_pylist(), events["time_ns"].to_numpy(), strict=True
    ):
        if time_ns > over_ns.get(activity, time_ns):
            found[activity] += 1
    return dict(found)
