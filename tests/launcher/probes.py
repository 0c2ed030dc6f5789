"""A lab that is up, and what its machines can reach, tried with sockets of their own."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from launcher import namespaces
from launcher.addressing import lab_plan
from launcher.docker import DockerBackend
from launcher.labs import Lab
from launcher.losses import Losses
from launcher.netns import NetnsBackend
from launcher.plan import LabPlan, ServicePlan
from launcher.routing import NEED
from launcher.rundir import JOURNAL, LineWriter
from launcher.servers import Servers
from topologies import Topology

ANSWER_S = 10.0
SILENCE_S = 0.4  # no answer within this is none; waiting longer only makes the tests slower
Verdict = Literal["answer", "refused", "unreachable", "silence"]


@dataclass(frozen=True)
class Up:
    """A lab that is up."""

    backend: NetnsBackend | DockerBackend
    plan: LabPlan
    lab: str
    run_dir: Path

    def namespace(self, node: str) -> Path:
        return self.backend.path(node)

    def address(self, node: str, version: Literal[4, 6] = 4) -> str:
        return str(self.plan.node(node).address_of(version))

    def socket(self, node: str, address: str, kind: socket.SocketKind) -> socket.socket:
        """A socket of a node, of the family of an address."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with namespaces.entered(self.namespace(node)):
            return socket.socket(family, kind)

    def listener(self, node: str, address: str, port: int = 0) -> socket.socket:
        """A TCP socket that listens on a node."""
        found = self.socket(node, address, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((address, port))
            found.listen()
        except OSError:
            found.close()
            raise
        return found

    def dial(
        self, node: str, address: str, port: int, *, wait_s: float = ANSWER_S
    ) -> socket.socket:
        """A TCP connection from a node."""
        found = self.socket(node, address, socket.SOCK_STREAM)
        found.settimeout(wait_s)
        try:
            found.connect((address, port))
        except OSError:
            found.close()
            raise
        return found

    def send(self, client: str, server: str, address: str, port: int) -> None:
        """A datagram from one node to another, again until it has arrived."""
        with (
            self.socket(server, address, socket.SOCK_DGRAM) as receiver,
            self.socket(client, address, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind((address, port))
            receiver.settimeout(SILENCE_S)
            deadline = time.monotonic() + ANSWER_S
            while True:
                sender.sendto(b"?", (address, port))
                try:
                    receiver.recv(1)
                except TimeoutError:
                    if time.monotonic() < deadline:
                        continue
                    raise
                return

    def tried(self, node: str, address: str, port: int, *, wait_s: float = SILENCE_S) -> Verdict:
        """What comes of a TCP connection."""
        try:
            self.dial(node, address, port, wait_s=wait_s).close()
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silence"
        except OSError:
            return "unreachable"
        return "answer"

    @contextmanager
    def serving(self, services: Sequence[ServicePlan]) -> Iterator[Servers]:
        """Servers of the lab, started; their records go into the journal of its run directory."""
        self.run_dir.mkdir(exist_ok=True)
        with LineWriter(self.run_dir / JOURNAL) as journal:
            yield Servers(
                self.backend,
                self.run_dir,
                services,
                journal=journal,
                containers={node.name: node.name for node in self.plan.nodes},
                losses=Losses(),
            )

    def transfer(self, client: str, server: str, address: str, size: int) -> None:
        """Send ``size`` bytes over TCP; returns when all have arrived."""
        with self.listener(server, address) as listener:
            sender = self.dial(client, address, listener.getsockname()[1])
            receiver, _ = listener.accept()
        with sender, receiver:
            receiver.settimeout(ANSWER_S)
            sending = threading.Thread(target=sender.sendall, args=(bytes(size),))
            sending.start()
            while size:
                data = receiver.recv(1 << 16)
                assert data, "the connection ended early"
                size -= len(data)
            sending.join()


@contextmanager
def up(topology: Topology, *, kind: Literal["netns", "docker"] = "netns") -> Iterator[Up]:
    """Bring a topology up, without its services, and down again."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        with Lab.create(backend=kind, run_dir=run_dir) as lab:
            backend = NetnsBackend(lab) if kind == "netns" else DockerBackend(lab)
            plan = lab_plan(topology)
            if any(node.routing for node in plan.nodes):
                plan = replace(plan, needs=(NEED,))
            try:
                backend.up(plan, run_dir)
                yield Up(backend, plan, lab.id, run_dir)
            finally:
                backend.down()
