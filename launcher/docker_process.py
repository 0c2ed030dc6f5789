"""Programs in containers: started under the group that owns their flows, and ended for certain."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from launcher import killing, leaves
from launcher.backend import Command, HostGoneError
from launcher.engine import EngineGoneError
from launcher.images import PROGRAMS_INSIDE
from topologies.errors import LabError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

HOST_LABEL: Final = "gsta.host"
LOGS_INSIDE: Final = "/logs"
EXIT_S: Final = 10.0
STOPPED: Final = "kill -STOP $$; "
BECOME: Final = 'log=$1; shift; exec "$@" >>"$log" 2>&1 </dev/null'
ENVIRONMENT: Final = {"HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}  # noqa: S108


def spawn(
    client: DockerClient, container: Container, command: Command, *, leaf: Path | None = None
) -> DockerProcess:
    """Run a lab program in a host's container, under the group that owns its flows.

    The group is set before the program's first instruction, so no flow is ever without an owner;
    so is the control group ``leaf``, for which its shell stops itself until it has been moved.
    """
    from docker.errors import APIError

    program = f"{PROGRAMS_INSIDE}/{command.program}.py"
    try:
        created = client.api.exec_create(
            container.id,
            # The shell becomes the program, which so writes its log itself.
            [
                *("sh", "-c", (STOPPED if leaf else "") + BECOME, "sh"),
                *(f"{LOGS_INSIDE}/{command.log}", "python3", program, *command.arguments),
            ],
            user=f"{os.geteuid()}:{command.owner}",
            environment=ENVIRONMENT | dict(command.environment),
            workdir="/tmp",  # noqa: S108 - the container's own
            stdout=False,
            stderr=False,
        )
        client.api.exec_start(created["Id"], detach=True)
        process = DockerProcess(client, created["Id"])
    except APIError as error:
        host, why = container.labels[HOST_LABEL], error.explanation or error
        if error.status_code in (404, 409):  # removed, or not running any more
            raise HostGoneError(host, why) from error
        raise LabError(
            f"program '{command.program}' did not start on host '{host}': {why}"
        ) from error
    except OSError as error:  # what the engine's library lets through of its connection
        raise EngineGoneError(error) from error
    if leaf is not None:
        process.admit(leaf)
    return process


class DockerProcess:
    """A program in a container, the leader of its own process group."""

    def __init__(self, client: DockerClient, exec_id: str) -> None:
        self._client, self._exec_id = client, exec_id
        self._code: int | None = None
        self._handle: int | None = None
        self._inside = ""
        self._leaf: Path | None = None
        state = client.api.exec_inspect(exec_id)
        self.pid = int(state["Pid"])
        if state["Running"]:
            # Ended meanwhile: the engine knows how, and no handle is needed.
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                self._inside = _control_groups(self.pid)
                self._handle = os.pidfd_open(self.pid)

    def admit(self, leaf: Path) -> None:
        """Move it into a control group once it has stopped itself for that, and let it go on."""
        self._leaf = leaf
        deadline = time.monotonic() + EXIT_S
        while (state := _state(self.pid)) != "T":
            if state in ("", "Z") or time.monotonic() > deadline:
                return
            time.sleep(0.002)
        with contextlib.suppress(OSError):
            leaves.enter(leaf, self.pid)
            self._inside = _control_groups(self.pid)
        self._signal(signal.SIGCONT)

    def poll(self) -> int | None:
        """Exit code, or None while it runs; 128 + the signal that ended it."""
        if self._code is None and self._ended(0):
            self._code = self._ask_code()
            leaves.discard(self._leaf)
        return self._code

    def stop(self, grace_s: float) -> int | None:
        """Ask it to end, then force it and whatever it started; its exit code."""
        if self.poll() is None:
            self._signal(signal.SIGTERM)
            self._ended(grace_s)
            killing.kill(self._group())
            self._ended(EXIT_S)
        return self.poll()

    def _group(self) -> Iterator[int]:
        """It and what it started, as far as that runs; never a stranger with an old number."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # After the name, which may hold anything: state, parent, group.
                group = int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[2])
                pid = int(stat.parent.name)
                if group == self.pid and _control_groups(pid) == self._inside:
                    yield pid

    def _ended(self, wait_s: float) -> bool:
        """Whether it has ended, asked of the kernel: asking the engine takes milliseconds."""
        if self._handle is not None:
            poller = select.poll()
            poller.register(self._handle, select.POLLIN)
            if not poller.poll(wait_s * 1e3):
                return False
            os.close(self._handle)
            self._handle = None
        return True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _ask_code(self) -> int | None:
        """Exit code, once the engine has noticed the end."""
        from docker.errors import NotFound

        deadline = time.monotonic() + EXIT_S
        try:
            while (state := self._client.api.exec_inspect(self._exec_id))["Running"]:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.01)
        except NotFound:  # with its container
            return 128 + signal.SIGKILL
        except OSError as error:
            raise EngineGoneError(error) from error
        return int(state["ExitCode"] or 0)


def _state(pid: int) -> str:
    """The letter for what a process is doing; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _control_groups(pid: int) -> str:
    """Where a process is accounted: tells containers apart, and anybody may read it."""
    return Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
