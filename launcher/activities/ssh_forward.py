"""Going through an SSH server."""

from __future__ import annotations

from random import Random
from typing import Annotated, Literal, get_args

from pydantic import Field

from launcher.activities.kind import ActivityKind, Drawn, Need, Params, chance, pick

Variant = Literal["channels", "local", "dynamic"]


class SshForwardParams(Params):
    """Settings of the ssh-forward activity."""

    variants: Annotated[tuple[Variant, ...], Field(min_length=1)] = get_args(Variant)


def draw(rng: Random, params: SshForwardParams) -> Drawn:
    """Draw the way through."""
    variant = pick(rng, params.variants)
    return variant, {
        "variant": variant,
        "compression": chance(rng, 0.3),
        "auth": rng.choice(("password", "key")),
    }


KIND = ActivityKind(
    kind="ssh-forward",
    summary="another activity inside SSH: by a library's channels, by OpenSSH's -L and -D",
    category="tunnel",
    program="ssh_forward",
    service_kind="ssh",
    variants=get_args(Variant),
    params=SshForwardParams,
    draw=draw,
    evidence_children=True,
    tunnels=True,
    wire="ssh.protocol",
    needs=(Need("openssh-client", command="ssh"),),
)
