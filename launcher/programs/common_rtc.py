"""WebRTC connections of the lab programs, and what they send: pictures and sound."""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import random
import re
import time
from itertools import product
from typing import Any

SOUND_HZ, SOUND_S = 48_000, 0.02
CLOCK_HZ = 90_000
CANDIDATE = re.compile(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) ", re.MULTILINE | re.IGNORECASE)
Ends = tuple[tuple[str, int], tuple[str, int]]


def paths(local_sdp: str, far_sdp: str) -> list[Ends]:
    """The ways that ICE tries: each candidate of ours with each of theirs of its IP version."""
    ours, theirs = (
        {(address, int(port)) for address, port in CANDIDATE.findall(sdp)}
        for sdp in (local_sdp, far_sdp)
    )
    pairs = product(sorted(ours), sorted(theirs))
    return [(near, far) for near, far in pairs if (":" in near[0]) == (":" in far[0])]


def picture_track(rng: random.Random, size: tuple[int, int], rate: int) -> Any:
    """A camera: a picture that moves a little."""
    from aiortc.mediastreams import VideoStreamTrack
    from av import VideoFrame

    width, height = size
    grain = [rng.randbytes(width * 4) for _ in range(16)]

    class Camera(VideoStreamTrack):
        number, begin = 0, time.monotonic()

        async def recv(self) -> Any:
            self.number += 1
            wait_s = self.begin + self.number / rate - time.monotonic()
            await asyncio.sleep(max(wait_s, 0))
            frame = VideoFrame(width, height, "yuv420p")
            for place, plane in enumerate(frame.planes):
                content = bytearray(bytes([96 + 32 * place]) * plane.buffer_size)
                at = self.number * 7 * plane.line_size % (plane.buffer_size // 2)
                piece = rng.choice(grain)[: plane.buffer_size // 2]
                content[at : at + len(piece)] = piece
                plane.update(bytes(content))
            frame.pts = self.number * CLOCK_HZ // rate
            frame.time_base = fractions.Fraction(1, CLOCK_HZ)
            return frame

    return Camera()


def sound_track(rng: random.Random) -> Any:
    """A microphone: noise that comes and goes, as speech does."""
    from aiortc.mediastreams import AudioStreamTrack
    from av import AudioFrame

    samples = int(SOUND_HZ * SOUND_S)
    noises = [rng.randbytes(samples * 2) for _ in range(8)]

    class Microphone(AudioStreamTrack):
        number, begin, until, speaking = 0, time.monotonic(), 0, False

        async def recv(self) -> Any:
            self.number += 1
            wait_s = self.begin + self.number * SOUND_S - time.monotonic()
            await asyncio.sleep(max(wait_s, 0))
            if self.number > self.until:
                self.speaking = not self.speaking
                self.until = self.number + int(rng.expovariate(1 / 1.3) / SOUND_S)
            frame = AudioFrame(format="s16", layout="mono", samples=samples)
            frame.planes[0].update(rng.choice(noises) if self.speaking else bytes(samples * 2))
            frame.sample_rate, frame.pts = SOUND_HZ, self.number * samples
            frame.time_base = fractions.Fraction(1, SOUND_HZ)
            return frame

    return Microphone()


def connection() -> Any:
    """A peer connection that asks no server outside of the lab for its address."""
    from aiortc import RTCConfiguration, RTCPeerConnection

    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


def take(track: Any) -> asyncio.Task[None]:
    """Take a track's frames, as a screen does; the task ends with the track."""
    from aiortc.mediastreams import MediaStreamError

    async def frames() -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()

    return asyncio.create_task(frames())


def furnish(link: Any, rng: random.Random, wish: dict[str, Any]) -> None:
    """Add to a connection what a call of this kind sends."""
    size = (int(wish.get("width", 320)), int(wish.get("height", 180)))
    if "sound" in wish["media"]:
        link.addTrack(sound_track(rng))
    if "picture" in wish["media"]:
        link.addTrack(picture_track(rng, size, int(wish.get("rate", 10))))
