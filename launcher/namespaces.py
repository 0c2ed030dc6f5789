"""Named network namespaces: make them, be inside one, find who is inside, remove them.

They are the ones that ``ip netns`` shows. Only the calling thread ever changes its namespace.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from launcher import syscalls
from topologies.errors import MachineError

DIRECTORY_VARIABLE: Final = "GSTA_NETNS_DIR"  # set in a rootless lab, which cannot write to /run
_OWN: Final = Path("/proc/thread-self/ns/net")


def directory() -> Path:
    """Folder of the named namespaces."""
    return Path(os.environ.get(DIRECTORY_VARIABLE, "/run/netns"))


def path_of(name: str) -> Path:
    """File that stands for the namespace ``name``."""
    return directory() / name


def create(name: str) -> Path:
    """Make a network namespace with its loopback still down; the file that stands for it.

    Raises
    ------
    MachineError
        This user may not make namespaces.
    """
    path = path_of(name)
    try:
        _share_directory()
        path.touch(mode=0o444, exist_ok=False)
        # A new thread, because it can never leave the namespace it makes.
        with ThreadPoolExecutor(max_workers=1) as pool:
            pool.submit(_bind_new, path).result()
    except PermissionError as error:
        raise MachineError(
            f"a network namespace cannot be made ({error})",
            remedy="run as root, or ask 'gsta doctor' whether a rootless lab is possible",
        ) from error
    return path


def delete(name: str) -> bool:
    """Remove a namespace, with every interface in it; whether there was one."""
    path = path_of(name)
    try:
        syscalls.unmount(path)
    except OSError as error:
        # EINVAL: the name was made but nothing mounted on it, by a launcher killed in between.
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        return True
    return False


def names(prefix: str) -> tuple[str, ...]:
    """Names of the namespaces that begin with ``prefix`` and that this user may remove."""
    folder = directory()
    if not os.access(folder, os.W_OK):
        return ()
    return tuple(sorted(path.name for path in folder.glob(f"{prefix}*")))


@contextmanager
def entered(namespace: Path) -> Iterator[None]:
    """Be in a network namespace for the length of the block, this thread only.

    Sockets opened, processes started and ``/proc/sys/net`` written inside belong to it.
    """
    with namespace.open("rb") as inside, _OWN.open("rb") as outside:
        syscalls.setns(inside.fileno(), syscalls.CLONE_NEWNET)
        try:
            yield
        finally:
            syscalls.setns(outside.fileno(), syscalls.CLONE_NEWNET)


def start_process(
    namespace: Path,
    arguments: Sequence[str],
    *,
    output: IO[bytes] | int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that is in ``namespace`` from its first instruction, in a session of its own.

    Its standard output and error both go to ``output``.
    """
    with entered(namespace):
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def processes_in(namespaces: Iterable[Path]) -> set[int]:
    """Ids of the processes whose network namespace is one of these; never the caller's."""
    wanted = set()
    for path in namespaces:
        with contextlib.suppress(OSError):
            wanted.add(_identity(path))
    if not wanted:
        return set()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if _identity(entry / "ns" / "net") in wanted:
                    found.add(int(entry.name))
    return found


def write_setting(name: str, value: str) -> None:
    """Write ``/proc/sys/net/<name>`` of the calling thread's namespace."""
    (Path("/proc/sys/net") / name).write_text(value)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _share_directory() -> None:
    """As iproute2 does, so that removing a name reaches mount namespaces made meanwhile."""
    folder = directory()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        syscalls.mount("", folder, "none", syscalls.MS_SHARED | syscalls.MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        syscalls.mount(str(folder), folder, "none", syscalls.MS_BIND | syscalls.MS_REC)
        syscalls.mount("", folder, "none", syscalls.MS_SHARED | syscalls.MS_REC)


def _bind_new(path: Path) -> None:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    syscalls.mount(str(_OWN), path, "none", syscalls.MS_BIND)
