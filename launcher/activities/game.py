"""Network games."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Params, ServiceKind, around, heavy, pick

Variant = Literal["duel", "arena", "quest", "strategy", "watch", "lobby"]


class Rhythm(NamedTuple):
    """How often both sides speak (packets a second), how busy a scene is, and how many see it."""

    command_hz: tuple[int, ...]
    snapshot_hz: tuple[int, ...]
    busy: float
    others: float


RHYTHMS = {
    "duel": Rhythm((60, 76, 100, 125), (20, 30, 40), 1.5, 1),
    "arena": Rhythm((30, 42, 60, 90), (20, 30, 40, 60), 2.0, 12),
    "quest": Rhythm((5, 8, 10), (4, 7, 10), 0.5, 20),
    "strategy": Rhythm((5, 8, 10, 15), (5, 8, 10, 15), 0.3, 6),
    "watch": Rhythm((5, 10, 15), (20, 30, 40), 1.0, 10),
}


class GameParams(Params):
    """Settings of the game activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    stay_s: Annotated[float, Field(gt=0, le=3_600)] = Field(20.0, description="median of a game")


def draw(rng: Random, params: GameParams) -> Drawn:
    """Draw one player."""
    variant = pick(rng, params.variants)
    rhythm = RHYTHMS.get(variant, RHYTHMS["duel"])
    return variant, {
        "variant": variant,
        "actions": heavy(rng, 5, 0.7, 1, 30),
        "command_hz": rng.choice(rhythm.command_hz),
        "snapshot_hz": rng.choice(rhythm.snapshot_hz),
        "busy": around(rng, rhythm.busy, 0.3),
        "others": heavy(rng, rhythm.others, 0.5, 0, 40),
        "jitter": rng.choice((0.02, 0.1, 0.25)),
        "stay_s": around(rng, params.stay_s, 0.8),
        "think_scale": rng.choice((0.3, 1.0, 2.0)),
    }


KIND = ActivityKind(
    kind="game",
    summary="players of network games of several rhythms, watchers and server lists (Quake III)",
    category="games",
    program="game",
    service_kind="game",
    variants=get_args(Variant),
    params=GameParams,
    draw=draw,
    wire={
        name: "quake3.connectionless" if name == "lobby" else "quake3.game"
        for name in get_args(Variant)
    },
)
SERVICE = ServiceKind(
    kind="game",
    summary="a game server that tells its players many times a second what happens",
    program="game",
    ports=(27960,),
    protocol="udp",
)
