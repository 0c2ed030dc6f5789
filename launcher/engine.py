"""What labs have in the container engine, found and removed by label over the engine's socket.

Without the engine's library, which takes longer to load than all of this takes to run.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import quote

from launcher.labstate import LAB_LABEL
from topologies.errors import LabError

log = logging.getLogger(__name__)

_USUAL: Final = Path("/var/run/docker.sock")
_ASK_S, _REMOVE_S = 2.0, 60.0
_AT_ONCE: Final = 8
_GONE: Final = (204, 404, 409)  # removed; removed by somebody else; being removed
_FAILURES: Final = (OSError, http.client.HTTPException, ValueError)
_KINDS: Final = {"containers": "/containers/json?all=1&", "networks": "/networks?"}


class EngineGoneError(LabError):
    """The container engine has gone away, and with it the lab."""

    def __init__(self, why: object) -> None:
        super().__init__(f"the container engine has gone away: {why}")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def socket_path() -> Path | None:
    """Where the engine's socket is, if there is one that this user may use."""
    address = os.environ.get("DOCKER_HOST", f"unix://{_USUAL}")
    path = Path(address.removeprefix("unix://"))
    usable = address.startswith("unix://") and os.access(path, os.R_OK | os.W_OK)
    return path if usable else None


def find() -> set[str]:
    """Ids of the labs that have containers or networks; none if the engine does not answer."""
    path = socket_path()
    if path is None:
        return set()
    return {lab for kind in _KINDS for _, lab in _labelled(path, kind, LAB_LABEL)}


def answers() -> bool:
    """Whether the engine is there."""
    path = socket_path()
    try:
        return path is not None and bool(_ask(path, "GET", "/_ping", (200,), _ASK_S))
    except _FAILURES:
        return False


def remove(lab: str) -> Mapping[str, int]:
    """Remove a lab's containers, then its networks; how many of each there were.

    Raises
    ------
    LabError
        The engine refused.
    """
    path = socket_path()
    if path is None:
        return {}
    removed = {}
    for kind in _KINDS:
        ids = [item for item, _ in _labelled(path, kind, f"{LAB_LABEL}={lab}")]
        try:
            _remove_all(path, kind, ids)
        except _FAILURES as error:
            raise LabError(f"{kind} of lab {lab} could not be removed: {error}") from error
        removed[kind] = len(ids)
    return removed


def _labelled(path: Path, kind: str, label: str) -> list[tuple[str, str]]:
    """Id and lab of each container or network with a label; none if the engine does not answer.

    It is asked again, and by every command, so nothing that it hides now is hidden for ever.
    """
    filters = quote(json.dumps({"label": [label]}))
    try:
        found = json.loads(_ask(path, "GET", f"{_KINDS[kind]}filters={filters}", (200,), _ASK_S))
    except _FAILURES as error:
        log.warning("the container engine at %s does not answer: %s", path, error)
        return []
    return [(item["Id"], item["Labels"][LAB_LABEL]) for item in found]


def _remove_all(path: Path, kind: str, ids: Iterable[str]) -> None:
    options = "?force=1&v=1" if kind == "containers" else ""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(
            lambda item: _ask(path, "DELETE", f"/{kind}/{item}{options}", _GONE, _REMOVE_S), ids
        ):
            pass


def _ask(path: Path, method: str, what: str, good: Iterable[int], timeout_s: float) -> bytes:
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request(method, what)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status not in good:
        raise ValueError(
            f"{method} {what}: {answer.status} {body.decode(errors='replace').strip()}"
        )
    return body
