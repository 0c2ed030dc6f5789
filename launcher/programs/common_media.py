"""Moving pictures for the lab programs, made by ffmpeg of a seed: short, and quickly encoded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

from common import PeerError

SIZES = ((256, 144), (320, 180), (416, 234), (480, 270))


def source(rng: random.Random, seconds: float) -> list[str]:
    """ffmpeg's input: a moving test picture with more or less noise, and tones."""
    width, height = rng.choice(SIZES)
    picture = rng.choice(("testsrc2", "testsrc", "smptebars", "pal75bars"))
    rate = rng.choice((10, 12, 15, 20))
    grain = rng.choice((0, 4, 8, 14))
    filters = f"{picture}=size={width}x{height}:rate={rate},noise=alls={grain}:allf=t"
    sound = f"sine=frequency={rng.randint(100, 900)}:sample_rate=44100"
    inputs = ["-f", "lavfi", "-i", filters, "-f", "lavfi", "-i", sound]
    return [*inputs, "-t", f"{seconds:.2f}"]


def h264(kbit: int, *, key_frames: int = 25) -> list[str]:
    """Settings of a cheap H.264 encoding with AAC."""
    return [
        *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-threads", "1"),
        *("-pix_fmt", "yuv420p", "-g", str(key_frames), "-b:v", f"{kbit}k"),
        *("-maxrate", f"{kbit * 2}k", "-bufsize", f"{kbit * 2}k"),
        *("-c:a", "aac", "-b:a", "64k", "-ar", "44100"),
    ]


async def make(arguments: Sequence[str], folder: Path) -> None:
    """Run ffmpeg in a folder.

    Raises
    ------
    PeerError
        It failed.
    """
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-v", "error", "-nostdin", "-y"), *arguments, cwd=folder
    )
    if await process.wait():
        raise PeerError("ffmpeg makes no picture")
