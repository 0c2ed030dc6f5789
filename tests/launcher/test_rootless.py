"""Labs without root: the same back end, as an unprivileged user, for real.

The tests run as root and become the user nobody in a mount namespace of their own, where the
interpreter, the libraries and the project can be read wherever they are installed.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from launcher import rootless
from launcher.labstate import STATE_VARIABLE
from launcher.rootless import subordinate_range

ROOT = Path(__file__).parents[2]
NOBODY = 65_534

BECOME_NOBODY = """
import json, os, sys
from pathlib import Path
from launcher import syscalls
binds, environment, command = map(json.loads, sys.argv[1:])
syscalls.unshare(syscalls.CLONE_NEWNS)
syscalls.mount("", Path("/"), "none", syscalls.MS_PRIVATE | syscalls.MS_REC)
for source, target in binds:
    syscalls.mount(source, Path(target), "none", syscalls.MS_BIND)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
os.chdir("/")
os.execve(command[0], command, environment)
"""

LAB = """
import json, os, sys, time
from pathlib import Path
from launcher.addressing import lab_plan
from launcher.backend import Command
from launcher.capture import CaptureOptions
from launcher.impair.verify import verify
from launcher.labs import Lab
from launcher.netns import NetnsBackend
from launcher.rootless import is_rootless, reexec_rootless
from topologies import Topology
from topologies.errors import MachineError

if not is_rootless():
    reexec_rootless()
folder, mode = Path(sys.argv[1]), sys.argv[2]
(folder / "programs").mkdir(parents=True)
(folder / "programs/serve.py").write_text(
    "import socket\\n"
    "listener = socket.create_server(('', 80))\\n"
    "print('ready', flush=True)\\n"
    "while True:\\n"
    "    listener.accept()[0].sendall(b'hello')\\n"
)
(folder / "programs/fetch.py").write_text(
    "import os, socket\\n"
    "print(socket.create_connection(('b', 80), timeout=10).recv(5).decode(), os.getgid())\\n"
)
(folder / "manifest.json").write_text('{"status": "incomplete", "reason": ""}')
impairments = {"rate_mbit": 50} | ({"delay_ms": 5} if mode == "delayed" else {})
topology = Topology.model_validate({
    "name": "rootless",
    "networks": {"lan": {"subnet": "198.18.8.0/24", "impairments": impairments}},
    "hosts": {"a": {"networks": ["lan"]}, "b": {"networks": ["lan"]}},
})
lab = Lab.create(backend="netns", run_dir=folder)
backend = NetnsBackend(lab, programs=folder / "programs")
backend.up(lab_plan(topology), folder)
links = verify(backend.links)
events = []
try:
    watch = backend.watch(events.append)
    evidence = "watched"
except MachineError as error:
    watch, evidence = None, str(error)
capture = backend.capture("lan", folder / "captures/lan.pcap", CaptureOptions())
backend.spawn("b", Command("serve", (), 20_001, "serve.log"))
log = folder / "logs/b/serve.log"
while "ready" not in log.read_text():
    time.sleep(0.01)
if mode == "hang":
    print(json.dumps({"lab": lab.id}), flush=True)
    time.sleep(600)
fetch = backend.spawn("a", Command("fetch", (), 20_002, "fetch.log"))
while fetch.poll() is None:
    time.sleep(0.01)
packets = capture.stop().packets
if watch:
    watch.stop()
backend.down()
print(json.dumps({
    "delays_ms": [link.measured.delay_ms for link in links],
    "fetched": (folder / "logs/a/fetch.log").read_text().split(),
    "packets": packets,
    "evidence": evidence,
    "owners": [event.owner for event in events if event.what == "opened"],
    "notes": backend.notes,
}))
"""

WIPE = """
import json
from launcher.labs import wipe
report = wipe()
print(json.dumps([report.labs, [str(path) for path in report.run_dirs]]))
"""


class Stranger:
    """Starts Python as the user nobody, below a folder which that user may read and write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self._binds: list[tuple[str, str]] = []
        for name, source in (
            ("python", sys.base_prefix),
            ("libraries", sysconfig.get_path("purelib")),
            ("project", str(ROOT)),
        ):
            (folder / name).mkdir()
            self._binds.append((source, str(folder / name)))
        (folder / "runtime").mkdir()
        os.chown(folder, NOBODY, NOBODY)
        os.chown(folder / "runtime", NOBODY, NOBODY)

    @property
    def python(self) -> str:
        return str(self.folder / "python/bin" / Path(sys.executable).resolve().name)

    def give_groups(self) -> None:
        """Let the user have group ids to spare, as ``useradd`` does, in its own view only."""
        (self.folder / "subgid").write_text("nobody:100000:65536\n")
        self._binds.append((str(self.folder / "subgid"), "/etc/subgid"))

    def command(self, code: str, *arguments: str) -> list[str]:
        """A command that runs ``code`` as nobody, keeping its process id all the way."""
        program = self.folder / f"program-{abs(hash(code))}.py"
        program.write_text(code)
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{self.folder / 'libraries'}:{self.folder / 'project'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LD_LIBRARY_PATH": str(self.folder / "python/lib"),  # of a Python built shared
            "XDG_RUNTIME_DIR": str(self.folder / "runtime"),
        }
        command = [self.python, str(program), *arguments]
        parts = [json.dumps(part) for part in (self._binds, environment, command)]
        return [sys.executable, "-c", BECOME_NOBODY, *parts]

    def run(self, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(code, *arguments),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )

    @contextmanager
    def running(self, code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            self.command(code, *arguments), stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def processes(self) -> set[int]:
        """Ids of its living processes."""
        found = set()
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    if str(self.folder).encode() in (process / "cmdline").read_bytes():
                        found.add(int(process.name))
                except OSError:
                    continue
        return found - {os.getpid()}


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    folder = Path(tempfile.mkdtemp(prefix="gsta-stranger-"))
    folder.chmod(0o755)
    try:
        stranger = Stranger(folder)
        problem = stranger.run(
            "from launcher.rootless import rootless_problem\nprint(rootless_problem())"
        )
        if problem.stdout.strip() != "None":
            pytest.skip(f"no rootless lab here: {problem.stdout}{problem.stderr}")
        yield stranger
    finally:
        shutil.rmtree(folder)


@pytest.mark.lab
@pytest.mark.lab
def test_a_lab_with_one_group_works_without_evidence(stranger: Stranger) -> None:
    done = stranger.run(LAB, str(stranger.run_dir), "delayed")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["fetched"] == ["hello", "0"]
    assert seen["packets"] >= 6
    down_ms, up_ms = seen["delays_ms"]
    assert 5 <= down_ms < 50
    assert up_ms < 45
    assert "single group id" in seen["evidence"]
    assert "apt-get install uidmap" in seen["evidence"]
    assert seen["notes"] == ["control groups are not writable here: hosts run without limits"]


@pytest.mark.lab
@pytest.mark.lab
@pytest.mark.skipif(shutil.which("newgidmap") is None, reason="the package uidmap is not installed")
def test_a_lab_with_group_ids_to_spare_has_evidence(stranger: Stranger) -> None:
    stranger.give_groups()
    done = stranger.run(LAB, str(stranger.run_dir), "whole")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["fetched"] == ["hello", "20002"]
    assert seen["evidence"] == "watched"
    assert seen["owners"] == [20_002]


@pytest.mark.lab
@pytest.mark.lab
def test_killing_the_launcher_takes_everything_with_it(stranger: Stranger) -> None:
    with stranger.running(LAB, str(stranger.run_dir), "hang") as process:
        assert process.stdout is not None
        lab = json.loads(process.stdout.readline())["lab"]
        handles = [os.pidfd_open(pid) for pid in stranger.processes()]
        assert len(handles) >= 4  # supervisor, first process, launcher, server
        process.kill()
        process.wait()
        for handle in handles:
            assert select.select([handle], [], [], 10)[0]  # it has ended
            os.close(handle)
    assert stranger.processes() == set()
    wiped = stranger.run(WIPE)
    assert json.loads(wiped.stdout) == [[lab], [str(stranger.run_dir)]], wiped.stderr
    manifest = json.loads((stranger.run_dir / "manifest.json").read_text())
    assert manifest["reason"] == "the launcher was killed before the run was complete"
    assert list((stranger.folder / "runtime/gsta/labs").iterdir()) == []


@pytest.mark.lab
@pytest.mark.lab
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_command_and_its_exit_code_comes_back(
    stranger: Stranger, number: signal.Signals
) -> None:
    code = (
        "import signal, sys, time\n"
        "from launcher.rootless import is_rootless, reexec_rootless\n"
        "if not is_rootless():\n    reexec_rootless()\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    with stranger.running(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.wait(timeout=20) == 9


@pytest.mark.lab
@pytest.mark.lab
def test_a_command_killed_inside_is_reported_as_a_shell_would(stranger: Stranger) -> None:
    code = (
        "import os\n"
        "from launcher.rootless import is_rootless, reexec_rootless\n"
        "if not is_rootless():\n    reexec_rootless()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert stranger.run(code).returncode == 128 + signal.SIGKILL


@pytest.mark.lab
@pytest.mark.lab
def test_where_user_namespaces_are_off_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    switch_off = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", switch_off, "sh"]
    done = subprocess.run(
        [*command, *rootless.rootless_command(["true"])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, "[Errno 28] unshare: No space left on device\n")


def test_the_range_of_a_user_is_found_by_name_or_number() -> None:
    lines = ["", "# a comment", "ann:100000:65536", "1001:165536:65536", "bad:x:y"]
    assert subordinate_range(lines, user="ann", user_id=1000) == (100_000, 65_536)
    assert subordinate_range(lines, user="bob", user_id=1001) == (165_536, 65_536)
    assert subordinate_range(lines, user="bad", user_id=7) is None
    assert subordinate_range(lines, user="eve", user_id=8) is None


@pytest.mark.lab
def test_root_needs_no_namespace_and_has_every_group() -> None:
    assert rootless.rootless_problem() is None
    assert not rootless.is_rootless()
    assert rootless.owners_available()
