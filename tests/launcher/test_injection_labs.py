"""A user's capture and a profile of their own in a real lab: what is on the wire, and whose."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from scapy.all import IP, TCP, UDP, Ether, Raw, rdpcap, wrpcap

from gsta.cli import cli
from gsta.labs import run_lab
from launcher.injection import load_profile, read_conversations
from launcher.records import ActivityRecord
from launcher.rundir import read_evidence, read_journal
from topologies import load_topology

pytestmark = [pytest.mark.lab, pytest.mark.slow]

# Without addresses scapy would ask the network for them.
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")

PROFILE = """\
name: greeter
transport: tcp
port: 4000
opening:
  - {sender: server, bytes: [70], after_ms: [2]}
  - {sender: client, bytes: [33], after_ms: [5]}
messages: [9]
bytes: {client: [50], server: [2000]}
turns: {client_after_client: 0, client_after_server: 1}
after_ms: {client_server: [10], server_client: [20]}
magic: {client: "cafe", server: "beef"}
ttl: 99
end: {server: 1}
"""


def _user_capture(file: Path) -> None:
    """An upload to a public server over TCP, and datagrams both ways."""
    up, down = ("192.0.2.7", "203.0.113.9"), ("203.0.113.9", "192.0.2.7")

    def stream(ends: tuple[str, str], flags: str, seq: int, ack: int, size: int = 0) -> Ether:
        ports = (51_000, 8_443) if ends == up else (8_443, 51_000)
        head = TCP(sport=ports[0], dport=ports[1], flags=flags, seq=seq, ack=ack, window=64_000)
        packet = ETHER / IP(src=ends[0], dst=ends[1], ttl=77) / head
        return packet / Raw(b"secret".ljust(size)) if size else packet

    frames = [
        stream(up, "S", 100, 0),
        stream(down, "SA", 900, 101),
        stream(up, "A", 101, 901),
        stream(up, "PA", 101, 901, 1_200),
        stream(up, "PA", 1_301, 901, 300),
        stream(down, "A", 901, 1_601),
        stream(down, "PA", 901, 1_601, 77),
        stream(up, "FA", 1_601, 978),
        stream(down, "FA", 978, 1_602),
        stream(up, "A", 1_602, 979),
    ]
    for number in range(6):
        ends, ports = (down, (6_001, 6_000)) if number % 2 else (up, (6_000, 6_001))
        head = IP(src=ends[0], dst=ends[1]) / UDP(sport=ports[0], dport=ports[1])
        frames.append(ETHER / head / Raw(b"secret".ljust(100 + number)))
    for number, frame in enumerate(frames):
        frame.time = 1_000 + 0.03 * number
    wrpcap(str(file), frames)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("injection")
    (folder / "greeter.yaml").write_text(PROFILE)
    _user_capture(folder / "user.pcap")
    once = {"distribution": "constant", "value_s": 1.5}
    common = {"hosts": ["a"], "services": ["far"], "arrival": once, "session_s": 5}
    topology = {
        "name": "injected",
        "networks": {"lan": {"subnet": "198.18.1.0/24"}},
        "hosts": {"a": {"networks": ["lan"]}, "b": {"networks": ["lan"]}},
        "services": {"far": {"kind": "sink", "host": "b"}},
        "activities": {
            "made": {
                **common,
                "kind": "inject",
                "params": {"profiles": ["greeter.yaml"], "max_sessions": 1},
            },
            "again": {
                **common,
                "kind": "replay",
                "params": {"file": "user.pcap", "variants": ["together"]},
            },
        },
        "phases": [
            {"name": "all", "duration_s": 1.5},
            {"name": "last", "duration_s": 5.0, "intensity": 0.0},
        ],
        "captures": ["lan"],
    }
    file = folder / "topology.yaml"
    file.write_text(yaml.safe_dump(topology))
    return run_lab(
        load_topology(file),
        seed=5,
        out=folder / "run",
        backend="netns",
        progress=lambda *_: None,
    )


def _wire(run_dir: Path) -> list[Ether]:
    return [p for p in rdpcap(str(run_dir / "captures" / "lan.pcap")) if IP in p]


def test_a_replay_keeps_sizes_order_flags_and_times_and_nobodys_address(run_dir: Path) -> None:
    original = {
        talk.protocol: talk
        for talk in read_conversations(run_dir.parent / "user.pcap").conversations
    }
    captured = read_conversations(run_dir / "captures" / "lan.pcap").conversations
    for protocol, port in ((6, 8_443), (17, 6_001)):
        (played,) = [t for t in captured if (t.protocol, t.server_port) == (protocol, port)]
        wanted = original[protocol]
        assert played.client_port == wanted.client_port
        # Over UDP the ends do not wait for each other: on a busy machine two may change places.
        order = (lambda seen: seen) if protocol == 6 else sorted
        assert order([(p.from_client, p.size, p.flags) for p in played.packets]) == order(
            [(p.from_client, p.size, p.flags) for p in wanted.packets]
        )
        took, asked = played.packets[-1].at_s, wanted.packets[-1].at_s
        assert asked * 0.8 < took < asked + 2.0
        assert {p.ttl for p in played.packets} == {p.ttl for p in wanted.packets}
        assert not any(any(p.payload) for p in played.packets)
    assert {a for p in _wire(run_dir) for a in (p[IP].src, p[IP].dst)} <= {
        "198.18.1.1",
        "198.18.1.2",
    }


def test_the_kernel_says_nothing_of_its_own_to_a_replay(run_dir: Path) -> None:
    wire = _wire(run_dir)
    assert not [p for p in wire if TCP in p and p[TCP].flags.R]
    assert not [p for p in wire if p[IP].proto == 1]


def test_a_profile_of_ones_own_is_played_with_a_greeting(run_dir: Path) -> None:
    captured = read_conversations(run_dir / "captures" / "lan.pcap").conversations
    (played,) = [talk for talk in captured if talk.server_port == 4_000]
    said = {
        client: b"".join(p.payload for p in played.packets if p.from_client == client)
        for client in (True, False)
    }
    # Nine messages by turns: the server's greeting and four more, four of the client.
    assert (len(said[True]), len(said[False])) == (33 + 3 * 50, 70 + 4 * 2_000)
    assert said[True].startswith(b"\xca\xfe")
    assert said[False].startswith(b"\xbe\xef")
    first_end = next(p for p in played.packets if p.flags & 1)
    assert not first_end.from_client
    assert {p.ttl for p in played.packets if p.from_client and p.size} == {99}


def test_every_flow_has_an_owner_whose_origin_is_written(run_dir: Path) -> None:
    sessions = {r.id: r for r in read_journal(run_dir) if isinstance(r, ActivityRecord)}
    assert {r.kind: (r.outcome, r.origin) for r in sessions.values()} == {
        "inject": ("ok", "synthetic"),
        "replay": ("ok", "replayed"),
    }
    owned = {
        (e.protocol, e.dport): e.activity for e in read_evidence(run_dir) if e.role == "opened"
    }
    kinds = {place: sessions[owned[place]].kind for place in ((6, 8_443), (17, 6_001), (6, 4_000))}
    assert list(kinds.values()) == ["replay", "replay", "inject"]


def test_a_profile_can_be_learned_from_the_labs_own_capture(run_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "learned.yaml"
    capture = str(run_dir / "captures" / "lan.pcap")
    done = CliRunner().invoke(
        cli, ["inject", "learn", capture, "--name", "learned", "--port", "4000", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    learned = load_profile(str(out))
    assert (learned.transport, learned.port, learned.end.server) == ("tcp", 4_000, 1)
    assert [step.sender for step in learned.opening[:2]] == ["server", "client"]
    assert learned.opening[0].bytes == (70,)
