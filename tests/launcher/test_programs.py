"""One contract for every lab program: each kind and variant played for real over loopback."""

from __future__ import annotations

import json
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import launcher
from launcher.activities import catalogue, services

PROGRAMS = Path(launcher.__file__).parent / "programs"
ADDRESS = "127.0.0.1"
SESSION_S = 4.0
SLACK_S = 10.0  # a small machine may run many things beside
STOP_S = 2.0
THINK = {"distribution": "exponential", "mean_s": 0.4, "maximum_s": 1.5}
DEBIAN_PYTHON = "/usr/bin/python3"
# The kinds that all else is built on, looked at more closely than by the contract of all kinds.
KINDS = ("dns", "mail", "mining", "scan", "ssh", "transfer", "video", "web")
SERVICES = ("dns", "mail", "pool", "ssh", "video", "web")
EVERY = [(kind, variant) for kind in KINDS for variant in catalogue()[kind].variants]
every_service = pytest.mark.parametrize("service", SERVICES)
every_variant = pytest.mark.parametrize(("kind", "variant"), EVERY)
every_kind = pytest.mark.parametrize("kind", KINDS)
every_kind_with_a_service = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if catalogue()[kind].service_kind]
)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, by TCP or UDP, for as long as nobody else takes them."""
    with ExitStack() as stack:
        found = []
        while len(found) < count:
            tcp = stack.enter_context(socket.socket())
            tcp.bind((ADDRESS, 0))
            udp = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            udp.bind((ADDRESS, tcp.getsockname()[1]))
            found.append(tcp.getsockname()[1])
        return found


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@dataclass
class Server:
    """A running service of the lab."""

    process: subprocess.Popen[str]
    peer: dict[str, Any]


@contextmanager
def serving(kind: str, python: str = sys.executable, seed: int = 5) -> Iterator[Server]:
    service = services()[kind]
    ports = free_ports(len(service.ports))
    told = {
        "seed": seed,
        "host": kind,
        "address": ADDRESS,
        "ports": ports,
        "params": service.params().model_dump(mode="json"),
    }
    process = subprocess.Popen(
        [python, str(PROGRAMS / f"{service.program}.py"), "server", json.dumps(told)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        assert abs(ready["time_ns"] - time.time_ns()) < 60e9
        yield Server(
            process,
            {**told, "service": kind, "kind": kind, "port": ports[0], "protocol": service.protocol},
        )
    finally:
        process.kill()
        process.communicate()


def seed_of(kind: str, variant: str, number: int) -> int:
    return zlib.crc32(f"{kind}/{variant}/{number}".encode())


def drawn(kind: str, variant: str, seed: int) -> dict[str, Any]:
    activity = catalogue()[kind]
    params = activity.params.model_validate({"variants": [variant]})
    return dict(activity.draw(random.Random(seed), params)[1])


def start(
    kind: str,
    variant: str,
    peer: dict[str, Any],
    *,
    seed: int,
    duration_s: float = SESSION_S,
    python: str = sys.executable,
    think: dict[str, Any] | None = None,
) -> subprocess.Popen[str]:
    told = {
        "seed": seed,
        "params": drawn(kind, variant, seed),
        "peers": [peer],
        "think_time": think or THINK,
        "duration_s": duration_s,
    }
    command = [python, str(PROGRAMS / f"{catalogue()[kind].program}.py"), "client"]
    return subprocess.Popen(
        [*command, json.dumps(told)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@dataclass
class Played:
    """What a finished session left behind."""

    code: int
    events: list[dict[str, Any]]
    errors: str
    began_ns: int


def play(kind: str, variant: str, peer: dict[str, Any], **how: Any) -> Played:
    began_ns = time.time_ns()
    process = start(kind, variant, peer, **how)
    out, errors = process.communicate(timeout=90)
    return Played(process.returncode, events(out), errors, began_ns)


@dataclass
class Stage:
    """All services of one interpreter, and every variant played against them at once."""

    servers: dict[str, Server]
    played: dict[tuple[str, str, int], Played] = field(default_factory=dict)

    def peer(self, kind: str) -> dict[str, Any]:
        return self.servers[catalogue()[kind].service_kind or "mail"].peer

    def play_all(self, python: str, seeds: Sequence[int]) -> None:
        keys = [(kind, variant, seed) for kind, variant in EVERY for seed in seeds]
        with ThreadPoolExecutor(12) as pool:
            results = pool.map(
                lambda key: play(
                    key[0], key[1], self.peer(key[0]), seed=seed_of(*key), python=python
                ),
                keys,
            )
            self.played = dict(zip(keys, results, strict=True))


@contextmanager
def staged(python: str) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage({kind: stack.enter_context(serving(kind, python)) for kind in SERVICES})


@contextmanager
def captured(file: Path, ports: Sequence[int]) -> Iterator[None]:
    """Capture these ports on loopback into ``file``, where this user may."""
    tool = shutil.which("tcpdump") or "/usr/bin/tcpdump"
    if os.geteuid() != 0 or not Path(tool).exists():
        yield
        return
    wanted = " or ".join(f"port {port}" for port in ports)
    command = [tool, "-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-w", str(file), wanted]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        yield
        process.terminate()


@dataclass
class Wire:
    """A capture of the whole stage, read with tshark."""

    file: Path
    ports: dict[str, list[int]]

    def fields(self, display: str, *names: str) -> list[list[str]]:
        tshark = shutil.which("tshark")
        if tshark is None or not self.file.exists():
            pytest.skip("needs tshark, and tcpdump as root")
        known = {"web": "tls", "video": "tls", "ssh": "ssh", "dns": "dns", "pool": "json"}
        decode = [
            f"tcp.port=={port},{known[kind]}" for kind in known for port in self.ports[kind][:1]
        ]
        decode.append(f"tcp.port=={self.ports['pool'][1]},tls")
        decode.append(f"udp.port=={self.ports['dns'][0]},dns")
        decode += [
            f"tcp.port=={port},{name}"
            for port, name in zip(self.ports["mail"], ("smtp", "smtp", "imap", "tls"), strict=True)
        ]
        command = [tshark, "-n", "-r", str(self.file), "-Y", display, "-T", "fields"]
        command += [part for name in names for part in ("-e", name)]
        command += [part for rule in decode for part in ("-d", rule)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, Wire]]:
    file = tmp_path_factory.mktemp("wire") / "loopback.pcap"
    with staged(sys.executable) as built:
        ports = {kind: server.peer["ports"] for kind, server in built.servers.items()}
        with captured(file, [port for group in ports.values() for port in group]):
            built.play_all(sys.executable, seeds=(1, 2))
        yield built, Wire(file, ports)


@every_variant
@pytest.mark.parametrize("seed", [1, 2])
def test_a_session_succeeds_and_ends_by_itself(
    stage: tuple[Stage, Wire], kind: str, variant: str, seed: int
) -> None:
    played = stage[0].played[kind, variant, seed]
    assert (played.code, played.errors) == (0, "")
    times = [event["time_ns"] for event in played.events]
    assert times == sorted(times) != []
    assert times[-1] - times[0] < (SESSION_S + SLACK_S) * 1e9


@every_variant
def test_two_seeds_differ(stage: tuple[Stage, Wire], kind: str, variant: str) -> None:
    def told(seed: int) -> list[dict[str, Any]]:
        played = stage[0].played[kind, variant, seed].events
        return [{k: v for k, v in event.items() if k != "time_ns"} for event in played]

    def gaps(seed: int) -> list[int]:
        played = stage[0].played[kind, variant, seed]
        times = [played.began_ns, *(event["time_ns"] for event in played.events)]
        return [later - sooner for sooner, later in pairwise(times)]

    assert drawn(kind, variant, 1) != drawn(kind, variant, 2) or told(1) != told(2)
    assert gaps(1) != gaps(2)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if catalogue()[kind].malicious])
def test_an_attack_ends_with_its_effect(stage: tuple[Stage, Wire], kind: str) -> None:
    ends = [played.events[-1] for key, played in stage[0].played.items() if key[0] == kind]
    assert {event["event"] for event in ends} == {"effect"}
    assert any(event["success"] is True for event in ends)


def test_a_finished_scan_found_exactly_what_is_open(stage: tuple[Stage, Wire]) -> None:
    for (kind, _, _), played in stage[0].played.items():
        if kind == "scan" and played.events[-1]["tried"] == played.events[-1]["targets"]:
            found = {event["port"] for event in played.events if event["event"] == "open"}
            assert len(found) == played.events[-1]["expected"]
            assert found <= set(stage[0].peer("scan")["ports"])


@pytest.mark.parametrize("service", ["web", "video"])
def test_web_and_video_are_tls_1_3(stage: tuple[Stage, Wire], service: str) -> None:
    _, wire = stage
    port = wire.ports[service][0]
    rows = wire.fields(
        f"tcp.srcport=={port} && tls.handshake.type==2",
        "tls.handshake.extensions.supported_version",
    )
    assert rows
    assert {row[0] for row in rows} == {"0x0304"}
    offers = wire.fields(
        f"tcp.dstport=={port} && tls.handshake.type==1",
        "tls.handshake.extensions_alpn_str",
        "tls.handshake.extensions_server_name",
    )
    assert any("h2" in row[0].split(",") for row in offers)
    assert len({row[1] for row in offers}) > len(offers) / 4


def test_ssh_is_ssh_from_many_clients(stage: tuple[Stage, Wire]) -> None:
    _, wire = stage
    port = wire.ports["ssh"][0]
    versions = wire.fields(f"tcp.dstport=={port} && ssh.protocol", "ssh.protocol")
    assert all(row[0].startswith("SSH-2.0-") for row in versions)
    assert len({row[0] for row in versions}) > 3
    assert wire.fields(f"tcp.port=={port} && ssh.kex_algorithms", "frame.number")


def test_dns_is_answered_over_udp_and_tcp(stage: tuple[Stage, Wire]) -> None:
    _, wire = stage
    port = wire.ports["dns"][0]
    replies = wire.fields(
        f"dns.flags.response==1 && (udp.port=={port} || tcp.port=={port})",
        "ip.proto",
        "dns.flags.truncated",
        "dns.flags.rcode",
        "frame.len",
    )
    assert {row[0] for row in replies} == {"6", "17"}
    assert {row[1] for row in replies if row[0] == "17"} == {"0", "1"}
    assert len({row[3] for row in replies}) > 20


def test_mail_greets_upgrades_and_speaks_imap(stage: tuple[Stage, Wire]) -> None:
    _, wire = stage
    smtp, submission, imap, imaps = wire.ports["mail"]
    codes = wire.fields(
        f"smtp.response.code && tcp.srcport in {{{smtp}, {submission}}}", "smtp.response.code"
    )
    assert {"220", "250"} <= {code for row in codes for code in row[0].split(",")}
    assert wire.fields(f'smtp contains "STARTTLS" && tcp.dstport=={submission}', "frame.number")
    assert wire.fields(f'imap.request.command=="STARTTLS" && tcp.dstport=={imap}', "frame.number")
    assert wire.fields(f"tls.handshake.type==2 && tcp.srcport=={imaps}", "frame.number")


def test_mining_is_stratum_with_jobs_and_shares(stage: tuple[Stage, Wire]) -> None:
    _, wire = stage
    plain, secure = wire.ports["pool"]
    said = wire.fields(f"json && tcp.port=={plain}", "json.value.string")
    words = {word for row in said for word in row[0].split(",")}
    assert {
        "mining.subscribe",
        "mining.authorize",
        "mining.set_difficulty",
        "mining.notify",
        "mining.submit",
    } <= words
    assert wire.fields(f"tls.handshake.type==2 && tcp.srcport=={secure}", "frame.number")


def test_nothing_on_the_wire_is_malformed(stage: tuple[Stage, Wire]) -> None:
    _, wire = stage
    benign = " || ".join(
        f"tcp.port=={port}" for kind in ("web", "video", "dns") for port in wire.ports[kind]
    )
    assert wire.fields(f"_ws.malformed && ({benign} || udp)", "frame.number") == []


def _first_line(process: subprocess.Popen[str], within_s: float) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(within_s), "the client said nothing"
    return process.stdout.readline()


@every_kind
def test_sigterm_ends_a_client_at_once(stage: tuple[Stage, Wire], kind: str) -> None:
    variant = {"mining": "patient", "scan": "slow", "web": "browse-h1"}.get(
        kind, catalogue()[kind].variants[0]
    )
    process = start(
        kind,
        variant,
        stage[0].peer(kind),
        seed=9,
        duration_s=60,
        think={"distribution": "constant", "value_s": 20},
    )
    try:
        if kind != "ssh":
            _first_line(process, 20)
        else:
            time.sleep(2)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert time.monotonic() - began < STOP_S
    finally:
        process.kill()


@every_service
def test_sigterm_ends_a_server_at_once(service: str) -> None:
    with serving(service) as server, socket.create_connection((ADDRESS, server.peer["port"])):
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        out, _ = server.process.communicate(timeout=20)
        assert server.process.returncode == 0
        assert time.monotonic() - began < STOP_S
        assert events(out)[-1]["event"] == "end"


def _pester(port: int, rng: random.Random) -> None:
    """Garbage, half messages, and leaving early, politely or not."""
    starts = [
        b"",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-x\r\n",
        b'{"id": 1, "method": "mining.submit", "params": {}}\n',
        b'{"id": 1, "method": "mining.submit", "params": [1, 2]}\n',
        b"[]\n",
        b"A1 FETCH\r\n",
        b"\x00\x0c",
        b"\x00\x02ab",
        b"A" * 200_000,
        b"STARTTLS\r\nx\r\n",
    ]
    for start_ in starts:
        data = start_ + rng.randbytes(rng.randrange(2_000)) if rng.random() < 0.7 else start_
        with socket.socket() as sock, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            sock.settimeout(2)
            sock.connect((ADDRESS, port))
            if rng.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            try:
                sock.sendall(data)
                datagram.sendto(data[:1_400], (ADDRESS, port))
            except OSError:
                continue  # it hung up first, as it should


@every_kind_with_a_service
def test_a_server_survives_garbage(kind: str) -> None:
    with serving(catalogue()[kind].service_kind or "") as server:
        rng = random.Random(kind)
        for port in server.peer["ports"]:
            _pester(port, rng)
        played = play(kind, catalogue()[kind].variants[0], server.peer, seed=4)
        assert (played.code, played.errors) == (0, "")


@every_kind_with_a_service
def test_a_client_without_a_server_says_so(kind: str) -> None:
    ports = free_ports(4)
    peer = {
        "address": ADDRESS,
        "host": "nobody",
        "port": ports[0],
        "ports": ports,
        "protocol": "tcp",
    }
    played = play(kind, {"dns": "tcp"}.get(kind, catalogue()[kind].variants[0]), peer, seed=1)
    assert played.code == 1
    assert any(event["event"] == "error" for event in played.events)


def _debian_has_the_libraries() -> bool:
    script = "import asyncssh, h2, dnslib, aiosmtpd, cryptography"
    return (
        Path(DEBIAN_PYTHON).exists()
        and not subprocess.run(
            [DEBIAN_PYTHON, "-W", "ignore", "-c", script], capture_output=True, check=False
        ).returncode
    )


@pytest.mark.slow
def test_every_variant_plays_on_debians_own_python() -> None:
    if not _debian_has_the_libraries():
        pytest.skip("this machine's own Python lacks the packaged libraries")
    with staged(DEBIAN_PYTHON) as built:
        built.play_all(DEBIAN_PYTHON, seeds=(1,))
    wrong = {
        key: (played.code, played.errors)
        for key, played in built.played.items()
        if played.code or played.errors
    }
    assert wrong == {}
