"""Features of your own: a class that sees each packet of a flow, headers only, and names columns.

Plug-ins run in Python, packet by packet, beside the compiled core; without any, nothing of this
module runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa

from topologies.errors import InputError, Problem

if TYPE_CHECKING:
    from flowmeter.core.layout import Records, Slots

_READ: Final = (
    "slot", "opens", "direction", "time_ns", "ip_bytes", "payload_bytes", "flags", "ttl",
    "src_port", "dst_port", "protocol",
)  # fmt: skip


class FlowPacket(NamedTuple):
    """What a plug-in sees of a packet."""

    time_ns: int  # as captured, since 1970
    direction: int  # +1 from the initiator, -1 to it
    ip_bytes: int
    payload_bytes: int
    flags: int  # of TCP
    ttl: int
    src_port: int
    dst_port: int
    protocol: int


class PluginFlow(SimpleNamespace):
    """A flow in the hands of plug-ins: attributes as they like, and ``values`` by column."""

    values: dict[str, object]


class FlowPlugin:
    """Base of plug-ins; override what is needed.

    Examples
    --------
    >>> class LargestGap(FlowPlugin):
    ...     def columns(self):
    ...         return [pa.field("largest_gap_ns", pa.int64())]
    ...     def init(self, packet, flow):
    ...         flow.last_ns, flow.values["largest_gap_ns"] = packet.time_ns, 0
    ...     def update(self, packet, flow):
    ...         gap_ns = packet.time_ns - flow.last_ns
    ...         flow.values["largest_gap_ns"] = max(flow.values["largest_gap_ns"], gap_ns)
    ...         flow.last_ns = packet.time_ns
    >>> LargestGap().columns()[0].name
    'largest_gap_ns'
    """

    def columns(self) -> list[pa.Field]:
        """The columns that it adds; a flow's value is null unless ``flow.values`` has one."""
        raise NotImplementedError

    def init(self, packet: FlowPacket, flow: PluginFlow) -> None:
        """See the first packet of a flow."""

    def update(self, packet: FlowPacket, flow: PluginFlow) -> None:
        """See another packet of it."""

    def expire(self, flow: PluginFlow) -> None:
        """See the flow end: the last chance to set its values."""


class PluginRunner:
    """Shows packets to plug-ins, and keeps the values of ended flows until rows are made of them.

    A slot of the core may be used by several flows within one batch of packets, but never by two at
    once; so what is known of a slot is a queue of flows, of which the last one is open.
    """

    def __init__(self, plugins: Sequence[FlowPlugin]) -> None:
        self.fields = [_marked(column) for plugin in plugins for column in plugin.columns()]
        self._plugins = plugins
        self._flows: dict[int, deque[PluginFlow]] = {}
        self._ended: deque[PluginFlow] = deque()

    def feed(self, packets: Records) -> None:
        """Show packets that the core has put into flows."""
        packets = packets[(packets["reject"] == 0) & (packets["slot"] >= 0)]
        columns = [packets[name].tolist() for name in _READ]
        for slot, opens, direction, *rest in zip(*columns, strict=True):
            time_ns, *others = rest
            packet = FlowPacket(time_ns, -1 if direction else 1, *others)
            if opens:
                flow = PluginFlow(values={})
                self._flows.setdefault(slot, deque()).append(flow)
                for plugin in self._plugins:
                    plugin.init(packet, flow)
            else:
                flow = self._flows[slot][-1]
                for plugin in self._plugins:
                    plugin.update(packet, flow)

    def end(self, slots: Slots) -> None:
        """Let flows end, in the order in which their rows come."""
        for slot in slots.tolist():
            queue = self._flows[slot]
            flow = queue.popleft()
            if not queue:
                del self._flows[slot]
            for plugin in self._plugins:
                plugin.expire(flow)
            self._ended.append(flow)

    def columns(self, count: int) -> Iterator[pa.Array]:
        """The columns of the next ``count`` ended flows."""
        flows = [self._ended.popleft() for _ in range(count)]
        for field in self.fields:
            values = [flow.values.get(field.name) for flow in flows]
            try:
                yield pa.array(values, field.type)
            except (pa.ArrowException, OverflowError, TypeError) as error:
                raise _wrong(field.name, f"values of type {field.type}", str(error)) from error


def extended(schema: pa.Schema, fields: Sequence[pa.Field]) -> pa.Schema:
    """The schema with the columns of plug-ins at its end.

    Raises
    ------
    InputError
        Two columns have one name.
    """
    for field in fields:
        if field.name in schema.names:
            raise _wrong(field.name, "a column name of its own", "one that is taken")
        schema = schema.append(field)
    return schema


def _marked(field: pa.Field) -> pa.Field:
    """Columns of plug-ins are features unless they say otherwise; null is possible."""
    told = {b"role": b"feature", b"group": b"plugin", **(field.metadata or {})}
    return field.with_nullable(True).with_metadata(told)


def _wrong(name: str, expected: str, got: str) -> InputError:
    return InputError(
        Problem("flow meter plug-in", f"column {name}", expected, got, "correct the plug-in")
    )
