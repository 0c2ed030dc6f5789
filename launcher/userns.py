"""Become root of a user namespace and run a command in it, so that nothing of it can stay behind.

Three processes: a supervisor, which keeps the command's place towards whoever started it; the first
process of a new process-id namespace, which dies with the supervisor and takes everything in the
namespace with it; and the command. Standard library only; run by `launcher.rootless`.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from launcher import syscalls

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_CANNOT: Final = 3


@dataclass(frozen=True, slots=True)
class Setup:
    """What the user namespace is like."""

    groups: Sequence[Sequence[int]]  # [first id inside, first outside, count] of the group ids
    map_groups: str | None  # the newgidmap program; None: there is one group, written by ourselves
    namespaces: str  # folder for named network namespaces, private to the command
    environment: Mapping[str, str]

    def as_argument(self) -> str:
        """The text that `main` takes."""
        return json.dumps(asdict(self))


def main(arguments: Sequence[str]) -> int:
    """Run ``arguments[1:]`` as root of a namespace; its exit code, or 3 if that cannot be."""
    setup = Setup(**json.loads(arguments[0]))
    try:
        _become_root(setup)
        syscalls.unshare(syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNET)
        return _supervise(setup, arguments[1:])
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return _CANNOT


def _become_root(setup: Setup) -> None:
    user = os.geteuid()
    with _mapper(setup) as map_groups:
        syscalls.unshare(syscalls.CLONE_NEWUSER)
        map_groups()
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")


@contextmanager
def _mapper(setup: Setup) -> Iterator[Callable[[], None]]:
    """What maps the groups: we ourselves, or a helper that has to stay outside of the namespace."""
    if setup.map_groups is None:
        yield lambda: _map_own_group(setup.groups[0])
        return
    numbers = [str(number) for row in setup.groups for number in row]
    command = [setup.map_groups, str(os.getpid()), *numbers]
    ready, go = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(go)
        if os.read(ready, 1):
            os.execv(command[0], command)  # noqa: S606
        os._exit(_CANNOT)
    os.close(ready)

    def map_groups() -> None:
        os.write(go, b"1")
        _, status = os.waitpid(helper, 0)
        if status:
            raise OSError(f"refused: {' '.join(command)}")

    yield map_groups


def _map_own_group(row: Sequence[int]) -> None:
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(" ".join(map(str, row)))


def _supervise(setup: Setup, command: Sequence[str]) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
    supervised, supervising = os.pipe()
    first = os.fork()
    if first == 0:
        code = _CANNOT
        try:
            os.close(supervising)
            code = _first_process(setup, command, supervised)
        except OSError as error:
            sys.stderr.write(f"{error}\n")
        finally:
            os._exit(code)
    return _wait(first)


def _first_process(setup: Setup, command: Sequence[str], supervised: int) -> int:
    """Process 1 of the new namespace: set it up, run the command, reap whatever else ends."""
    syscalls.die_with_parent(signal.SIGKILL)
    if select.select([supervised], [], [], 0)[0]:
        return _CANNOT  # the pipe's other end closed: the supervisor died before it was watched
    os.setpgid(0, 0)  # the terminal's Ctrl-C is for the supervisor, which hands it on, once
    syscalls.mount("", Path("/"), "none", syscalls.MS_SLAVE | syscalls.MS_REC)
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount("proc", Path("/proc"), "proc", flags)
    syscalls.mount("tmpfs", Path(setup.namespaces), "tmpfs", flags, "mode=755")
    _loopback_up()
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        environment = {**os.environ, **setup.environment}
        os.execvpe(command[0], list(command), environment)  # noqa: S606
    return _wait(child)


def _wait(child: int) -> int:
    """Hand signals on to a child until it ends; its exit code, as a shell would say it."""
    while True:
        received = signal.sigwait({*_FORWARDED, signal.SIGCHLD})
        if received != signal.SIGCHLD:
            os.kill(child, received)
            continue
        # One SIGCHLD may stand for several children; orphans of the namespace are ours too.
        pid, status = os.waitpid(-1, os.WNOHANG)
        while pid:
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            pid, status = os.waitpid(-1, os.WNOHANG)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
