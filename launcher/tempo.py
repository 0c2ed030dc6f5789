"""Time compression: the same plan, its pauses and phases divided by a factor. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from launcher.plan import RunPlan, SessionPlan
from topologies import Phase


def faster(plan: RunPlan, factor: float) -> RunPlan:
    """The plan with its sessions' starts, lengths and think times divided by ``factor``.

    Nothing is drawn anew: the same sessions in the same order, with the same parameters. What a
    program does by a protocol's own clock (a pool's jobs, a retransmission) keeps its time.
    """
    return replace(plan, sessions=tuple(_faster(session, factor) for session in plan.sessions))


def shorter(phases: tuple[Phase, ...], factor: float) -> tuple[Phase, ...]:
    """The phases, their lengths divided by ``factor``."""
    return tuple(phase.scaled(1 / factor) for phase in phases)


def _faster(session: SessionPlan, factor: float) -> SessionPlan:
    return replace(
        session,
        start_s=session.start_s / factor,
        duration_s=session.duration_s / factor,
        think_time=_scaled(session.think_time, factor),
    )


def _scaled(think_time: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Every parameter in seconds; those of a distribution's shape stay."""
    return {
        name: value / factor if name.endswith("_s") else value for name, value in think_time.items()
    }
