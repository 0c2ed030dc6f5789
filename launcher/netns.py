"""The embedded back end: each host a network namespace, each program a process in it.

No daemon, no image. Hosts share the machine's file system; a program sees its own host's name, the
lab's ``/etc/hosts`` and the host's network, and runs under the host's control group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from launcher import bird, cgroups, leaves, namespaces, needs, remains, rootless
from launcher.backend import Capture, Command, FlowEvent, HostGoneError, Process, Watch
from launcher.capture import CaptureOptions, start_capture
from launcher.conntrack import start_watch
from launcher.enter import KEPT_CAPABILITIES, NETWORK_CAPABILITIES, Entry
from launcher.impair import Links
from launcher.labs import Lab
from launcher.natwatch import watch_through_nat
from launcher.plan import LabPlan
from launcher.records import EngineRecord
from launcher.syscalls import isolated
from launcher.wiring import capture_place, wire
from topologies.errors import LabError, MachineError
from topologies.files import write_text

PROGRAMS: Final = Path(__file__).parent / "programs"
# What a program needs of the launcher's environment; a proxy setting, say, must not get in.
_INHERITED: Final = (
    *("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"),
)
_NAME_SERVICE: Final = "hosts: files\n"  # never the machine's resolver: it reaches the outside


class NetnsBackend:
    """A lab of network namespaces; a `launcher.backend.Backend`."""

    name = "netns"
    wires = True
    engines: tuple[EngineRecord, ...] = ()
    images: Mapping[str, str] = MappingProxyType({})

    def __init__(self, lab: Lab, *, programs: Path = PROGRAMS) -> None:
        self.notes: Sequence[str] = ()
        self.links = Links()
        self.owners_available = rootless.owners_available()
        self._lab, self._programs = lab, programs
        self._groups: Mapping[str, tuple[Path, ...]] = {}
        self._leaves = leaves.Leaves.none()
        self._processes: list[LabProcess] = []
        self._plan: LabPlan | None = None
        self._run_dir = lab.run_dir

    def up(self, plan: LabPlan, run_dir: Path) -> Mapping[str, str]:
        """Create every network and host; the namespace name of each host."""
        bird.require(plan)
        needs.require(plan.needs)
        self._plan, self._run_dir = plan, run_dir
        made = cgroups.create(self._lab.id, {node.name: node.limits for node in plan.nodes})
        self._groups, self.notes = made.hosts, made.notes
        self._leaves = _leaves(made.hosts)
        write_text(self._lab.folder / "hosts", _hosts_file(plan))
        write_text(self._lab.folder / "nsswitch.conf", _NAME_SERVICE)
        namespaces.create(remains.fabric_name(self._lab.id))
        for node in plan.nodes:
            namespaces.create(self._namespace(node.name))
        self.links = wire(
            plan, self.fabric(), {node.name: self.path(node.name) for node in plan.nodes}
        )
        return {node.name: self._namespace(node.name) for node in plan.nodes}

    def spawn(self, host: str, command: Command) -> Process:
        """Start a program in a host, its output appended to its log file."""
        if host not in self._groups:
            raise LabError(f"lab {self._lab.id} has no host '{host}' that is up")
        if not self.path(host).exists():
            raise HostGoneError(host, "its network namespace has been removed")
        log = self._run_dir / "logs" / host / command.log
        log.parent.mkdir(parents=True, exist_ok=True)
        leaf = self._leaves.make(host, command.owner)
        # In the v2 hierarchy its own group takes the place of the host's, which holds it.
        groups = [g for g in self._groups[host] if leaf is None or not leaf.is_relative_to(g)]
        entry = Entry(
            groups=[str(group) for group in (*groups, *([leaf] if leaf else []))],
            hostname=host,
            files={f"/etc/{file.name}": str(file) for file in self._lab.folder.iterdir()},
            owner=command.owner if self.owners_available else None,
            capabilities=NETWORK_CAPABILITIES if command.rules_network else KEPT_CAPABILITIES,
        )
        program = str(self._programs / f"{command.program}.py")
        arguments = [*isolated("launcher.enter"), entry.as_argument()]
        arguments += [sys.executable, program, *command.arguments]
        with log.open("ab") as output:
            process = LabProcess(
                namespaces.start_process(
                    self.path(host),
                    arguments,
                    output=output,
                    environment=_environment() | dict(command.environment),
                ),
                leaf,
            )
        self._processes = [*(p for p in self._processes if p.poll() is None), process]
        return process

    def capture(self, point: str, file: Path, options: CaptureOptions | None = None) -> Capture:
        """Start capturing a network on its bridge, or an end of a host's cable."""
        node, interface = capture_place(self._built(), point)
        return start_capture(
            point,
            file,
            interface=interface,
            namespace=self.path(node) if node else self.fabric(),
            run_dir=self._run_dir,
            options=options,
        )

    def watch(self, on_event: Callable[[FlowEvent], None]) -> Watch:
        """Report each flow that a lab process opens or accepts."""
        if not self.owners_available:
            raise MachineError(
                "this user has a single group id, so the kernel cannot tell activities apart",
                remedy=rootless.SUBORDINATE_REMEDY,
            )
        plan = self._built()
        start = partial(
            start_watch,
            {host: self.path(host) for host in plan.opening},
            levels=self._leaves.levels,
            groups=self._leaves.owners,
        )
        return watch_through_nat(plan, self.path, on_event, start)

    def path(self, node: str) -> Path:
        """Network namespace of a node."""
        return namespaces.path_of(self._namespace(node))

    def fabric(self) -> Path:
        """Network namespace of the bridges."""
        return namespaces.path_of(remains.fabric_name(self._lab.id))

    def down(self) -> None:
        """Remove everything this lab made."""
        self.links.close()
        remains.remove(self._lab.id)
        for process in self._processes:
            process.stop(0)
        self._processes = []
        self._lab.close()

    def _built(self) -> LabPlan:
        if self._plan is None:
            raise LabError(f"lab {self._lab.id} is not up yet")
        return self._plan

    def _namespace(self, node: str) -> str:
        return remains.namespace_name(self._lab.id, node)


class LabProcess:
    """A program in a host, the leader of its own process group; a `launcher.backend.Process`."""

    def __init__(self, process: subprocess.Popen[bytes], leaf: Path | None = None) -> None:
        self._process, self._leaf = process, leaf

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code, or None while it runs; a negative number is the signal that ended it."""
        code = self._process.poll()
        if code is not None:
            self._discard_leaf()
        return code

    def stop(self, grace_s: float) -> int | None:
        """Ask it to end, then force it and whatever it started; its exit code."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
            self._signal(signal.SIGKILL)
        self._process.wait()
        return self.poll()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _discard_leaf(self) -> None:
        leaves.discard(self._leaf)
        self._leaf = None


def _leaves(groups: Mapping[str, tuple[Path, ...]]) -> leaves.Leaves:
    """Groups for programs below the hosts' own, where this user may make them."""
    root = cgroups.hierarchies().unified
    parents = {host: cgroups.v2_group(paths) for host, paths in groups.items()}
    known = {host: path for host, path in parents.items() if path is not None}
    return leaves.Leaves(root, known) if root is not None else leaves.Leaves.none()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = needs.program_path(kept.get("PATH"))
    return {"HOME": "/nonexistent", "LANG": "C.UTF-8", **kept, "PATH": path}


def _hosts_file(plan: LabPlan) -> str:
    lines = ["127.0.0.1 localhost"]
    lines += [f"{address} {name}" for name, address in plan.host_addresses]
    return "\n".join(lines) + "\n"
