"""A timer wheel: which flows to look at when a second of the capture's clock has passed.

A flow stands at the tick at which it would end if no packet came; it is looked at then, and moved
on if packets did come. So a flow costs one look per time-out, however many packets it has
(G. Varghese, A. Lauck, "Hashed and hierarchical timing wheels", 1987).
"""

from __future__ import annotations

import numpy as np

from flowmeter.core.jit import helper
from flowmeter.core.layout import Indexed, Int, Record, Slots
from flowmeter.core.store import TICK_NS


@helper
def arm(wheel: Slots, flows: Indexed, slot: Int, due: Int, tick: Int) -> None:
    """Look at the flow at tick ``due``, or as late before it as the wheel reaches."""
    link(wheel, flows, slot, min(max(due, tick + 1), tick + len(wheel) - 1) % len(wheel))


@helper
def link(wheel: Slots, flows: Indexed, slot: Int, place: Int) -> None:
    """Put the flow before all others of a place."""
    flow = flows[slot]
    following = np.int64(wheel[place])
    flow.wheel_place, flow.wheel_next, flow.wheel_before = place, following, -1
    if following >= 0:
        flows[following].wheel_before = slot
    wheel[place] = slot


@helper
def disarm(wheel: Slots, flows: Indexed, slot: Int) -> None:
    """Look at the flow no more."""
    flow = flows[slot]
    before, following = np.int64(flow.wheel_before), np.int64(flow.wheel_next)
    if before >= 0:
        flows[before].wheel_next = following
    else:
        wheel[flow.wheel_place] = following
    if following >= 0:
        flows[following].wheel_before = before


@helper
def rearm(wheel: Slots, flows: Indexed, slot: Int, due: Int, tick: Int) -> None:
    """Look at the flow at another time."""
    disarm(wheel, flows, slot)
    arm(wheel, flows, slot, due, tick)


@helper
def patience(flow: Record, limits: Record) -> Int:
    """How long a flow may be silent, in ns."""
    protocol = np.int64(flow.tag >> np.uint64(32)) & 255
    if flow.closed:
        return np.int64(limits.linger_ns)
    if protocol == 6:
        return np.int64(limits.tcp_idle_ns)
    return np.int64(limits.udp_idle_ns if protocol == 17 else limits.other_idle_ns)


@helper
def due_tick(flow: Record, limits: Record) -> Int:
    """The tick at which the flow ends if no packet comes."""
    return (flow.last_ns + patience(flow, limits)) // TICK_NS + 1
