"""Control groups: found on every kind of machine, limits written, everything killed and removed."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher import cgroups
from launcher.cgroups import Hierarchies, read_hierarchies
from topologies import Limits

PURE = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0"
HYBRID = [
    "proc /proc proc rw,relatime 0 0",
    "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0",
    "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0",
    "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0",
    "cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0",
]
# A process that starts children as fast as it can and lives for ever.
BREEDER = """
import os, pathlib, sys, time
for group in sys.argv[1:]:
    pathlib.Path(group, "cgroup.procs").write_text("0")
print("in", flush=True)
while True:
    try:
        if os.fork() == 0:
            time.sleep(600)
    except BlockingIOError:
        time.sleep(0.001)
"""


def test_a_machine_with_v2_only() -> None:
    assert read_hierarchies([PURE]) == Hierarchies(Path("/sys/fs/cgroup"), {})


def test_a_machine_with_both_versions() -> None:
    found = read_hierarchies(HYBRID)
    assert found.unified == Path("/sys/fs/cgroup/unified")
    assert found.separate == {
        "cpu": Path("/sys/fs/cgroup/cpu,cpuacct"),
        "memory": Path("/sys/fs/cgroup/memory"),
    }
    assert found.roots() == (
        Path("/sys/fs/cgroup/unified"),
        Path("/sys/fs/cgroup/cpu,cpuacct"),
        Path("/sys/fs/cgroup/memory"),
    )


@pytest.mark.parametrize("where", [Hierarchies(None, {}), Hierarchies(Path("/proc"), {})])
def test_without_the_right_to_make_groups_a_note_says_so(where: Hierarchies) -> None:
    made = cgroups.create("abc123", {"www": Limits()}, where=where)
    assert made.hosts == {"www": ()}
    assert made.notes == ("control groups are not writable here: hosts run without limits",)
    assert cgroups.kill("abc123", where=where) == 0
    assert cgroups.remove("abc123", where=where) == 0
    assert cgroups.leftovers(where=where) == set()


@pytest.fixture
def lab() -> Iterator[str]:
    lab = secrets.token_hex(3)
    yield lab
    cgroups.kill(lab)
    cgroups.remove(lab)


@pytest.mark.lab
def test_the_limits_are_the_kernels(lab: str) -> None:
    made = cgroups.create(lab, {"www": Limits(cpus=0.5, memory_mb=64, pids=30), "dns": Limits()})
    if made.notes:
        pytest.skip(f"this machine: {made.notes[0]}")
    assert lab in cgroups.leftovers()
    written = {
        file.name: file.read_text().split()
        for group in made.hosts["www"]
        for file in group.iterdir()
        if file.name in {"pids.max", "cpu.max", "memory.max"}
        or file.name in {"cpu.cfs_quota_us", "memory.limit_in_bytes"}
    }
    assert written["pids.max"] == ["30"]
    assert written.get("cpu.max") == ["50000", "100000"] or written["cpu.cfs_quota_us"] == ["50000"]
    memory = written.get("memory.max") or written["memory.limit_in_bytes"]
    assert memory == [str(64 << 20)]


@pytest.mark.lab
@pytest.mark.parametrize(("hosts", "programs"), [(1, 1), (3, 3), (100, cgroups.MOST_WEIGHT)])
def test_a_lab_weighs_as_much_as_its_hosts(lab: str, hosts: int, programs: int) -> None:
    made = cgroups.create(lab, {f"h{number}": Limits() for number in range(hosts)})
    tops = [group.parent for group in made.hosts["h0"]]
    files = [top / name for top in tops for name in ("cpu.weight", "cpu.shares")]
    weights = [int(file.read_text()) for file in files if file.exists()]
    if not weights:
        pytest.skip("this machine has no processor control groups")
    assert weights[0] in (100 * programs, 1_024 * programs)


@pytest.mark.lab
def test_everything_that_breeds_is_killed_and_nothing_is_left(lab: str) -> None:
    made = cgroups.create(lab, {"www": Limits(pids=50)})
    groups = [str(group) for group in made.hosts["www"]]
    assert groups
    with subprocess.Popen(
        [sys.executable, "-c", BREEDER, *groups], stdout=subprocess.PIPE
    ) as breeder:
        assert breeder.stdout is not None
        assert breeder.stdout.readline() == b"in\n"
        assert cgroups.kill(lab) >= 1
        assert breeder.wait(timeout=10) == -signal.SIGKILL
    assert cgroups.processes(lab) == set()
    assert cgroups.remove(lab) == 2 * len(groups)
    assert not any(Path(group).exists() for group in groups)
    assert lab not in cgroups.leftovers()
