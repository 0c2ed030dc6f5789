"""Machines for a lab over several: namespaces of this one, joined by a cable of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

ENGINE_S = 30.0
ROOT = Path(__file__).parents[3]
# A tmpfs for /run: names of namespaces, state and sockets are the second machine's own.
OWN_RUN = "mount -t tmpfs tmpfs /run && echo ready && exec cat"


@dataclass(frozen=True)
class Machine:
    """One of them; ``words`` begin a command that runs there."""

    name: str
    underlay: str
    pid: int
    words: tuple[str, ...]

    def do(self, *command: str) -> str:
        """What a command says there; it must work."""
        done = subprocess.run(
            [*self.words, *command], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def engine(self, networks: Sequence[str] = ()) -> dict[str, object]:
        """Its entry in an engines file."""
        return {
            "underlay": self.underlay,
            "reach": " ".join((*self.words, "env", f"PYTHONPATH={ROOT}")),
            "gsta": f"{sys.executable} -m gsta",
            "networks": list(networks),
        }

    def namespaces(self) -> list[str]:
        """Names of the network namespaces there that begin with ``gsta-``."""
        return [
            name for name in self.do("sh", "-c", "ls /run/netns || true").split() if "gsta-" in name
        ]


@contextmanager
def two_machines(mtu: int = 9_000) -> Iterator[tuple[Machine, Machine]]:
    """One has this machine's files, processes and engine, the other a ``/run`` of its own."""
    with _holder("--net") as one, _holder("--net", "--mount") as two:
        first = Machine("one", "198.19.255.1", one, ("nsenter", f"--net=/proc/{one}/ns/net"))
        own = (f"--net=/proc/{two}/ns/net", f"--mount=/proc/{two}/ns/mnt")
        state = ("env", "GSTA_STATE_DIR=/run/gsta-two")  # a name of its own marks its labs
        second = Machine("two", "198.19.255.2", two, ("nsenter", *own, *state))
        cable = ["link", "add", "u0", "mtu", str(mtu), "type", "veth", "peer", "name", "u0"]
        first.do("ip", *cable, "netns", str(two), "mtu", str(mtu))
        for machine in (first, second):
            machine.do("ip", "addr", "add", f"{machine.underlay}/30", "dev", "u0")
            for name in ("lo", "u0"):
                machine.do("ip", "link", "set", name, "up")
        yield first, second


@contextmanager
def _holder(*kinds: str) -> Iterator[int]:
    """A process that keeps namespaces alive; it ends when this one does, however that ends."""
    script = OWN_RUN if "--mount" in kinds else "echo ready && exec cat"
    with subprocess.Popen(
        ["unshare", *kinds, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid


@contextmanager
def engine_of(machine: Machine, folder: Path, *images: str) -> Iterator[None]:
    """A container engine of the machine's own, with images of this machine's engine."""
    data = folder / "docker"
    data.mkdir()
    log = folder / "dockerd.log"
    begin = f"mount --bind {data} /var/lib/docker && exec dockerd --bridge none --log-level warn"
    with (
        log.open("wb") as said,
        subprocess.Popen([*machine.words, "sh", "-c", begin], stdout=said, stderr=said) as engine,
    ):
        try:
            deadline = time.monotonic() + ENGINE_S
            while not machine.do("sh", "-c", "docker version 2>/dev/null || true").count("Server"):
                assert engine.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
                words = [*machine.words, "docker", "load"]
                subprocess.run(words, stdin=saved.stdout, stdout=subprocess.DEVNULL, check=True)
            yield
        finally:
            engine.terminate()
            engine.wait(ENGINE_S)
            shutil.rmtree(data, ignore_errors=True)


def write_engines(file: Path, engines: dict[str, dict[str, object]]) -> Path:
    file.write_text(yaml.safe_dump({"engines": engines}))
    return file


def environment() -> dict[str, str]:
    """For a `gsta` of this tree, wherever it is started."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
