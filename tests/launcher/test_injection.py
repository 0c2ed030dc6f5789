"""Profiles of synthetic sessions, what is learned from captures, and how captures are packed."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from statistics import fmean, median
from types import ModuleType

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.all import IP, TCP, UDP, Ether, IPv6, Raw, wrpcap

import launcher
from launcher.activities import catalogue
from launcher.compile import compile_run
from launcher.injection import (
    Conversation,
    Packet,
    Profile,
    learn,
    load_profile,
    profiles,
    read_conversations,
)
from launcher.injection.packing import pack
from launcher.injection.sample import sample
from topologies import load_topology
from topologies.errors import InputError, NotFoundError

PROGRAMS = Path(launcher.__file__).parent / "programs"

# Without addresses scapy would ask the network for them.
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")

MINIMAL = """\
name: mine
transport: udp
port: 4000
opening:
  - {sender: client, bytes: [40]}
messages: [4]
bytes: {client: [40], server: [60]}
"""


@pytest.fixture(scope="module")
def exchange() -> ModuleType:
    return _program("common_exchange")


@pytest.fixture(scope="module")
def packets() -> ModuleType:
    return _program("common_packets")


def _program(name: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(name, PROGRAMS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def faults(folder: Path, text: str) -> list[str]:
    path = folder / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_profile(str(path))
    return [str(problem).replace(str(path), "mine.yaml") for problem in caught.value.problems]


@pytest.mark.parametrize("name", profiles())
def test_a_shipped_profile_has_its_name_and_says_that_it_is_made_up(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.description
    text = (Path(launcher.__file__).parent / f"injection/library/{name}.yaml").read_text()
    assert text.startswith("# Made up after")


def test_no_two_shipped_profiles_meet_on_a_port() -> None:
    places = [(p.transport, p.port) for p in map(load_profile, profiles())]
    assert len(set(places)) == len(places) == 4


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "client: [40]",
            "client: [90, 40]",
            (
                "mine.yaml:7: bytes.client: expected quantiles from the lowest to the highest, "
                "got 90, 40; sort them"
            ),
        ),
        (
            "sender: client",
            "sender: server",
            (
                "mine.yaml:4: opening: expected the client's first message at the first or second "
                "place, got server; begin with the client's, or with one greeting of the server"
            ),
        ),
        (
            "messages: [4]",
            "messages: [4]\nmagic: {client: xyz}",
            (
                "mine.yaml:7: magic.client: expected at most 16 bytes in hexadecimal digits, "
                "got 'xyz'; write two digits for each byte"
            ),
        ),
        (
            "server: [60]",
            "server: [6000]",
            (
                "mine.yaml:1: expected datagrams of at most 1472 bytes, got 6000; write smaller "
                "sizes, or transport: tcp"
            ),
        ),
    ],
)
def test_faults_of_a_profile_are_told_with_place_and_remedy(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    told = faults(tmp_path, MINIMAL.replace(old, new))
    assert told == [message]


def test_an_unknown_profile_names_those_that_ship() -> None:
    with pytest.raises(NotFoundError, match="these ship: game-updates, peer-chat"):
        load_profile("nonsense")


# -- what both ends draw -------------------------------------------------------------------------


@given(
    name=st.sampled_from(profiles()),
    seed=st.integers(0, 2**32 - 1),
    limit=st.integers(1, 300),
)
@settings(max_examples=25, deadline=None)
def test_the_server_knows_from_the_first_bytes_what_the_client_will_send(
    exchange: ModuleType, name: str, seed: int, limit: int
) -> None:
    profile = load_profile(name).model_dump(mode="json")
    whole = exchange.script(profile, seed)
    said = exchange.script(profile, seed, limit)
    assert said == whole[:limit]
    head = exchange.tag(profile, seed, len(said))
    first = exchange.content(profile, said[0], Random(1), head)
    assert len(first) == said[0].size
    assert exchange.told(profile, first) == said
    others = [load_profile(n).model_dump(mode="json") for n in profiles() if n != name]
    assert all(exchange.told(other, first) is None for other in others)


def _conversation(exchange: ModuleType, profile: Profile, seed: int) -> Conversation:
    """A session of a profile, as a capture would show it: one packet for each message."""
    sequence, at_s, packets = {"client": 0, "server": 0}, 0.0, []
    for message in exchange.script(profile.model_dump(mode="json"), seed):
        at_s += message.gap_s
        header = bytes(4) + sequence[message.sender].to_bytes(4, "big") + bytes(12)
        sequence[message.sender] += message.size
        tcp = profile.transport == "tcp"
        client = message.sender == "client"
        packets.append(Packet(client, at_s, header if tcp else b"", message.size, b"", 64))
    protocol = 6 if profile.transport == "tcp" else 17
    return Conversation(protocol, 40_000 + seed % 1_000, profile.port, 0.0, tuple(packets))


@pytest.mark.parametrize("name", profiles())
def test_what_is_learned_from_a_profiles_sessions_is_close_to_it(
    exchange: ModuleType, name: str
) -> None:
    profile = load_profile(name)
    talks = [_conversation(exchange, profile, seed) for seed in range(80)]
    found = learn("learned", talks, source="nowhere")
    assert (found.transport, found.port) == (profile.transport, profile.port)
    again = [_conversation(exchange, found, seed) for seed in range(500, 580)]

    def close(measure, tolerance: float) -> None:  # type: ignore[no-untyped-def]
        asked, made = (fmean(map(measure, some)) for some in (talks, again))
        assert made == pytest.approx(asked, rel=tolerance)

    close(lambda talk: len(talk.packets), 0.2)
    close(lambda talk: sum(p.size for p in talk.packets if p.from_client), 0.35)
    close(lambda talk: sum(p.size for p in talk.packets if not p.from_client), 0.35)
    close(lambda talk: fmean(p.from_client for p in talk.packets), 0.1)
    close(lambda talk: talk.packets[-1].at_s, 0.35)
    for client in (True, False):
        sizes = [
            median(p.size for talk in some for p in talk.packets if p.from_client == client)
            for some in (talks, again)
        ]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.25)


# -- captures ------------------------------------------------------------------------------------


def _frames(count: int = 12) -> list[Ether]:
    """A session over TCP with a public server, one over UDP and IPv6, and an ARP-like stranger."""
    ends = {"src": "192.0.2.7", "dst": "203.0.113.9"}
    back = {"src": ends["dst"], "dst": ends["src"]}
    up, down = {"sport": 51_000, "dport": 8_443}, {"sport": 8_443, "dport": 51_000}
    mss = [("MSS", 1380)]
    frames = [
        ETHER / IP(**ends, ttl=128) / TCP(**up, flags="S", seq=100, options=mss, window=8_192),
        ETHER / IP(**back) / TCP(**down, flags="SA", seq=900, ack=101, options=mss),
        ETHER / IP(**ends, ttl=128) / TCP(**up, flags="A", seq=101, ack=901),
    ]
    for number in range(count):
        mine, theirs = 101 + 40 * number, 901 + 300 * number
        text = b"\xaa\xbb" + bytes([number, number]) + b"secret of a user".ljust(36)
        frames += [
            ETHER / IP(**ends, ttl=128) / TCP(**up, flags="PA", seq=mine, ack=theirs) / Raw(text),
            ETHER / IP(**back) / TCP(**down, flags="PA", seq=theirs, ack=mine + 40) / (b"r" * 300),
        ]
    mine, theirs = 101 + 40 * count, 901 + 300 * count
    frames.append(ETHER / IP(**back) / TCP(**down, flags="FA", seq=theirs, ack=mine))
    six = IPv6(src="2001:db8::1", dst="2001:db8::2")
    frames.append(ETHER / six / UDP(sport=6_000, dport=6_001) / (b"x" * 70))
    frames.append(Ether(src=ETHER.src, dst=ETHER.dst, type=0x88CC) / Raw(b"not IP"))
    for number, frame in enumerate(frames):
        frame.time = 1_000 + 0.01 * number
    return frames


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    file = tmp_path / "user.pcap"
    wrpcap(str(file), _frames())
    return file


def test_a_capture_is_read_as_conversations_of_nobody(capture: Path) -> None:
    reading = read_conversations(capture)
    stream, single = reading.conversations
    assert (stream.protocol, stream.client_port, stream.server_port) == (6, 51_000, 8_443)
    assert (single.protocol, single.server_port, single.packets[0].size) == (17, 6_001, 70)
    assert reading.left_out == {"neither TCP nor UDP, or damaged": 1}
    assert stream.packets[0].ttl == 128
    assert sum(p.size for p in stream.packets if p.from_client) == 12 * 40
    gaps = [b.at_s - a.at_s for a, b in zip(stream.packets, stream.packets[1:], strict=False)]
    assert gaps == pytest.approx([0.01] * len(gaps), abs=1e-5)


def test_a_profile_is_learned_with_its_handshake_and_magic(capture: Path) -> None:
    profile = learn("mine", read_conversations(capture).conversations, source="", port=8_443)
    assert (profile.transport, profile.port, profile.ttl) == ("tcp", 8_443, 128)
    assert (profile.mss_bytes, profile.window_bytes) == (1_380, 8_192)
    assert profile.end.server == 1
    assert profile.magic.client == ""  # of one session alone it could be the user's
    stream = read_conversations(capture).conversations[0]
    assert learn("mine", (stream, stream), source="").magic.client == "aabb"
    assert profile.bytes.client == (40,)
    assert profile.bytes.server == (300,)
    with pytest.raises(InputError, match="port 99"):
        learn("mine", read_conversations(capture).conversations, source="x", port=99)


def test_no_capture_and_a_capture_without_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="check the path"):
        read_conversations(tmp_path / "none.pcap")
    file = tmp_path / "text.pcap"
    file.write_text("this is no capture at all, however long it may be")
    with pytest.raises(InputError, match="a pcap or pcapng file"):
        read_conversations(file)


@pytest.mark.parametrize("payload", [True, False])
def test_packets_go_out_with_lab_addresses_and_right_checksums(
    packets: ModuleType, capture: Path, payload: bool
) -> None:
    talks = packets.conversations(
        "user", pack(read_conversations(capture).conversations, payload=payload)
    )
    assert len({talk.identity for talk in talks}) == len(talks)
    for talk in talks:
        for packet in talk.packets:
            raw = packets.crafted(
                packet, talk.protocol, ("198.18.0.1", 4_000), ("198.18.0.2", 5_000),
                ttl=64, identity=talk.identity,
            )  # fmt: skip
            assert (b"secret" in raw) == (payload and b"secret" in packet.payload)
            found = IP(raw)
            assert (found.src, found.dst) == ("198.18.0.1", "198.18.0.2")
            assert (found.sport, found.dport) == (4_000, 5_000)
            layer = TCP if talk.protocol == 6 else UDP
            sent = found[layer].chksum
            del found[layer].chksum
            assert IP(bytes(found))[layer].chksum == sent


def test_segments_that_a_card_would_cut_are_cut(packets: ModuleType) -> None:
    header = (b"\x9c\x41\x1b\x9e" + (2**32 - 1_000).to_bytes(4, "big") + bytes(4)) + bytes.fromhex(
        "501900ff00000000"
    )
    whole = Packet(True, 0.0, header, 4_000, b"", 64)
    text = pack([Conversation(6, 40_001, 7_070, 0.0, (whole,))], time_scale=2)
    (talk,) = packets.conversations("x", text)
    begins = [int.from_bytes(packet.header[4:8], "big") for packet in talk.packets]
    assert begins == [2**32 - 1_000, 440, 1_880]
    assert [len(packet.payload) for packet in talk.packets] == [1_440, 1_440, 1_120]
    assert [packet.header[13] & 1 for packet in talk.packets] == [0, 0, 1]


# -- in a topology -------------------------------------------------------------------------------

TOPOLOGY = {
    "name": "small",
    "networks": {"lan": {"subnet": "198.18.1.0/24"}},
    "hosts": {"a": {"networks": ["lan"]}, "b": {"networks": ["lan"]}},
    "services": {"far": {"kind": "sink", "host": "b"}},
    "activities": {
        name: {"kind": kind, "hosts": ["a"], "services": ["far"], "params": params}
        for name, kind, params in (
            ("made", "inject", {"profiles": ["mine.yaml"]}),
            ("again", "replay", {"file": "user.pcap"}),
        )
    },
}


def test_profiles_and_captures_are_found_beside_the_topology_and_travel_in_the_plan(
    tmp_path: Path, capture: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(MINIMAL)
    file = tmp_path / "topology.yaml"
    file.write_text(yaml.safe_dump(TOPOLOGY))
    plan = compile_run(load_topology(file), seed=3)
    (service,) = plan.services
    assert len(service.shared) == 2
    for session in plan.sessions:
        assert session.shared == service.shared[session.params["shared"]].text
        (peer,) = session.peers
        wanted = (4_000, "udp") if session.kind == "inject" else (None, "any")
        assert (peer.port, peer.protocol) == wanted
        assert len(str(session.params)) < 200
    assert {session.kind for session in plan.sessions} == {"inject", "replay"}


def test_a_fault_of_a_named_file_is_a_fault_of_the_topology(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINIMAL.replace("udp", "sctp"))
    file = tmp_path / "topology.yaml"
    file.write_text(yaml.safe_dump(TOPOLOGY))
    with pytest.raises(InputError) as caught:
        compile_run(load_topology(file), seed=3)
    first, second = sorted(str(problem) for problem in caught.value.problems)
    assert "activities.again.params" in first + second
    assert "user.pcap" in first + second
    assert "expected a sound profile, got" in first + second


def test_origins_are_what_they_are_called() -> None:
    origins = {kind.kind: kind.origin for kind in catalogue().values()}
    assert (origins.pop("inject"), origins.pop("replay")) == ("synthetic", "replayed")
    assert set(origins.values()) == {"real"}
    assert sum(len(talk.packets) for talk in sample()) < 60
