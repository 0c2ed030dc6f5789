"""The evidence: every new flow of every host, with the group that opened it, from the kernel."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from launcher import netfilter
from launcher.backend import FlowEvent
from launcher.namespaces import entered
from topologies.errors import LabError, MachineError

STOP_S: Final = 30.0


def start_watch(nodes: Mapping[str, Path], on_event: Callable[[FlowEvent], None]) -> ConntrackWatch:
    """Watch the network namespaces of ``nodes`` (name to path) for flows with an owner.

    ``on_event`` is called in the watch's own thread, in the kernel's order per node.

    Raises
    ------
    MachineError
        The kernel lacks conntrack events or nftables, or this user may not use them.
    """
    sockets: dict[str, socket.socket] = {}
    try:
        for name, namespace in nodes.items():
            with entered(namespace):
                sockets[name] = netfilter.start()
    except OSError as error:
        for opened in sockets.values():
            opened.close()
        raise MachineError(
            f"host {name}: the kernel will not say who opens a flow ({error})",
            remedy="it takes root (or CAP_NET_ADMIN) and the kernel modules nf_tables, nft_ct and "
            "nf_conntrack_netlink: modprobe -a nf_tables nft_ct nf_conntrack_netlink",
        ) from error
    return ConntrackWatch(sockets, on_event)


class ConntrackWatch:
    """One thread that reads the events of all nodes; a `launcher.backend.Watch`."""

    def __init__(
        self, sockets: Mapping[str, socket.socket], on_event: Callable[[FlowEvent], None]
    ) -> None:
        self._sockets = MappingProxyType(dict(sockets))
        self._on_event = on_event
        self._error: Exception | None = RuntimeError("the reading thread ended early")
        self._lost: int | None = None
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="conntrack", daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Read what is waiting and end; the number of events the kernel could not deliver.

        Raises
        ------
        LabError
            ``on_event`` had failed, so events are missing.
        """
        if self._lost is None:
            self._wake.send(b"\0")
            self._thread.join(STOP_S)
            self._lost = sum(netfilter.lost(events) for events in self._sockets.values())
            for opened in (*self._sockets.values(), self._wake, self._woken):
                opened.close()
        if self._error is not None:
            raise LabError(f"the evidence is incomplete: {self._error}") from self._error
        return self._lost

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._woken, selectors.EVENT_READ)
                for name, events in self._sockets.items():
                    selector.register(events, selectors.EVENT_READ, name)
                while self._forward(selector):
                    pass
            for name, events in self._sockets.items():
                self._report(name, events)
            self._error = None
        except OSError as error:  # what `on_event` meets when it writes: a full disk
            self._error = error

    def _forward(self, selector: selectors.BaseSelector) -> bool:
        """Report what is ready; False once `stop` has been called."""
        ready = [key for key, _ in selector.select()]
        for key in ready:
            if key.data is not None:
                self._report(key.data, self._sockets[key.data])
        return all(key.data is not None for key in ready)

    def _report(self, host: str, events: socket.socket) -> None:
        for flow in netfilter.read(events):
            self._on_event(flow_event(host, flow))


def flow_event(host: str, flow: netfilter.NewFlow) -> FlowEvent:
    """What the kernel of a host said, with the host's name."""
    return FlowEvent(
        time_ns=flow.time_ns,
        host=host,
        protocol=flow.protocol,
        src=flow.src,
        sport=flow.sport,
        dst=flow.dst,
        dport=flow.dport,
        owner=flow.owner,
    )
