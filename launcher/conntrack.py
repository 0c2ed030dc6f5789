"""The evidence: every flow of every host, with whoever opened or accepted it, from the kernel."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from launcher import netfilter
from launcher.backend import FlowEvent
from launcher.namespaces import entered
from launcher.nftrules import ACCEPTED, OPENED
from topologies.errors import LabError, MachineError

STOP_S: Final = 30.0
BY_GROUP: Final = "conntrack by group id"
BY_BOTH: Final = "conntrack by group id, checked by control group"
WHAT: Final[Mapping[int, Literal["opened", "accepted", "ended", "packet"]]] = MappingProxyType(
    {
        OPENED: "opened",
        ACCEPTED: "accepted",
        netfilter.ENDED: "ended",
        netfilter.PACKET: "packet",
    }
)


def start_watch(
    nodes: Mapping[str, Path],
    on_event: Callable[[FlowEvent], None],
    *,
    levels: Mapping[str, int] = MappingProxyType({}),
    groups: Mapping[int, int] = MappingProxyType({}),
) -> ConntrackWatch:
    """Watch the network namespaces of ``nodes`` (name to path) for flows with an owner.

    Parameters
    ----------
    on_event
        Called in the watch's own thread, in the kernel's order per node.
    levels
        By node: how deep in the v2 hierarchy the control groups of its programs are. Nodes that
        have none are left out.
    groups
        The group id of each control group's program, by the id of the control group; may grow.

    Raises
    ------
    MachineError
        The kernel lacks conntrack events or nftables, or this user may not use them.
    """
    sockets: dict[str, socket.socket] = {}
    checked = set()
    try:
        for name, namespace in nodes.items():
            with entered(namespace):
                sockets[name], by_cgroup = _start(levels.get(name))
                checked.add(by_cgroup)
    except OSError as error:
        for opened in sockets.values():
            opened.close()
        raise MachineError(
            f"host {name}: the kernel will not say who opens a flow ({error})",
            remedy="it takes root (or CAP_NET_ADMIN) and the kernel modules nf_tables, nft_ct and "
            "nf_conntrack_netlink: modprobe -a nf_tables nft_ct nf_conntrack_netlink",
        ) from error
    mechanism = BY_BOTH if checked == {True} else BY_GROUP
    return ConntrackWatch(sockets, on_event, groups=groups, mechanism=mechanism)


def _start(level: int | None) -> tuple[socket.socket, bool]:
    """The events' socket of this thread's namespace, and whether control groups are marked."""
    if level is not None:
        try:
            return netfilter.start(level), True
        except OSError:  # no nft_socket, or one older than control groups
            pass
    return netfilter.start(), False


class ConntrackWatch:
    """One thread that reads the events of all nodes; a `launcher.backend.Watch`."""

    def __init__(
        self,
        sockets: Mapping[str, socket.socket],
        on_event: Callable[[FlowEvent], None],
        *,
        groups: Mapping[int, int],
        mechanism: str,
    ) -> None:
        self.mechanism = mechanism
        self.ends_lost = 0
        self._sockets = MappingProxyType(dict(sockets))
        self._on_event, self._groups = on_event, groups
        self._error: Exception | None = RuntimeError("the reading thread ended early")
        self._lost: int | None = None
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="conntrack", daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Have every flow ended, read what is waiting, end; lost reports of flows that began.

        Raises
        ------
        LabError
            ``on_event`` had failed, so events are missing.
        """
        if self._lost is None:
            self._lost = self._count_lost()
            for events in self._sockets.values():
                netfilter.end_all(events)
            self._wake.send(b"\0")
            self._thread.join(STOP_S)
            self.ends_lost = self._count_lost() - self._lost
            for opened in (*self._sockets.values(), self._wake, self._woken):
                opened.close()
        if self._error is not None:
            raise LabError(f"the evidence is incomplete: {self._error}") from self._error
        return self._lost

    def _count_lost(self) -> int:
        return sum(netfilter.lost(events) for events in self._sockets.values())

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
            self._on_event(flow_event(host, flow, self._groups))


def flow_event(
    host: str, flow: netfilter.Flow, groups: Mapping[int, int] = MappingProxyType({})
) -> FlowEvent:
    """What the kernel of a host said, with the host's name and the control group's program."""
    return FlowEvent(
        what=WHAT[flow.what],
        time_ns=flow.time_ns,
        host=host,
        protocol=flow.protocol,
        src=flow.src,
        sport=flow.sport,
        dst=flow.dst,
        dport=flow.dport,
        owner=flow.owner,
        second=groups.get(flow.cgroup, 0),
        start_ns=flow.start_ns,
        packets=flow.packets,
        bytes=flow.bytes,
        reply_packets=flow.reply_packets,
        reply_bytes=flow.reply_bytes,
    )
