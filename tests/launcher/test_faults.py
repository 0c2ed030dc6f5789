"""Faults, each injected for real: how the run ends, what it says, what it keeps, what it leaves.

The table in docs/evidence.md is made of `FAULTS`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyroute2 import IPRoute

from launcher import killing, labs, namespaces, netfilter, servers, sessions, syscalls
from launcher.losses import Clocks, Losses
from launcher.run import RunOptions
from launcher.rundir import read_journal
from tests.launcher.faulty_labs import (
    Break,
    Faulty,
    When,
    in_phase,
    manifest,
    run_faulty,
    stage,
    traces,
    traffic,
)
from topologies.errors import LabError


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    ``raises`` is what the run ends with, None if it goes on; ``says`` is what its manifest says in
    any case: of why it ended, or of what it lost.
    """

    name: str
    what: str
    says: str
    breaks: Break | None = None
    when: When = traffic
    raises: type[BaseException] | None = None
    server: str = "serve()"
    client: str = "fetch()"
    busy_s: float = 0.6
    settings: tuple[tuple[Any, str, float], ...] = ()
    kept: bool = True  # whether packets had been captured by then


ROOT = Path(__file__).parents[2]


def kill(*words: str, number: int = signal.SIGKILL) -> Break:
    def breaks(faulty: Faulty) -> None:
        found = faulty.processes(*words)
        assert found
        for pid in found:
            os.kill(pid, number)

    return breaks


def lose_host(name: str) -> Break:
    """Its processes die, its namespace goes, as when a container or a machine is stopped."""

    def breaks(faulty: Faulty) -> None:
        path = faulty.namespace(name)
        killing.kill(namespaces.processes_in([path]))
        assert namespaces.delete(path.name)

    return breaks


def take_port(faulty: Faulty) -> None:
    with namespaces.entered(faulty.namespace("server")):
        listener = socket.create_server(("", 80))
    threading.Timer(5, listener.close).start()


def lose_bridge(faulty: Faulty) -> None:
    with namespaces.entered(faulty.namespace("_fabric")), IPRoute() as ip:
        ip.link("del", ifname="br0")


def fill_disk(faulty: Faulty) -> None:
    with (faulty.out / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


def remove_program(faulty: Faulty) -> None:
    (faulty.folder / "programs/web.py").unlink()


def interrupt(faulty: Faulty) -> None:
    signal.raise_signal(signal.SIGINT)


def interrupt_twice(faulty: Faulty) -> None:
    """The second Ctrl-C comes while the lab is being taken down."""
    main = threading.main_thread().ident
    assert main is not None
    threading.Timer(0.03, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
    signal.raise_signal(signal.SIGINT)


def terminate(faulty: Faulty) -> None:
    from gsta.cli.common import interrupt_on_sigterm

    before = signal.getsignal(signal.SIGTERM)
    interrupt_on_sigterm()
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


BURST = """
s = socket.socket(2, 2)
for port in range(1, 2_000):
    s.sendto(b"", (config["peers"][0]["address"], port))
"""
FAULTS = (
    Fault("server-ends-early", "a server program ends by itself", "'www' on host 'server' ended",
          server="serve(5 if config['ports'][0] == 80 else 1_000_000)"),
    Fault("server-killed", "a server program is killed", "'www' on host 'server' ended during",
          kill("web.py server", '"ports": [80]')),
    Fault("server-never-answers", "a server takes connections and says nothing", "",
          server="l = socket.create_server(('', config['ports'][0]))\n"
          "print(json.dumps({'event': 'ready'}), flush=True); time.sleep(60)"),
    Fault("server-not-ready", "a server never gets ready", "'www' on host 'server' did not start",
          raises=LabError, server="time.sleep(60)", settings=((servers, "READY_TIMEOUT_S", 0.5),),
          kept=False),
    Fault("server-broken", "a server program fails at once", "'www' on host 'server' did not start",
          raises=LabError, server="nonsense()", kept=False),
    Fault("port-taken", "a server's port is in use", "service 'www' on host 'server' did not start",
          take_port, stage("starting services"), raises=LabError, kept=False),
    Fault("client-hangs", "a client neither ends nor heeds SIGTERM", "sessions hung and were ended",
          client="signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)",
          settings=((sessions, "OVERTIME_S", -0.3), (sessions, "GRACE_S", 0.1)), kept=False),
    Fault("client-broken", "a client program fails at once", "", client="nonsense()", kept=False),
    Fault("client-killed", "client programs are killed", "", kill("web.py client")),
    Fault("program-removed", "a lab program is removed while the run needs it", "",
          remove_program, in_phase, busy_s=3, kept=False),
    Fault("client-host-dies", "a host with clients dies", "host 'client-1' has died",
          lose_host("client-1"), busy_s=3),
    Fault("server-host-dies", "the host with the servers dies", "'other' on host 'server' ended",
          lose_host("server")),
    Fault("tcpdump-killed", "tcpdump is killed", "capture of network 'lan' ended early",
          kill("lan.pcap"), raises=LabError),
    Fault("tcpdump-stopped", "tcpdump is told to end", "capture of network 'lan' ended early",
          kill("lan.pcap", number=signal.SIGINT), raises=LabError),
    Fault("network-vanishes", "a network's bridge vanishes", "capture of network 'lan' ended early",
          lose_bridge, raises=LabError),
    Fault("disk-full", "the disk with the run directory is full", "No space left on device",
          fill_disk, raises=LabError),
    Fault("evidence-overrun", "the kernel's reports come faster than they can be kept",
          "the kernel could not deliver", client=BURST,
          settings=((netfilter, "BUFFER_BYTES", 1_024),)),
    Fault("ctrl-c-building", "Ctrl-C while the lab is built", "KeyboardInterrupt",
          interrupt, stage("building the lab"), raises=KeyboardInterrupt, kept=False),
    Fault("ctrl-c-captures", "Ctrl-C while captures start", "KeyboardInterrupt",
          interrupt, stage("starting captures"), raises=KeyboardInterrupt, kept=False),
    Fault("ctrl-c-services", "Ctrl-C while services start", "KeyboardInterrupt",
          interrupt, stage("starting services"), raises=KeyboardInterrupt, kept=False),
    Fault("ctrl-c-phase", "Ctrl-C while sessions run", "KeyboardInterrupt",
          interrupt, raises=KeyboardInterrupt),
    Fault("ctrl-c-twice", "Ctrl-C, and again while the lab is taken down", "KeyboardInterrupt",
          interrupt_twice, raises=KeyboardInterrupt),
    Fault("sigterm", "the launcher is told to end (SIGTERM)", "KeyboardInterrupt",
          terminate, raises=KeyboardInterrupt),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labs of a state directory of the test's own: nobody else's are looked at or wiped."""
    monkeypatch.setenv("GSTA_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 4 MB."""
    folder = tmp_path / "lab"
    folder.mkdir()
    syscalls.mount("tmpfs", folder, "tmpfs", 0, "size=4m")
    yield folder
    syscalls.unmount(folder)


@pytest.mark.lab
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault(fault: Fault, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, value in fault.settings:
        monkeypatch.setattr(module, name, value)

    def run() -> None:
        run_faulty(
            small_disk,
            breaks=fault.breaks,
            when=fault.when,
            server=fault.server,
            client=fault.client,
            busy_s=fault.busy_s,
        )

    threads = set(threading.enumerate())
    if fault.raises is None:
        run()
    else:
        with pytest.raises(fault.raises):
            run()
    out = small_disk / "run"
    said = manifest(out)
    assert said["status"] == ("complete" if fault.raises is None else "incomplete")
    assert fault.says in "\n".join([str(said["reason"]), *said["losses"]])
    if fault.kept:
        (capture,) = said["captures"]
        assert capture["packets"] > 0
        assert (out / capture["file"]).stat().st_size > 24
        # What a full disk cuts off is the journal's last line.
        assert fault.name == "disk-full" or list(read_journal(out))
    assert traces(small_disk) == []
    left = set(threading.enumerate()) - threads
    assert {thread for thread in left if not isinstance(thread, threading.Timer)} == set()


def test_there_are_enough_faults_and_the_document_has_them_all() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 20
    assert "\n".join(map(row, FAULTS)) in (ROOT / "docs/evidence.md").read_text(encoding="utf-8")


def row(fault: Fault) -> str:
    """A line of the document's table; where it does not fit any more, it is put there by hand."""
    how = "ends, incomplete" if fault.raises else "goes on, complete"
    where = "reason" if fault.raises else "losses" if fault.says else "journal"
    said = f"{where}: {fault.says}" if fault.says else "journal: the sessions' outcomes"
    return f"| {fault.what} | {how} | {said} |"


@pytest.mark.lab
def test_the_others_go_on_when_one_server_dies(tmp_path: Path) -> None:
    faulty = run_faulty(tmp_path, breaks=kill('"ports": [80]'), when=traffic, busy_s=3)
    records = list(read_journal(faulty.out))
    dead = next(r for r in records if r.record == "service" and r.name == "www")
    assert dead.outcome == "failed"
    later = [r for r in records if r.record == "activity" and r.start_ns > dead.stop_ns]
    assert {r.peers[0].service for r in later} == {"www", "other"}
    assert {r.peers[0].service for r in later if r.outcome == "failed"} == {"www"}


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.launcher.faulty_labs import run_faulty, stage, traffic
when = traffic if sys.argv[2] == "phase" else stage(sys.argv[2])
run_faulty(Path(sys.argv[1]), breaks=lambda _: os.kill(os.getpid(), signal.SIGKILL), when=when)
"""


@pytest.mark.lab
@pytest.mark.parametrize("moment", ["starting captures", "phase"])
def test_a_launcher_that_is_killed_leaves_what_a_wipe_removes(tmp_path: Path, moment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), moment],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert traces(tmp_path)
    assert len(labs.wipe().labs) == 1
    assert traces(tmp_path) == []
    said = manifest(tmp_path / "run")
    assert (said["status"], said["reason"]) == ("incomplete", "the launcher did not finish")
    assert (tmp_path / "run/captures/lan.pcap").exists() == (moment == "phase")
    assert not (tmp_path / "run/.reserve").exists()


@pytest.mark.lab
def test_a_reader_of_streamed_packets_that_dies_ends_the_run(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(LabError, match="capture of network 'lan' ended early"):
        run_faulty(
            tmp_path,
            breaks=lambda _: os.close(reader),
            when=in_phase,
            options=RunOptions(sink={"lan": pipe}.__getitem__),
        )
    assert traces(tmp_path) == []


@pytest.mark.lab
def test_a_folder_that_vanishes_is_told(tmp_path: Path) -> None:
    with pytest.raises((LabError, OSError)):
        run_faulty(tmp_path, breaks=lambda f: shutil.rmtree(f.out), when=in_phase)
    assert traces(tmp_path) == []


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((0.0, 0.05, -0.05), []),
        ((0.0, 3.2), ["the machine's clock was set forward by 3.200 s during the run"]),
        ((0.0, -60.0, -60.0), ["the machine's clock was set back by 60.000 s during the run"]),
    ],
)
def test_a_clock_that_is_set_is_noticed(steps: tuple[float, ...], said: list[str]) -> None:
    """The machine's own clock is everybody's; so these are the test's."""
    now_ns, set_by_ns = 10**18, 0
    losses = Losses()
    clocks = Clocks(losses, real_ns=lambda: now_ns + set_by_ns, monotonic_ns=lambda: now_ns)
    for step in steps:
        now_ns += 10**9
        set_by_ns = int(step * 1e9)
        clocks.check()
    assert [text.split(":")[0] for text in losses.told] == said
