"""Start-up, teardown and memory of a lab against its number of hosts, beside Mininet.

    python -m benchmarks.lab_scale --backend netns --hosts 10,50,100,200,500
    python -m benchmarks.lab_scale --backend docker --hosts 10,50,200
    python -m benchmarks.lab_scale --backend mininet --hosts 10,50,100,200,500

Needs root; docker an engine and its image, mininet the Debian packages mininet and bridge-utils.
Each size runs in a process of its own. The kernel's memory is the growth of slab, page tables,
stacks and per-processor memory; that of processes is their proportional share, of containers with
their supervisors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.timing import publish
from launcher.addressing import lab_plan
from launcher.backend import Backend
from launcher.labs import Lab
from launcher.plan import LabPlan
from topologies import Topology

PER_NETWORK: Final = 50
KERNEL_KEYS: Final = ("Slab", "PageTables", "KernelStack", "Percpu")
# Starts its hosts and switches with its own defaults, and no controller.
MININET: Final = """
import json, sys, time
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import Topo
count, per = int(sys.argv[1]), int(sys.argv[2])
class Hosts(Topo):
    def build(self):
        for number in range((count + per - 1) // per):
            switch = self.addSwitch(f"s{number}")
            for host in range(number * per, min(count, (number + 1) * per)):
                self.addLink(self.addHost(f"h{host}"), switch)
def memory():
    lines = (line.split() for line in open("/proc/meminfo"))
    return {line[0].rstrip(":"): int(line[1]) for line in lines}
before, began = memory(), time.perf_counter()
net = Mininet(topo=Hosts(), switch=LinuxBridge, controller=None)
net.start()
up, during = time.perf_counter() - began, memory()
memory_of_hosts = 0
for host in net.hosts:
    for line in open(f"/proc/{host.pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            memory_of_hosts += int(line.split()[1]) / 1024
began_down = time.perf_counter()
net.stop()
down = time.perf_counter() - began_down
print(json.dumps([up, down, before, during, memory_of_hosts]))
"""


def main() -> None:
    """Measure every size and publish a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--backend", choices=("netns", "docker", "mininet"), default="netns")
    options.add_argument("--hosts", default="10,50,100,200,500")
    options.add_argument("--impaired", action="store_true", help="every network has 10 ms of delay")
    options.add_argument("--one", type=int, help="measure one size here and print it as JSON")
    asked = options.parse_args()
    if asked.one:
        impairments = {"delay_ms": 10} if asked.impaired else {}
        print(json.dumps(_measure(asked.backend, asked.one, impairments)))
        return
    rows: list[list[object]] = []
    for count in map(int, asked.hosts.split(",")):
        load = os.getloadavg()[0]
        up_s, down_s, before, during, processes_mb = _in_a_process(
            asked.backend, count, impaired=asked.impaired
        )
        kernel = sum(during[key] - before[key] for key in KERNEL_KEYS) / 1024 / count
        mine = f"{processes_mb / count:.2f}"
        told = f"{kernel:.2f}" if count >= 50 else "-"  # few are lost in what else changes
        rows.append([f"{count}", up_s, count / up_s, down_s, told, mine, f"{load:.1f}"])
    columns = ["hosts", "up, s", "hosts/s", "down, s", "kernel's MB a host"]
    columns += ["its processes' MB a host", "load of the machine before"]
    command = f"python -m benchmarks.lab_scale --backend {asked.backend}"
    title = f"Size of a lab: {asked.backend}"
    if asked.impaired:
        command, title = f"{command} --impaired", f"{title}, every network impaired"
    publish(title, command, columns, rows)


def topology(count: int, impairments: Mapping[str, object]) -> Topology:
    """So many hosts, fifty to a network, and a router between the networks."""
    networks = [f"lan-{number}" for number in range((count + PER_NETWORK - 1) // PER_NETWORK)]
    hosts = {
        f"{name}-host": {
            "networks": [name],
            "count": min(PER_NETWORK, count - number * PER_NETWORK),
        }
        for number, name in enumerate(networks)
    }
    described = {
        "name": "scale",
        "networks": {
            name: {"subnet": f"198.18.{number}.0/24", "impairments": impairments}
            for number, name in enumerate(networks)
        },
        "hosts": hosts,
    }
    if len(networks) > 1:
        described["routers"] = {"core": {"networks": networks}}
    return Topology.model_validate(described)


def _in_a_process(backend: str, count: int, *, impaired: bool) -> list[Any]:
    if backend == "mininet":
        # The package is Debian's own Python's.
        command = ["/usr/bin/python3", "-c", MININET, str(count), str(PER_NETWORK)]
    else:
        module = ["-m", "benchmarks.lab_scale", "--backend", backend]
        command = [sys.executable, *module, "--one", str(count)]
        command += ["--impaired"] if impaired else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    measured: list[Any] = json.loads(done.stdout)
    return measured


def _measure(name: str, count: int, impairments: Mapping[str, object]) -> list[object]:
    plan = lab_plan(topology(count, impairments))
    with (
        tempfile.TemporaryDirectory() as folder,
        Lab.create(backend=name, run_dir=Path(folder)) as lab,
    ):
        backend = _backend(name, plan)(lab)
        before = _memory()
        began = time.perf_counter()
        try:
            backend.up(plan, Path(folder))
            up_s, during = time.perf_counter() - began, _memory()
            processes_mb = _processes_mb(backend)
        finally:
            began = time.perf_counter()
            backend.down()
            down_s = time.perf_counter() - began
    return [up_s, down_s, before, during, processes_mb]


def _backend(name: str, plan: LabPlan) -> Callable[[Lab], Backend]:
    if name == "docker":
        from launcher.docker import DockerBackend, connect, ensure_images

        with contextlib.closing(connect()) as client:
            ensure_images(client, plan)  # once per machine: no part of a lab's start
        return DockerBackend
    from launcher.netns import NetnsBackend

    return NetnsBackend


def _processes_mb(backend: Backend) -> float:
    """What the processes of a lab's containers hold, each with its supervisor and its children."""
    mine = set()
    for container in getattr(backend, "_containers", {}).values():
        first = container.attrs["State"]["Pid"]
        status = Path(f"/proc/{first}/stat").read_text(encoding="ascii").rpartition(")")[2]
        children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii")
        mine |= {first, int(status.split()[1]), *map(int, children.split())}
    return sum(_proportional_kib(process) for process in mine) / 1024


def _proportional_kib(process: int) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _memory() -> dict[str, int]:
    """``/proc/meminfo``, in KiB."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)}


if __name__ == "__main__":
    main()
