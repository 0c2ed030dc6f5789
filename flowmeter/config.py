"""What a user may choose about metering."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final, Literal

from topologies.errors import InputError, Problem

LONGEST_S: Final = 10 * 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """When flows end, and what to do with a capture that turns out broken half-way.

    Parameters
    ----------
    tcp_idle_s, udp_idle_s
        A longer silence ends a flow. UDP's 60 s is above what real clients pause (DNS retries for
        about 15 s, QUIC gives up after 30 s, VPN keep-alives come every 25 s).
    active_s
        A flow older than this is cut; the rest is a new flow with the same initiator.
    linger_s
        The idle timeout of a TCP flow that has closed (RST, or both FINs acknowledged). Late
        acknowledgements and repeated FINs stay with their flow.
    corrupt
        ``error``: a broken record raises `CaptureError`. ``keep``: the packets before it are
        metered and ``corrupt_tail`` is counted.

    Raises
    ------
    InputError
        A time that is not above 0 s and below ten years.

    Examples
    --------
    >>> MeterConfig(udp_idle_s=120).udp_idle_s
    120
    """

    tcp_idle_s: float = 300.0
    udp_idle_s: float = 60.0
    active_s: float = 1800.0
    linger_s: float = 10.0
    corrupt: Literal["error", "keep"] = "error"

    def __post_init__(self) -> None:
        problems = [
            _problem(field.name, "a time above 0 s and below ten years", getattr(self, field.name))
            for field in fields(self)
            if field.name.endswith("_s") and not _is_time(getattr(self, field.name))
        ]
        if self.corrupt not in ("error", "keep"):
            problems.append(_problem("corrupt", "'error' or 'keep'", self.corrupt))
        if problems:
            raise InputError(problems)


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 < value < LONGEST_S


def _problem(name: str, expected: str, got: object) -> Problem:
    return Problem(
        file="flow meter settings",
        path=name,
        expected=expected,
        got=repr(got),
        remedy="correct the setting or leave it out",
    )
