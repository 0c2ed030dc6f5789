"""The Docker back end for users who are not root but may use the engine: Docker's own networks.

Such a user cannot wire, capture or watch by himself, so helper containers with one right each do:
one on the machine's network for every capture, one beside every host for its evidence. What they
say comes back through named pipes in the lab's folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from launcher import engine
from launcher.backend import Capture, Command, FlowEvent, Process, Watch
from launcher.capture import CaptureOptions, TcpdumpCapture, tcpdump_arguments
from launcher.docker import LIFETIME_S, THREADS, Starter, connect, ensure_images
from launcher.docker_helpers import AgentWatch, Helper
from launcher.docker_process import spawn
from launcher.images import AGENT_COMMAND
from launcher.impair import Links
from launcher.labs import Lab
from launcher.netfilter import SETTINGS, WANTED
from launcher.plan import LabPlan, Node, Segment
from launcher.records import EngineRecord
from topologies.errors import LabError, MachineError

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.networks import Network

READY_S: Final = 20.0
FIFO_INSIDE, CAPTURE_INSIDE = "/said", "/capture.pcap"
NO_ROUTERS: Final = "run as root, or put every host on one network"
# As the wiring does for root: frames as they are on a wire, none of 64 KB.
OFFLOADS_OFF: Final = (
    "for i in $(ls /sys/class/net); do "
    "ethtool -K $i tx off rx off sg off tso off gso off gro off >/dev/null 2>&1; done; "
)


class DockerNativeBackend:
    """A lab of containers on Docker's internal networks; a `launcher.backend.Backend`.

    Networks cannot be joined by a router (Docker isolates them from each other) nor impaired.
    """

    name = "docker"
    wires = False
    engines: tuple[EngineRecord, ...] = ()

    def __init__(
        self, lab: Lab, *, lifetime_s: int = LIFETIME_S, programs: Path | None = None
    ) -> None:
        self.images: Mapping[str, str] = MappingProxyType({})
        self.notes = ("hosts are on Docker's own networks, since only root can wire them",)
        self.links = Links()
        self._lab, self._lifetime_s, self._programs = lab, lifetime_s, programs
        self._client = connect()
        self._plan: LabPlan | None = None
        self._run_dir = lab.run_dir
        self._containers: dict[str, Container] = {}
        self._helpers: dict[str, Helper] = {}

    def up(self, plan: LabPlan, run_dir: Path) -> Mapping[str, str]:
        """Create every network and host; the container id of each host.

        Raises
        ------
        MachineError
            The lab has a router or an impaired network, which takes root.
        """
        _require_possible(plan)
        self._plan, self._run_dir = plan, run_dir
        self.images = ensure_images(self._client, plan)
        self._starter = Starter(
            self._client,
            self._lab,
            run_dir=run_dir,
            images=self.images,
            lifetime_s=self._lifetime_s,
            programs=self._programs,
        )
        networks = {
            segment.name: self._create_network(number, segment)
            for number, segment in enumerate(plan.segments)
        }
        with ThreadPoolExecutor(THREADS) as pool:
            started = pool.map(lambda node: self._start(node, networks), plan.nodes)
            self._containers = {node.name: c for node, c in zip(plan.nodes, started, strict=True)}
            helpers = pool.map(self._start_agent, plan.nodes)
            self._helpers = {node.name: h for node, h in zip(plan.nodes, helpers, strict=True)}
        return {name: str(container.id) for name, container in self._containers.items()}

    def spawn(self, host: str, command: Command) -> Process:
        """Start a program in a host, its output appended to its log file."""
        return spawn(self._client, self._containers[host], command)

    def capture(self, point: str, file: Path, options: CaptureOptions | None = None) -> Capture:
        """Start capturing a network on its bridge; returns when packets are being seen.

        Raises
        ------
        MachineError
            A host's own interface, or rotation: that takes root.
        """
        options = options or CaptureOptions()
        if ":" in point or options.rotates:
            raise MachineError(
                f"the capture of {point} cannot be had on Docker's own networks",
                remedy="run as root, or capture networks without rotation",
            )
        plan = self._built()
        number = next(i for i, segment in enumerate(plan.segments) if segment.name == point)
        # To its standard output, for of a named file it would insist on becoming the owner.
        arguments = tcpdump_arguments(self._bridge(number), "-", options)
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.touch()
        # Root of the helper has no right to other people's files: this one is opened to it.
        file.chmod(0o666)
        helper = self._help(
            f"capture-{point}",
            f"exec tcpdump {' '.join(arguments)} >{CAPTURE_INSIDE} 2>{FIFO_INSIDE}",
            image=next(iter(self.images.values())),
            network_mode="host",
            cap_add=["NET_RAW", "SETUID", "SETGID"],
            volumes={str(file.resolve()): {"bind": CAPTURE_INSIDE, "mode": "rw"}},
        )
        return TcpdumpCapture(helper, network=point, file=file, run_dir=self._run_dir)

    def watch(self, on_event: Callable[[FlowEvent], None]) -> Watch:
        """Report each flow that a lab process opens or accepts."""
        self._built()
        return AgentWatch(self._helpers, on_event)

    def down(self) -> None:
        """Remove everything this lab made."""
        engine.remove(self._lab.id)
        for helper in self._helpers.values():
            helper.close()
        self._containers, self._helpers = {}, {}
        self._client.close()
        self._lab.close()

    def _built(self) -> LabPlan:
        if self._plan is None:
            raise LabError(f"lab {self._lab.id} is not up yet")
        return self._plan

    def _bridge(self, number: int) -> str:
        return f"g{self._lab.id[-9:]}-{number}"  # 15 characters at most

    def _network_name(self, segment: str) -> str:
        return f"gsta-{self._lab.id}-{segment}"

    def _create_network(self, number: int, segment: Segment) -> Network:
        from docker.errors import APIError
        from docker.types import IPAMConfig, IPAMPool

        # Docker wants an address for itself, though it shall not use it: the last one.
        pool = IPAMPool(
            subnet=str(segment.subnet), gateway=str(segment.subnet.broadcast_address - 1)
        )
        try:
            return self._client.networks.create(
                self._network_name(segment.name),
                driver="bridge",
                internal=True,
                ipam=IPAMConfig(pool_configs=[pool]),
                labels=self._lab.labels,
                options={
                    "com.docker.network.bridge.name": self._bridge(number),
                    # Without an address of the machine, hosts cannot reach the machine.
                    "com.docker.network.bridge.inhibit_ipv4": "true",
                    "com.docker.network.driver.mtu": str(segment.mtu),
                },
            )
        except APIError as error:
            raise LabError(
                f"network '{segment.name}' ({segment.subnet}) could not be made: "
                f"{error.explanation or error}"
            ) from error

    def _start(self, node: Node, networks: Mapping[str, Network]) -> Container:
        first, *others = node.links
        endpoint = self._client.api.create_endpoint_config(ipv4_address=str(first.address))
        name = self._network_name(first.network)
        container = self._starter.start(
            node,
            self._built(),
            network=name,
            networking_config={name: endpoint},
            sysctls={
                "net.ipv4.ip_unprivileged_port_start": "0",
                "net.ipv4.ping_group_range": "0 2147483647",
                **_conntrack_settings(),
            },
        )
        for link in others:
            networks[link.network].connect(container, ipv4_address=str(link.address))
        return container

    def _start_agent(self, node: Node) -> Helper:
        helper = self._help(
            f"evidence-{node.name}",
            f"{OFFLOADS_OFF} exec {AGENT_COMMAND} >{FIFO_INSIDE} 2>&1",
            image=self.images[node.image],
            network_mode=f"container:{self._containers[node.name].id}",
            cap_add=["NET_ADMIN"],
            volumes={},
        )
        said = helper.line(READY_S)
        if json.loads(said or "null") != {"ready": True}:
            raise MachineError(
                f"host {node.name}: the kernel will not say who opens a flow ({said})",
                remedy="it takes the kernel modules nf_tables, nft_ct and nf_conntrack_netlink",
            )
        return helper

    def _help(
        self, name: str, script: str, *, volumes: dict[str, dict[str, str]], **options: Any
    ) -> Helper:
        fifo = self._lab.folder / name
        os.mkfifo(fifo)
        fifo.chmod(0o622)  # its folder is ours alone
        handle = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        container = self._starter.run(
            f"_{name}",
            # Bounded like everything else: what it becomes is told to end, from the inside.
            command=["sh", "-c", f"(sleep {self._lifetime_s}; kill -INT 1) & {script}"],
            volumes={**volumes, str(fifo.resolve()): {"bind": FIFO_INSIDE, "mode": "rw"}},
            **options,
        )
        return Helper(self._client, container, handle)


def _require_possible(plan: LabPlan) -> None:
    if routers := [node.name for node in plan.nodes if node.forwards]:
        raise MachineError(
            f"router '{routers[0]}' cannot be made: Docker isolates its networks from one another, "
            "and only root can wire around that",
            remedy=NO_ROUTERS,
        )
    for segment in plan.segments:
        if any(subnet.version == 6 for subnet in segment.subnets):
            raise MachineError(
                f"network '{segment.name}' cannot have IPv6 on Docker's own networks",
                remedy="run as root, or leave its subnet6 out",
            )
        if segment.impairments.active:
            raise MachineError(
                f"network '{segment.name}' cannot be impaired on Docker's own networks",
                remedy="run as root, or leave its impairments out",
            )


def _conntrack_settings() -> dict[str, str]:
    """What puts times and counters into events, as far as the kernel has it."""
    return {
        f"net.netfilter.{name}": value
        for name, value in WANTED.items()
        if (SETTINGS / name).exists()
    }
