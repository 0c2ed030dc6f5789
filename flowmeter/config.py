"""What a user may choose about metering."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final, Literal, TypeAlias

from flowmeter.features import FEATURE_SETS
from topologies.errors import InputError, Problem

LONGEST_S: Final = 10 * 366 * 86_400.0
LONGEST_RECENT_S: Final = 3600.0
LONGEST_SEQUENCE: Final = 255
MOST_THREADS: Final = 256
CHOICES: Final = {
    "corrupt": ("error", "keep"),
    "tunnels": ("outer", "inner"),
    "semantics": ("gsta", "tstat"),
    "features": tuple(FEATURE_SETS),
}
FeatureSet: TypeAlias = Literal["basic", "tstat", "full", "netflow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """When flows end, what is said of them, and what becomes of a capture broken half-way.

    Parameters
    ----------
    tcp_idle_s, udp_idle_s
        A longer silence ends a flow. UDP's 60 s is above what real clients pause (DNS retries for
        about 15 s, QUIC gives up after 30 s, VPN keep-alives come every 25 s).
    other_idle_s
        The same for every other protocol: SCTP, ICMP and what has no ports.
    active_s
        A flow older than this is cut; the rest is a new flow with the same initiator.
    linger_s
        The idle timeout of a TCP flow that has closed (RST, or both FINs acknowledged). Late
        acknowledgements and repeated FINs stay with their flow.
    corrupt
        ``error``: a broken record raises `CaptureError`. ``keep``: the packets before it are
        metered and ``corrupt_tail`` is counted.
    tunnels
        ``outer``: a tunnelled packet belongs to the flow between the tunnel's ends. ``inner``: to
        the flow of the packet inside.
    semantics
        ``gsta``: the rules in the package's docstring. ``tstat``: Tstat's, to compare with it; when
        a flow ends depends on all others there, so one thread meters.
    sequence
        How many first packets each flow's sequences tell of, 1 to 255.
    features
        One of `FEATURE_SETS`.
    recent_s
        The window of the features that look at other flows; 0, the default: none of them.
    threads
        How many cores to use: so many threads share the flows among them, and who has time reads
        ahead or makes tables. The rows are the same.

    Raises
    ------
    InputError
        Settings that cannot be; all of them at once.

    Examples
    --------
    >>> MeterConfig(udp_idle_s=120).udp_idle_s
    120
    """

    tcp_idle_s: float = 300.0
    udp_idle_s: float = 60.0
    other_idle_s: float = 60.0
    active_s: float = 1800.0
    linger_s: float = 10.0
    corrupt: Literal["error", "keep"] = "error"
    tunnels: Literal["outer", "inner"] = "outer"
    semantics: Literal["gsta", "tstat"] = "gsta"
    sequence: int = 20
    features: FeatureSet = "full"
    recent_s: float = 0.0
    threads: int = 1

    def __post_init__(self) -> None:
        problems = [*self._times(), *self._numbers(), *self._choices()]
        if problems:
            raise InputError(problems)

    def _times(self) -> Iterator[Problem]:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "recent_s":
                if not _is_number(value) or not 0 <= value <= LONGEST_RECENT_S:
                    yield _problem(field.name, "a time of 0 to 3600 s", value)
            elif field.name.endswith("_s") and not (_is_number(value) and 0 < value < LONGEST_S):
                yield _problem(field.name, "a time above 0 s and below ten years", value)

    def _numbers(self) -> Iterator[Problem]:
        for name, most in (("sequence", LONGEST_SEQUENCE), ("threads", MOST_THREADS)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                yield _problem(name, f"a whole number of 1 to {most}", value)

    def _choices(self) -> Iterator[Problem]:
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                *first, last = map(repr, choices)
                yield _problem(name, f"{', '.join(first)} or {last}", value)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def _problem(name: str, expected: str, got: object) -> Problem:
    return Problem(
        file="flow meter settings",
        path=name,
        expected=expected,
        got=repr(got),
        remedy="correct the setting or leave it out",
    )
