"""Ways to change a topology: more sessions, a longer run, less load, other hosts, more variety."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from audit.changes import Change
from audit.suggest.case import Case
from launcher.activities import catalogue
from topologies import Activity

MOST: Final = 4.0  # times, in one step: the next audit says whether more is needed
TAIL: Final = 4  # times the mean, which a pause may well be
MEANS: Final = {
    "constant": ("value_s",),
    "uniform": ("low_s", "high_s"),
    "exponential": ("mean_s",),
    "lognormal": ("median_s",),
    "pareto": ("minimum_s",),
}
"""What the pauses of each distribution grow with."""


def rounded(value: float) -> float:
    """Three digits: people read this."""
    return float(f"{value:.3g}")


def more_sessions(case: Case, activity: str, factor: float, because: str) -> Iterator[Change]:
    """Let sessions begin ``factor`` times as often; below 1 they begin more seldom."""
    factor = min(max(factor, 1 / MOST), MOST)
    arrival = case.topology.activities[activity].arrival.model_dump(mode="json")
    keys: tuple[str, ...] = MEANS[arrival["distribution"]]
    if TAIL * arrival[keys[-1]] / factor > arrival["maximum_s"]:
        keys = (*keys, "maximum_s")  # which would cut the pauses
    for key in keys:
        yield from case.change(
            f"activities.{activity}.arrival.{key}", rounded(arrival[key] / factor), because
        )


def longer_run(case: Case, factor: float, because: str) -> Iterator[Change]:
    """Let the phases in which something goes on last ``factor`` times as long."""
    for number, phase in enumerate(case.topology.phases):
        if phase.intensity > 0:
            longer = float(math.ceil(phase.duration_s * min(factor, MOST)))
            yield from case.change(f"phases[{number}].duration_s", longer, because)


def less_load(case: Case, factor: float, because: str) -> Iterator[Change]:
    """Let ``factor`` times as much go on at once, and for so long that it is as much in all."""
    for number, phase in enumerate(case.topology.phases):
        at = f"phases[{number}]"
        if phase.target is not None:
            at, value = f"{at}.target.{phase.target.unit}", phase.target.value
        else:
            at, value = f"{at}.intensity", phase.intensity
        yield from case.change(at, rounded(value * factor), because)
    yield from longer_run(case, 1 / factor, because)


def more_hosts(case: Case, activity: str, because: str) -> Iterator[Change]:
    """Let the clients that do other things do this as well, altogether as often as before."""
    one = case.topology.activities[activity]
    others = [host for host in case.scene.clients if host not in one.hosts]
    if any(router.firewall for router in case.topology.routers.values()):
        others = [host for host in others if _known_to_reach(case, host, one)]
    for change in case.extend(f"activities.{activity}.hosts", others, because):
        yield change
        machines = [
            sum(len(case.topology.members(host)) for host in some)
            for some in (one.hosts, change.new)
        ]
        factor = machines[0] / machines[1]
        yield from more_sessions(case, activity, factor, "more hosts, as many sessions in all")


def _known_to_reach(case: Case, host: str, activity: Activity) -> bool:
    """Whether a host talks to one of an activity's servers already: firewalls let it."""
    services = case.topology.services
    servers = {services[name].host for name in activity.services}
    does = (case.topology.activities[name] for name in case.scene.clients[host])
    return any(services[name].host in servers for other in does for name in other.services)


def more_variants(case: Case, activity: str, because: str) -> Iterator[Change]:
    """Take away what narrows the parameters of an activity below those of its kind."""
    one = case.topology.activities[activity]
    fields = catalogue()[one.kind].params.model_fields
    for name, value in one.params.items():
        if name not in fields:
            continue
        default = fields[name].get_default(call_default_factory=True, validated_data={})
        at = f"activities.{activity}.params.{name}"
        if name == "variants" and isinstance(value, list):
            yield from case.change(at, [*value, *(v for v in default if v not in value)], because)
        elif _narrows(name, value, default):
            yield from case.change(at, default, because)


def _narrows(name: str, value: object, default: object) -> bool:
    if not isinstance(value, int | float) or not isinstance(default, int | float):
        return False
    return (name.startswith("max_") and value < default) or (
        name.startswith("min_") and value > default
    )


def more_targets(case: Case, activity: str, because: str) -> Iterator[Change]:
    """Let an activity use the other services of the topology that it can talk to."""
    spoken = catalogue()[case.topology.activities[activity].kind].service_kind
    services = case.topology.services
    used = {services[name].host for name in case.topology.activities[activity].services}
    others = []
    for name, service in services.items():
        # What takes whole hosts, as a scan does, sees another target only on another host.
        if service.kind == spoken or (spoken is None and service.host not in used):
            others.append(name)
            used.add(service.host)
    yield from case.extend(f"activities.{activity}.services", others, because)


def more_variety(case: Case, activity: str, because: str) -> Iterator[Change]:
    """Variants, targets and hosts, whichever there are more of."""
    for widen in (more_variants, more_targets, more_hosts):
        yield from widen(case, activity, because)
