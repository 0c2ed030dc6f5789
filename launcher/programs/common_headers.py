"""HTTP header sets: what many kinds of servers and clients send along."""

from __future__ import annotations

import random
from email.utils import formatdate

from common import heavy, word

Headers = list[tuple[str, str]]


def server_headers(rng: random.Random, kind: str) -> Headers:
    """Response headers as some web server might send them."""
    headers: Headers = [("Date", formatdate(usegmt=True)), ("Content-Type", kind)]
    for name, low, high in (
        ("Server", 4, 20),
        ("ETag", 10, 36),
        ("Cache-Control", 8, 30),
        ("X-Request-Id", 16, 36),
        ("Vary", 6, 20),
    ):
        if rng.random() < 0.5:
            headers.append((name, word(rng, low, high)))
    if rng.random() < 0.3:
        size = heavy(rng, 80, 0.8, 20, 900)
        headers.append(("Set-Cookie", f"{word(rng)}={rng.randbytes(size // 2).hex()}"))
    if rng.random() < 0.2:
        words = " ".join(word(rng) for _ in range(heavy(rng, 20, 0.8, 3, 120)))
        headers.append(("Content-Security-Policy", words))
    return headers


def client_headers(rng: random.Random) -> Headers:
    """Request headers that one user's program sends with every request."""
    agent = " ".join(
        f"{word(rng).title()}/{rng.randint(1, 130)}.{rng.randint(0, 9)}"
        for _ in range(rng.choice((1, 1, 2, 4, 5, 6)))
    )
    headers: Headers = [("User-Agent", agent), ("Accept", rng.choice(("*/*", "text/html, */*")))]
    for name, low, high in (
        ("Accept-Language", 5, 30),
        ("Referer", 10, 90),
        ("Authorization", 20, 300),
        ("Sec-CH-UA", 20, 90),
        ("X-Client", 4, 40),
    ):
        if rng.random() < 0.4:
            headers.append((name, word(rng, low, high)))
    if rng.random() < 0.5:
        size = heavy(rng, 120, 1.0, 10, 2_000)
        headers.append(("Cookie", f"{word(rng)}={rng.randbytes(size // 2).hex()}"))
    return headers
