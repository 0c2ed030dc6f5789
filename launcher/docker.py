"""The Docker back end: each host a container without a network of Docker's; we wire it ourselves.

The docker library is used by the modules ``docker*`` and `launcher.images`, and by nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from launcher import cgroups, engine, killing, leaves, namespaces, needs, remains
from launcher.backend import Capture, Command, FlowEvent, Process, Watch
from launcher.capture import CaptureOptions, start_capture
from launcher.conntrack import start_watch
from launcher.docker_process import HOST_LABEL, LOGS_INSIDE, spawn
from launcher.engine import EngineGoneError
from launcher.images import PROGRAMS_INSIDE, ensure_image, require_base
from launcher.impair import Links
from launcher.labs import Lab
from launcher.natwatch import watch_through_nat
from launcher.plan import LabPlan, Node
from launcher.records import EngineRecord
from launcher.wiring import capture_place, wire
from topologies.errors import LabError, MachineError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

POOL: Final = 64  # connections to the engine; the library's own 10 would limit the threads
THREADS: Final = 8
LIFETIME_S: Final = 6 * 3_600  # a container ends by itself then, if nobody wipes
TMPFS: Final = {"/tmp": "rw,nosuid,nodev,size=64m,mode=1777", "/run": "rw,nosuid,nodev,size=16m"}  # noqa: S108
SCAN_CAPABILITY: Final = (
    "NET_RAW"  # a port scan sends raw packets; most routers need nothing at all
)
ROUTING_CAPABILITIES: Final = ("NET_RAW", "NET_ADMIN")  # a routing daemon speaks OSPF, sets routes
NO_ENGINE: Final = (
    "install and start one (apt-get install docker.io; systemctl start docker) and be root or in "
    "the group 'docker'; or use the netns back end, which needs none"
)


def connect() -> DockerClient:
    """A connection to this machine's engine; `MachineError` if none answers."""
    import docker
    from docker.errors import DockerException

    path = engine.socket_path()
    if path is None:
        raise MachineError("no Docker engine can be reached", remedy=NO_ENGINE)
    try:
        client = docker.DockerClient(base_url=f"unix://{path}", version="auto", max_pool_size=POOL)
        client.ping()
    except DockerException as error:
        raise MachineError(f"no Docker engine answers ({error})", remedy=NO_ENGINE) from error
    return client


def ready() -> None:
    """Return if labs of containers can be made here; `MachineError` says what is missing.

    Pulls the Debian base image if there is none.
    """
    with contextlib.closing(connect()) as client:
        require_base(client)


class DockerBackend:
    """A lab of containers; a `launcher.backend.Backend`. Needs root, for the wiring.

    ``lifetime_s`` bounds how long an abandoned lab's containers run; ``programs`` is a folder of
    lab programs to use in place of the image's own.
    """

    name = "docker"
    wires = True
    engines: tuple[EngineRecord, ...] = ()

    def __init__(
        self, lab: Lab, *, lifetime_s: int = LIFETIME_S, programs: Path | None = None
    ) -> None:
        self.images: Mapping[str, str] = MappingProxyType({})
        self.notes: tuple[str, ...] = ()
        self.links = Links()
        self._lab, self._lifetime_s, self._programs = lab, lifetime_s, programs
        self._client = connect()
        self._plan: LabPlan | None = None
        self._run_dir = lab.run_dir
        self._containers: dict[str, Container] = {}
        self._leaves = leaves.Leaves.none()

    def up(self, plan: LabPlan, run_dir: Path) -> Mapping[str, str]:
        """Create every network and host; the container id of each host."""
        self._plan, self._run_dir = plan, run_dir
        self.images = ensure_images(self._client, plan)
        starter = Starter(
            self._client,
            self._lab,
            run_dir=run_dir,
            images=self.images,
            lifetime_s=self._lifetime_s,
            programs=self._programs,
        )
        with ThreadPoolExecutor(THREADS) as pool:
            started = pool.map(
                lambda node: starter.start(node, plan, network_mode="none"), plan.nodes
            )
            self._containers = {c.labels[HOST_LABEL]: c for c in started}
        self._leaves = self._make_leaves()
        namespaces.create(remains.fabric_name(self._lab.id))
        self.links = wire(
            plan, self.fabric(), {node.name: self.path(node.name) for node in plan.nodes}
        )
        return {name: str(container.id) for name, container in self._containers.items()}

    def spawn(self, host: str, command: Command) -> Process:
        """Start a program in a host, its output appended to its log file."""
        container = self._container(host)
        leaf = self._leaves.make(host, command.owner)
        return spawn(self._client, container, command, leaf=leaf)

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
        return Path(f"/proc/{self._containers[node].attrs['State']['Pid']}/ns/net")

    def fabric(self) -> Path:
        """Network namespace of the bridges."""
        return namespaces.path_of(remains.fabric_name(self._lab.id))

    def down(self) -> None:
        """Remove everything this lab made.

        Raises
        ------
        EngineGoneError
            The engine does not answer. Nothing runs any more; a wipe removes the dead containers
            once it does.
        """
        self.links.close()
        gone = not engine.answers()
        if gone:
            killing.kill(int(c.attrs["State"]["Pid"]) for c in self._containers.values())
        else:
            engine.remove(self._lab.id)
        remains.remove(self._lab.id)
        if gone:
            self._containers = {}
            self._client.close()
            self._lab.abandon()
            raise EngineGoneError("its containers are dead; remove them with: gsta lab wipe")
        self._containers = {}
        self._client.close()
        self._lab.close()

    def _make_leaves(self) -> leaves.Leaves:
        """Groups for programs: below the container's own where the engine uses the v2 hierarchy."""
        root = cgroups.hierarchies().unified
        parents = {}
        for host, container in self._containers.items():
            own = cgroups.v2_group_of(int(container.attrs["State"]["Pid"]))
            if group := own or cgroups.bare_group(self._lab.id, host):
                parents[host] = group
        return leaves.Leaves(root, parents) if root is not None else leaves.Leaves.none()

    def _container(self, host: str) -> Container:
        self._built()
        return self._containers[host]

    def _built(self) -> LabPlan:
        if self._plan is None:
            raise LabError(f"lab {self._lab.id} is not up yet")
        return self._plan


def ensure_images(client: DockerClient, plan: LabPlan) -> Mapping[str, str]:
    """Build what the plan's hosts need; the image id of each role."""
    packages = needs.packages(plan.needs)
    roles = sorted({node.image for node in plan.nodes})
    return {role: ensure_image(client, role, packages) for role in roles}


def _capabilities(node: Node) -> list[str]:
    if node.routing is not None:
        return list(ROUTING_CAPABILITIES)
    return [] if node.forwards else [SCAN_CAPABILITY]


class Starter:
    """Starts the containers of a lab, all of them bounded in rights, resources and time."""

    def __init__(
        self,
        client: DockerClient,
        lab: Lab,
        *,
        run_dir: Path,
        images: Mapping[str, str],
        lifetime_s: int,
        programs: Path | None,
    ) -> None:
        self._client, self._lab, self._images = client, lab, images
        self._run_dir, self._lifetime_s, self._programs = run_dir, lifetime_s, programs

    def start(self, node: Node, plan: LabPlan, **network: Any) -> Container:
        """Start a host; ``network`` says how it is connected. Its ``attrs`` have its process id."""
        return self.run(
            node.name,
            image=self._images[node.image],
            # The shell stays process 1 and reaps what its children leave behind.
            command=["sh", "-c", f"sleep {self._lifetime_s} & wait $!"],
            hostname=node.name,
            extra_hosts=[f"{name}:{address}" for name, address in plan.host_addresses],
            volumes=self._volumes(node.name),
            cap_add=_capabilities(node),
            nano_cpus=int(min(node.limits.cpus, os.cpu_count() or 1) * 1e9),
            mem_limit=node.limits.memory_mb << 20,
            memswap_limit=node.limits.memory_mb << 20,
            pids_limit=node.limits.pids,
            **network,
        )

    def _volumes(self, host: str) -> dict[str, dict[str, str]]:
        logs = self._run_dir / "logs" / host
        logs.mkdir(parents=True, exist_ok=True)
        volumes = {str(logs.resolve()): {"bind": LOGS_INSIDE, "mode": "rw"}}
        if self._programs is not None:
            volumes[str(self._programs.resolve())] = {"bind": PROGRAMS_INSIDE, "mode": "ro"}
        return volumes

    def run(self, name: str, *, image: str, command: list[str], **options: Any) -> Container:
        """Start a container of the lab; without capabilities but those in ``options``."""
        from docker.errors import APIError
        from docker.types import LogConfig

        try:
            container = self._client.containers.create(
                image,
                command,
                name=f"gsta-{self._lab.id}-{name}",
                labels={**self._lab.labels, HOST_LABEL: name},
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                read_only=True,
                tmpfs=TMPFS,
                auto_remove=True,
                log_config=LogConfig(type="none"),
                detach=True,
                **options,
            )
            container.start()
            container.reload()
        except APIError as error:
            raise LabError(f"host '{name}' did not start: {error.explanation or error}") from error
        if not container.attrs["State"]["Pid"]:
            raise LabError(f"host '{name}' ended as soon as it started")
        return container
