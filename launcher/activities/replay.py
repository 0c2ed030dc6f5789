"""A user's capture, played again between hosts of the lab."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from launcher.activities.kind import ActivityKind, Drawn, Params, Shared, pick
from launcher.injection.capture import Conversation, read_conversations
from launcher.injection.packing import pack
from launcher.injection.profile import beside
from launcher.injection.sample import PORT, sample
from topologies.errors import InputError
from topologies.faults import fault

Variant = Literal["together", "single", "in-turn"]


class ReplayParams(Params):
    """Settings of the replay activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)
    file: str = Field("", description="pcap or pcapng file; empty is a small made-up capture")
    payload: Literal["zero", "keep"] = Field(
        "zero", description="keep: what users said stands in the lab's packets and captures"
    )
    time_scale: Annotated[float, Field(ge=0.01, le=100)] = Field(
        1.0, description="2 is twice as fast as captured"
    )
    max_packets: Annotated[int, Field(ge=1, le=20_000)] = Field(
        2_000, description="of the capture's beginning"
    )
    _packed: tuple[str, str] = PrivateAttr(default=("", ""))

    @model_validator(mode="after")
    def _load(self, info: ValidationInfo) -> Self:
        talks = self._talks((info.context or {}).get("folder"))
        text = pack(talks, time_scale=self.time_scale, payload=self.payload == "keep")
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        self._packed = (f"{Path(self.file).stem or 'sample'}-{digest}", text)
        return self

    def _talks(self, folder: Path | None) -> Sequence[Conversation]:
        if not self.file:
            return sample()
        file = beside(self.file, folder)
        try:
            return read_conversations(file, max_packets=self.max_packets).conversations
        except InputError as error:
            raise fault(
                expected="a capture with TCP or UDP in it",
                got="; ".join(map(str, error.problems)),
                remedy="name another file",
            ) from error

    @property
    def packed(self) -> tuple[str, str]:
        """By which name both ends know the capture, and what they get of it."""
        return self._packed


def draw(rng: Random, params: ReplayParams) -> Drawn:
    """Draw what of the capture is played, and how long after the session's start."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "shared": params.packed[0],
        "pick": rng.randrange(1 << 16),
        "delay_s": round(rng.uniform(0.0, 0.5), 3),
    }


def shared(params: ReplayParams) -> dict[str, Shared]:
    """The capture as both ends get it."""
    name, text = params.packed
    return {name: Shared(text, "any", None)}


KIND = ActivityKind(
    kind="replay",
    summary="a capture's conversations between lab hosts: all together, one alone, one by one",
    category="injected",
    program="replay",
    service_kind="sink",
    variants=get_args(Variant),
    params=ReplayParams,
    draw=draw,
    wire=f"tcp.dstport == {PORT} && tcp.flags.syn == 1 || udp.dstport == {PORT}",
    origin="replayed",
    shared=shared,
)
