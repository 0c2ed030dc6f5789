"""What somebody does at a desktop: moves to something, clicks, types, or only watches."""

from __future__ import annotations

import asyncio
from typing import Protocol

from common import Session, emit

KEYS = (*range(0x61, 0x7B), *range(0x30, 0x3A), 0x20, 0x20, 0x20, 0xFF08, 0xFF0D, 0xFF52, 0xFF54)


class Screen(Protocol):
    """A desktop with a pointer and a keyboard; keys are X's symbols, ``buttons`` a mask."""

    width: int
    height: int

    def pointer(self, x: int, y: int, *, buttons: int = 0) -> None:
        """Have the pointer there, with these buttons down."""

    def key(self, symbol: int) -> None:
        """Press and release a key."""


async def watch(session: Session, _screen: Screen) -> None:
    """Look for a while."""
    await session.sleep(min(float(session.params.get("stay_s", 20)), session.left_s() - 0.5))


async def write(session: Session, screen: Screen) -> None:
    """Write, with pauses to think."""
    key_s = float(session.params.get("key_s", 0.12))
    for _ in range(int(session.params.get("actions", 8))):
        for _ in range(session.rng.randint(5, 60)):
            screen.key(session.rng.choice(KEYS))
            if not await session.sleep(min(session.rng.lognormvariate(0, 0.5) * key_s, 1.5)):
                return
        if not await session.pause():
            return


async def work(session: Session, screen: Screen) -> None:
    """Move to something, click, perhaps type a little, and look at it."""
    rng = session.rng
    x, y = screen.width // 2, screen.height // 2
    for _ in range(int(session.params.get("actions", 8))):
        goal = rng.randrange(screen.width), rng.randrange(screen.height)
        steps = rng.randint(4, 30)
        for step in range(1, steps + 1):
            part = step / steps
            screen.pointer(int(x + (goal[0] - x) * part), int(y + (goal[1] - y) * part))
            if not await session.sleep(rng.uniform(0.008, 0.03)):
                return
        x, y = goal
        for buttons in rng.choice(((1, 0), (1, 0), (1, 0, 1, 0), (4, 0), (8, 0, 8, 0, 8, 0))):
            screen.pointer(x, y, buttons=buttons)
            await asyncio.sleep(rng.uniform(0.03, 0.12))
        for _ in range(rng.choice((0, 0, 0, 3, 12))):
            screen.key(rng.choice(KEYS))
            await asyncio.sleep(min(rng.lognormvariate(-2.1, 0.5), 1.0))
        emit("click", x=x, y=y)
        if not await session.pause():
            return
