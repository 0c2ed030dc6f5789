"""A real chain in small: made captures, metered, labelled, learnt from, registered."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from builder import BuildConfig, BuildResult, SerialRunner, build
from flowmeter import meter
from sta_registry import Registry, Sta, Store, load_sta

PORTS = {"typing": 22, "transfer": 443}
START_S = 1_767_225_600

# Without addresses scapy would ask the network for them.
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def tcp_flow(kind: str, client: str, port: int, *, rng: random.Random, at_s: float) -> list[Packet]:
    """One TCP conversation, handshake to FINs: keystrokes and echoes, or a bulk download."""
    server = "198.18.9.9"
    ends = ((client, server, port, PORTS[kind]), (server, client, PORTS[kind], port))
    sequence = [rng.getrandbits(32), rng.getrandbits(32)]
    packets: list[Packet] = []
    now_s = at_s

    def send(side: int, flags: str, size: int, gap_s: float) -> None:
        nonlocal now_s
        now_s += gap_s
        src, dst, sport, dport = ends[side]
        packet = ETHER / IP(src=src, dst=dst)
        packet /= TCP(
            sport=sport, dport=dport, flags=flags, seq=sequence[side], ack=sequence[1 - side]
        )
        packet /= Raw(bytes(size))
        packet.time = now_s
        packets.append(packet)
        sequence[side] = (sequence[side] + size + ("S" in flags or "F" in flags)) % 2**32

    for side, flags in ((0, "S"), (1, "SA"), (0, "A")):
        send(side, flags, 0, 0.001)
    for _ in range(rng.randint(8, 20)):
        if kind == "typing":
            send(0, "PA", rng.randint(20, 60), rng.uniform(0.05, 0.4))
            send(1, "PA", rng.randint(20, 80), 0.002)
        else:
            send(1, "A", 1400, rng.uniform(0.0001, 0.001))
            send(0, "A", 0, 0.0002)
    for side, flags in ((0, "FA"), (1, "FA"), (0, "A")):
        send(side, flags, 0, 0.001)
    return packets


def write_capture(path: Path, *, flows: int, seed: int) -> Path:
    """A capture with flows of both kinds in turn."""
    rng = random.Random(seed)
    packets: list[Packet] = []
    for number in range(flows):
        kind = ("typing", "transfer")[number % 2]
        client = f"198.18.{number // 200}.{number % 200 + 1}"
        packets += tcp_flow(kind, client, 40_000 + number, rng=rng, at_s=START_S + number * 0.37)
    wrpcap(str(path), sorted(packets, key=lambda packet: float(packet.time)))
    return path


def write_dataset(folder: Path, captures: dict[str, Path]) -> Path:
    """A dataset directory with one run per split, labelled by the responder's port."""
    kinds = {port: kind for kind, port in PORTS.items()}
    labels, splits = [], []
    for split, capture in captures.items():
        flows = meter(capture, run_id=f"{split}-run").table
        part = folder / "flows" / f"run_id={split}-run" / "part-0.parquet"
        part.parent.mkdir(parents=True)
        pq.write_table(flows.drop_columns("run_id"), part)
        for number, flow in enumerate(flows.select(["flow_id", "dst_port"]).to_pylist()):
            kind = kinds[flow["dst_port"]]
            labels.append(
                {
                    "flow_id": flow["flow_id"],
                    "label": kind,
                    "category": kind,
                    "activity_id": f"{split}-{number}",
                }
            )
            splits.append({"flow_id": flow["flow_id"], "run_id": f"{split}-run", "split": split})
    pq.write_table(pa.Table.from_pylist(labels), folder / "labels.parquet")
    pq.write_table(pa.Table.from_pylist(splits), folder / "splits.parquet")
    (folder / "audit.json").write_text('{"released": true}')
    (folder / "dataset.json").write_text(json.dumps({"format": 1, "name": folder.name}))
    return folder


@pytest.fixture(scope="session")
def captures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("captures")
    sizes = {"train": (80, 1), "test": (40, 2), "unseen": (30, 3)}
    return {
        name: write_capture(folder / f"{name}.pcap", flows=flows, seed=seed)
        for name, (flows, seed) in sizes.items()
    }


@pytest.fixture(scope="session")
def dataset(captures: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = {split: captures[split] for split in ("train", "test")}
    return write_dataset(tmp_path_factory.mktemp("data") / "kinds", runs)


def small_build(dataset: Path, **options: object) -> BuildResult:
    """A forest of few trials."""
    settings = {"families": ("random_forest",), "trials": 2, "folds": 2, "seed": 3} | options
    return build(dataset, BuildConfig.model_validate(settings), runner=SerialRunner())


@pytest.fixture(scope="session")
def registry(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A store with a champion of both tasks: ``kinds`` and, binary, ``typing``."""
    home = tmp_path_factory.mktemp("home")
    registry = Registry(Store.open(home, tracking_uri=f"sqlite:///{home / 'mlflow.db'}"))
    registry.register(small_build(dataset), name="kinds", acceptance={"f1_macro": 0.9})
    binary = small_build(dataset, task="binary", positive=("typing",))
    registry.register(binary, name="typing")
    return registry


@pytest.fixture(scope="session")
def sta(registry: Registry) -> Sta:
    return load_sta(registry.resolve("kinds@champion"))
