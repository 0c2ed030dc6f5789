"""Synthetic sessions of protocols and services that cannot run here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Annotated, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from launcher.activities.kind import ActivityKind, Drawn, Params, ServiceKind, Shared, heavy, pick
from launcher.injection.profile import Profile, load_profile, profiles
from topologies.errors import InputError
from topologies.faults import fault

NAMES = profiles()


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in NAMES:
            raise fault(
                expected=f"one of {', '.join(NAMES)}",
                got=f"'{name}'",
                remedy="choose one of them, or name your file under profiles:",
            )
    return names


class InjectParams(Params):
    """Settings of the inject activity."""

    variants: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_known)] = NAMES
    profiles: Annotated[tuple[str, ...], Field(max_length=20)] = Field(
        (), description="files with profiles of your own, in the place of those that ship"
    )
    max_sessions: Annotated[int, Field(ge=1, le=20)] = Field(
        3, description="synthetic sessions that one session of a user makes, at most"
    )
    max_messages: Annotated[int, Field(ge=1, le=5_000)] = Field(
        1_000, description="of one synthetic session, at most"
    )
    _loaded: dict[str, Profile] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _load(self, info: ValidationInfo) -> Self:
        folder = (info.context or {}).get("folder", Path())
        for reference in self.profiles or self.variants:
            try:
                found = load_profile(reference, folder)
            except InputError as error:
                raise fault(
                    expected="a sound profile",
                    got="; ".join(map(str, error.problems)),
                    remedy="mend that file",
                ) from error
            self._loaded[found.name] = found
        return self

    @property
    def loaded(self) -> Mapping[str, Profile]:
        """The profiles to draw from, by name."""
        return self._loaded


def draw(rng: Random, params: InjectParams) -> Drawn:
    """Draw which protocol is played, and how much of it."""
    name = pick(rng, tuple(params.loaded))
    return name, {
        "variant": name,
        "shared": name,
        "sessions": rng.randint(1, params.max_sessions),
        "messages": heavy(rng, params.max_messages / 2, 0.7, 1, params.max_messages),
    }


def shared(params: InjectParams) -> dict[str, Shared]:
    """Profiles as both ends get them."""
    return {
        name: Shared(profile.model_dump_json(), profile.transport, profile.port)
        for name, profile in params.loaded.items()
    }


KIND = ActivityKind(
    kind="inject",
    summary="synthetic sessions from profiles: a game, a video call, a controller, peer-to-peer",
    category="injected",
    program="inject",
    service_kind="sink",
    variants=NAMES,
    params=InjectParams,
    draw=draw,
    wire={
        name: f"{profile.transport}.dstport == {profile.port}"
        + (f" && {profile.transport}.payload[0:{len(mark)}] == {mark.hex(':')}" if mark else "")
        for name in NAMES
        for profile in [load_profile(name)]
        for mark in [bytes.fromhex(profile.magic.client)]
    },
    origin="synthetic",
    shared=shared,
)
SERVICE = ServiceKind(
    kind="sink",
    summary="the far end of synthetic sessions and replayed captures, on their ports; it discards",
    program="sink",
    ports=(9,),
    protocol="any",
)
