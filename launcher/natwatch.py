"""Evidence beyond a NAT: which activity made the flow that a router gave other addresses.

A host's kernel knows the owner of a flow by the addresses that it has there. A router with NAT
knows both appearances of the flow. Here the two are put together: for each flow that a router
translated, the owner's event is reported again, with the addresses it has outside.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from launcher import netfilter
from launcher.backend import FlowEvent, Watch
from launcher.namespaces import entered
from launcher.plan import LabPlan
from topologies.errors import LabError

MOST_REMEMBERED: Final = 200_000  # flows that wait for their other half, and translations
STOP_S: Final = 30.0
_GROUP_NEW, _CONNTRACK_NEW = 1 << 0, 1 << 8
_ORIGINAL, _REPLY, _ADDRESSES, _PROTOCOL = 1, 2, 1, 2
_TCP: Final = 6
_EVENTS: Final = Path("/proc/sys/net/netfilter/nf_conntrack_events")

OnEvent = Callable[[FlowEvent], None]
ValueT = TypeVar("ValueT")


class Tuple(NamedTuple):
    """What a flow is known by."""

    protocol: int
    src: str
    sport: int
    dst: str
    dport: int


class NatWatch:
    """Listens to the routers that translate; a `launcher.backend.Watch` around that of the hosts.

    Give `on_event` to the watch of the hosts, then that watch to `around`.
    """

    def __init__(self, plan: LabPlan, path: Callable[[str], Path], on_event: OnEvent) -> None:
        self._report = on_event
        self._lock = threading.Lock()
        self._opened: dict[Tuple, FlowEvent] = {}  # by hosts, not yet seen at a router
        self._waiting: dict[Tuple, Tuple] = {}  # seen at a router, not yet from a host
        self._known: dict[Tuple, Tuple] = {}
        self._error: OSError | None = None
        self._hosts: Watch | None = None
        self._inside = [subnet for nat in plan.translations for subnet in nat.inside]
        self._sockets = [_events(path(nat.router)) for nat in plan.translations]
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="nat", daemon=True)
        self._thread.start()

    def around(self, hosts: Watch) -> Watch:
        """Take on the watch of the hosts, to be stopped with this one."""
        self._hosts = hosts
        return self

    @property
    def mechanism(self) -> str:
        """How the hosts' watch knows whose a flow is."""
        return "" if self._hosts is None else self._hosts.mechanism

    @property
    def ends_lost(self) -> int:
        """As the hosts' watch has it: a flow ends once, with the addresses it has in its host."""
        return 0 if self._hosts is None else self._hosts.ends_lost

    def on_event(self, event: FlowEvent) -> None:
        """Report an event, and once more for each NAT that a flow it opens has crossed."""
        self._report(event)
        if event.what != "opened":
            return
        inner = Tuple(event.protocol, event.src, event.sport, event.dst, event.dport)
        if not any(ip_address(event.src) in subnet for subnet in self._inside):
            return
        with self._lock:
            outer = self._waiting.pop(inner, None)
            if outer is None and event.protocol != _TCP:
                # Its router may still know the flow, from another process that had the port.
                outer = self._known.get(inner)
            if outer is None:
                _remember(self._opened, inner, event)
        if outer is not None:
            self._outside(event, outer)

    def stop(self) -> int:
        """Read what is waiting and end; the number of events that the kernel could not deliver.

        Raises
        ------
        LabError
            Events could not be read or written down.
        """
        lost = 0 if self._hosts is None else self._hosts.stop()
        if self._thread.is_alive():
            self._wake.send(b"\0")
            self._thread.join(STOP_S)
        for events in self._sockets:
            lost += netfilter.lost(events)
            events.close()
        for end in (self._wake, self._woken):
            end.close()
        self._sockets = []
        if self._error is not None:
            raise LabError(f"the evidence is incomplete: {self._error}") from self._error
        return lost

    def _outside(self, event: FlowEvent, outer: Tuple) -> None:
        # Through `on_event`, for there may be another NAT outside this one.
        self.on_event(
            replace(event, src=outer.src, sport=outer.sport, dst=outer.dst, dport=outer.dport)
        )

    def _translated(self, inner: Tuple, outer: Tuple) -> None:
        with self._lock:
            _remember(self._known, inner, outer)
            event = self._opened.pop(inner, None)
            if event is None:
                _remember(self._waiting, inner, outer)
        if event is not None:
            self._outside(event, outer)

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                for events in (*self._sockets, self._woken):
                    selector.register(events, selectors.EVENT_READ)
                while all(key.fileobj is not self._woken for key, _ in selector.select()):
                    self._read()
            self._read()
        except OSError as error:  # what the report meets when it writes: a full disk
            self._error = error

    def _read(self) -> None:
        for events in self._sockets:
            for data in netfilter.received(events):
                for inner, outer in translations(data):
                    self._translated(inner, outer)


def watch_through_nat(
    plan: LabPlan,
    path: Callable[[str], Path],
    on_event: OnEvent,
    start: Callable[[OnEvent], Watch],
) -> Watch:
    """Start a watch of the hosts, and of the routers that translate, if there are any.

    ``path`` gives the network namespace of a node, ``start`` starts the watch of the hosts.
    """
    if not plan.translations:
        return start(on_event)
    outside = NatWatch(plan, path, on_event)
    try:
        return outside.around(start(outside.on_event))
    except BaseException:
        outside.stop()
        raise


def translations(data: bytes) -> Iterator[tuple[Tuple, Tuple]]:
    """Both appearances, inside and outside, of each translated flow in conntrack's messages."""
    offset = 0
    while offset + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 20 or offset + length > len(data):
            return
        if kind == _CONNTRACK_NEW:
            attributes = netfilter.attributes_of(data[offset + 20 : offset + length])
            inner, reply = (_tuple(attributes.get(n, b"")) for n in (_ORIGINAL, _REPLY))
            if inner and reply:
                outer = Tuple(reply.protocol, reply.dst, reply.dport, reply.src, reply.sport)
                if outer != inner:
                    yield inner, outer
        offset += (length + 3) & ~3


def _tuple(data: bytes) -> Tuple | None:
    parts = netfilter.attributes_of(data)
    addresses = [v for _, v in sorted(netfilter.attributes_of(parts.get(_ADDRESSES, b"")).items())]
    numbers = netfilter.attributes_of(parts.get(_PROTOCOL, b""))
    if [len(address) for address in addresses] not in ([4, 4], [16, 16]):
        return None
    src, dst = (str(ip_address(address)) for address in addresses)
    protocol, sport, dport = (int.from_bytes(numbers.get(n, b""), "big") for n in (1, 2, 3))
    return Tuple(protocol, src, sport, dst, dport)


def _events(namespace: Path) -> socket.socket:
    """A socket that hears of the new flows of a namespace."""
    with entered(namespace):
        with contextlib.suppress(OSError):
            _EVENTS.write_text("1")
        return netfilter.listen(_GROUP_NEW)


def _remember(where: dict[Tuple, ValueT], key: Tuple, value: ValueT) -> None:
    """Put it last, and forget what is oldest where there is too much."""
    where.pop(key, None)
    where[key] = value
    if len(where) > MOST_REMEMBERED:
        del where[next(iter(where))]
