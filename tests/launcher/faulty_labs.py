"""What the fault tests share: a tiny lab with programs that misbehave on demand, and its traces."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from launcher import cgroups, namespaces
from launcher.backend import Backend
from launcher.labs import Lab
from launcher.labstate import state_directory
from launcher.netns import NetnsBackend
from launcher.run import RunOptions, run_experiment
from topologies import Topology, load_topology
from topologies.document import Document

TOPOLOGY = """
name: faulty
networks: {lan: {subnet: 198.18.40.0/24}}
hosts:
  client: {networks: [lan], count: 2}
  server: {networks: [lan]}
services:
  www: {kind: web, host: server, port: 80}
  other: {kind: web, host: server, port: 81}
activities:
  browsing:
    kind: web
    hosts: [client]
    services: [www, other]
    session_s: 1.0
    arrival: {distribution: constant, value_s: 0.5}
phases: [{name: busy, duration_s: 0.6}, {name: quiet, duration_s: 60, intensity: 0}]
"""

# A web server and its client, small enough to start in no time.
PROGRAM = """
import json, os, signal, socket, sys, time
role, config = sys.argv[1], json.loads(sys.argv[2])
def serve(limit=1_000_000):
    listener = socket.create_server(("", config["ports"][0]))
    print(json.dumps({"event": "ready"}), flush=True)
    for _ in range(limit):
        with listener.accept()[0] as peer:
            peer.recv(100)
            peer.send(b"x" * 2_000)
def fetch():
    end = time.monotonic() + config["duration_s"]
    peer = config["peers"][0]
    while time.monotonic() < end:
        with socket.create_connection((peer["address"], peer["ports"][0]), timeout=1) as s:
            s.send(b"GET")
            while s.recv(9_999):
                pass
        time.sleep(0.02)
if role == "server":
    SERVER
else:
    CLIENT
"""


@dataclass
class Faulty:
    """A run of the tiny lab, from the side of whoever breaks it."""

    folder: Path
    lab: Lab
    backend: Backend
    stages: list[str] = field(default_factory=list)
    broken: bool = False

    @property
    def out(self) -> Path:
        return self.folder / "run"

    def namespace(self, node: str) -> Path:
        return namespaces.path_of(f"gsta-{self.lab.id}-{node}")

    def processes(self, *words: str) -> list[int]:
        """Ids of the lab's processes whose command line has all these words."""
        return [pid for pid, line in processes(self.folder) if all(word in line for word in words)]


Break = Callable[[Faulty], None]
When = Callable[["Faulty", str], bool]


def stage(name: str) -> When:
    """When a stage of the run begins."""
    return lambda _, what: what == name


def traffic(faulty: Faulty, what: str) -> bool:
    """When packets are being captured."""
    file = faulty.out / "captures/lan.pcap"
    return what.endswith("phase") and file.exists() and file.stat().st_size > 20_000


def in_phase(faulty: Faulty, what: str) -> bool:
    """When the first phase has begun."""
    return what.endswith("phase")


def write_program(folder: Path, *, server: str = "serve()", client: str = "fetch()") -> Path:
    """A folder of programs, of which there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {"SERVER": server, "CLIENT": client}
    text = PROGRAM
    for word, code in parts.items():
        text = text.replace(f"    {word}\n", "".join(f"    {x}\n" for x in code.splitlines()))
    (folder / "web.py").write_text(text)
    return folder


def faulty_document(folder: Path, busy_s: float) -> Document[Topology]:
    """The tiny lab's topology; sessions begin for so long, and the run ends with the last."""
    text = TOPOLOGY.replace("duration_s: 0.6", f"duration_s: {busy_s}")
    (folder / "faulty.yaml").write_text(text)
    return load_topology(str(folder / "faulty.yaml"))


def run_faulty(
    folder: Path,
    *,
    breaks: Break | None,
    when: When,
    server: str = "serve()",
    client: str = "fetch()",
    busy_s: float = 0.6,
    options: RunOptions | None = None,
    make: Callable[[Lab, Path], Backend] = lambda lab, programs: NetnsBackend(
        lab, programs=programs
    ),
) -> Faulty:
    """Run the tiny lab, and break it when it is time; raises what the run raises."""
    programs = write_program(folder / "programs", server=server, client=client)
    with Lab.create(backend="netns", run_dir=folder / "run") as lab:
        faulty = Faulty(folder, lab, make(lab, programs))

        def progress(what: str, _done: float, _total: float) -> None:
            faulty.stages.append(what)
            if breaks is not None and not faulty.broken and when(faulty, what):
                faulty.broken = True
                breaks(faulty)

        run_experiment(
            faulty_document(folder, busy_s),
            seed=3,
            out=faulty.out,
            backend=faulty.backend,
            progress=progress,
            options=options,
        )
    assert faulty.broken or breaks is None
    return faulty


def processes(folder: Path) -> list[tuple[int, str]]:
    """Id and command line of every process that has to do with a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in line:
                found.append((int(process.name), line))
    return found


def traces(folder: Path) -> list[str]:
    """Everything that labs of this state directory still have on this machine."""
    ids = {path.stem for path in (state_directory() / "labs").glob("*")}
    mine = f"gsta-{_mark()}"  # what the names of all of them begin with
    names = namespaces.names(mine)
    groups = [lab for lab in cgroups.leftovers() if f"gsta-{lab}".startswith(mine)]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if mine in line]
    running = [line for _, line in processes(folder)]
    return [*sorted(ids), *names, *groups, *mounts, *running]


def _mark() -> str:
    with Lab.create(backend="none", run_dir=Path("/nowhere")) as lab:
        return lab.id[:4]


def manifest(run: Path) -> dict[str, object]:
    """What a run says of itself."""
    found: dict[str, object] = json.loads((run / "manifest.json").read_text())
    return found
