"""What a network does to its packets: rate, delay, jitter, loss, reordering, duplication, queues.

Values are per link and direction, seen from the machine at its end: *down* is towards it, *up* is
from it. What a user writes may leave out most; `Impairments.stages` works out every value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from topologies.faults import fault

JitterDistribution = Literal["normal", "uniform", "pareto"]
Direction = Literal["down", "up"]
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)

_Percent = Annotated[float, Field(ge=0, le=50)]
_Milliseconds = Annotated[float, Field(ge=0, le=5_000)]
# With a discriminator a wrong one is one error, not one for each member of the union.
_Rate = Annotated[
    Annotated[float, Field(gt=0, le=100_000), Tag("a number")]
    | Annotated[Literal["unlimited"], Tag("unlimited")],
    Discriminator(lambda value: "unlimited" if value == "unlimited" else "a number"),
]
# A link slows, and its queue fills, at both of its ends; the rest a packet meets once.
_BOTH_WAYS: Final = ("rate_mbit", "queue_packets", "queue_ms")


@dataclass(frozen=True, slots=True)
class Quality:
    """One direction of a link, every value known; the default does nothing to a packet.

    >>> Quality(rate_mbit=10, delay_ms=5).only_rate
    False
    """

    rate_mbit: float | None = None  # None: unlimited
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    jitter_distribution: JitterDistribution = "normal"
    loss_percent: float = 0.0
    loss_burst_packets: float = 1.0
    reorder_percent: float = 0.0
    duplicate_percent: float = 0.0
    queue_packets: int | None = None
    queue_ms: float | None = None

    @property
    def only_rate(self) -> bool:
        """Whether it does no more than limit the rate."""
        return not (
            self.delay_ms
            or self.jitter_ms
            or self.loss_percent
            or self.reorder_percent
            or self.duplicate_percent
        )

    @property
    def perfect(self) -> bool:
        """Whether it does nothing at all."""
        return self.only_rate and self.rate_mbit is None

    @property
    def longest_ms(self) -> float:
        """What a packet may be delayed by at most, its wait in a queue left out."""
        return self.delay_ms + 4 * self.jitter_ms


@dataclass(frozen=True, slots=True)
class Stage:
    """The links of a network from a moment of the run on."""

    at_s: float
    down: Quality
    up: Quality

    def of(self, direction: Direction) -> Quality:
        """One direction."""
        return self.down if direction == "down" else self.up


class Values(BaseModel):
    """Some values of a link; null leaves a value as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rate_mbit: _Rate | None = Field(None, description="rate limit of each link")
    delay_ms: _Milliseconds | None = Field(None, description="one-way delay")
    jitter_ms: _Milliseconds | None = Field(
        None, description="of the delay: standard deviation, of uniform jitter the half width"
    )
    jitter_distribution: JitterDistribution | None = None
    loss_percent: _Percent | None = Field(None, description="packets lost, in the long run")
    loss_burst_packets: Annotated[float, Field(ge=1, le=1_000)] | None = Field(
        None, description="mean length of a burst of losses; 1 is each packet by itself"
    )
    reorder_percent: _Percent | None = Field(
        None, description="packets that are not delayed and so overtake those before them"
    )
    duplicate_percent: _Percent | None = Field(None, description="packets that arrive twice")
    queue_packets: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="full-size packets that may wait for the rate limit"
    )
    queue_ms: Annotated[float, Field(gt=0, le=5_000)] | None = Field(
        None, description="how long a packet may wait for the rate limit"
    )

    @model_validator(mode="after")
    def _one_queue(self) -> Values:
        if self.queue_packets is not None and self.queue_ms is not None:
            raise fault(
                expected="one of queue_packets and queue_ms",
                got="both",
                remedy="the length of a queue is said once",
            )
        return self

    def applied(self, quality: Quality, *, names: Iterable[str] | None = None) -> Quality:
        """``quality`` with these values, or those of them that are in ``names``."""
        wanted = QUALITY_FIELDS if names is None else tuple(names)
        given = {name: value for name in wanted if (value := getattr(self, name)) is not None}
        if given.get("rate_mbit") == "unlimited":
            given["rate_mbit"] = None
        if "queue_packets" in given or "queue_ms" in given:
            given = {"queue_packets": None, "queue_ms": None} | given
        return replace(quality, **given)


QUALITY_FIELDS: Final = tuple(Values.model_fields)


class DirectedValues(Values):
    """Values for both directions, and for each by itself.

    Those on top are met once by a packet that crosses the network: rate and queue hold both ways,
    the others towards the machine.
    """

    down: Values | None = Field(
        None, description="towards the machine; goes before the values on top"
    )
    up: Values | None = Field(None, description="from the machine; goes before the values on top")

    def after(self, stage: Stage, at_s: float) -> Stage:
        """What the links are once these values have been set."""
        down, up = self.applied(stage.down), self.applied(stage.up, names=_BOTH_WAYS)
        return Stage(
            at_s,
            self.down.applied(down) if self.down else down,
            self.up.applied(up) if self.up else up,
        )


class Change(DirectedValues):
    """Values that change at a moment of the run; the others stay as they are."""

    at_s: Annotated[float, Field(ge=0, le=86_400)] = Field(
        description="seconds after the start of the first phase"
    )


class Impairments(DirectedValues):
    """What a network does to the packets on every link of it, from start to end.

    >>> [start, later] = Impairments.model_validate(
    ...     {"delay_ms": 20, "rate_mbit": 8, "up": {"rate_mbit": 1},
    ...      "schedule": [{"at_s": 30, "delay_ms": 80}]}).stages()
    >>> start.down.delay_ms, start.up.delay_ms, start.up.rate_mbit, later.down.delay_ms
    (20.0, 0.0, 1.0, 80.0)
    """

    schedule: tuple[Change, ...] = Field((), description="changes over time, earliest first")

    def stages(self) -> tuple[Stage, ...]:
        """What the links are at the start (``at_s`` is 0), and after each change."""
        made = [self.after(Stage(0.0, Quality(), Quality()), 0.0)]
        for change in self.schedule:
            made.append(change.after(made[-1], change.at_s))
        return tuple(made)

    @property
    def active(self) -> bool:
        """Whether anything is ever done to a packet."""
        return not all(stage.down.perfect and stage.up.perfect for stage in self.stages())

    @model_validator(mode="after")
    def _sensible(self) -> Impairments:
        times = [change.at_s for change in self.schedule]
        if times != sorted(set(times)):
            raise fault(
                expected="changes at times that rise",
                got=", ".join(f"{time:g}" for time in times),
                remedy="sort the schedule by at_s and join changes of the same time",
            )
        for stage in self.stages():
            for direction in DIRECTIONS:
                _check(stage.of(direction), stage, direction)
        return self


def _check(quality: Quality, stage: Stage, direction: Direction) -> None:
    where = f"'{direction}' from {stage.at_s:g} s on"
    if quality.reorder_percent and not quality.delay_ms:
        raise fault(
            expected="a delay where packets are reordered",
            got=f"reorder_percent without delay_ms ({where})",
            remedy="give it a delay_ms: a packet overtakes those that are delayed",
        )
    if quality.rate_mbit is None and (quality.queue_packets or quality.queue_ms):
        raise fault(
            expected="a rate where a queue has a length",
            got=f"a queue without rate_mbit ({where})",
            remedy="give it a rate_mbit: nothing waits on an unlimited link",
        )
