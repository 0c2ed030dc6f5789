"""A web site to browse: pages that link to each other, their objects, downloads, and data."""

from __future__ import annotations

import json
import random
import re
import struct
import zlib
from pathlib import Path

from common import heavy, noise, word

OBJECT = re.compile(r'(?:src|href)="(/(?:css|js|img)/[^"]+)"')
LINK = re.compile(r'<a href="(/page/[^"]+)"')
FILE = re.compile(r'<a href="(/files/[^"]+)"')
DATA = re.compile(r"fetch\('(/api/[^'?]+)")


def build_site(rng: random.Random, folder: Path) -> None:
    """Write a site of some five to ten megabytes below ``folder``."""
    for name in ("css", "js", "img", "files", "api", "page"):
        (folder / name).mkdir(parents=True)
    data = [f"/api/{word(rng)}.json" for _ in range(rng.randint(5, 9))]
    for path in data:
        _write(folder, path, json.dumps(_records(rng, heavy(rng, 12, 1.0, 1, 300))).encode())
    styles = [f"/css/{word(rng)}.css" for _ in range(rng.randint(2, 5))]
    for path in styles:
        _write(folder, path, _style(rng, heavy(rng, 9_000, 0.9, 500, 120_000)).encode())
    scripts = [f"/js/{word(rng)}.js" for _ in range(rng.randint(3, 8))]
    for path in scripts:
        _write(folder, path, _script(rng, data, heavy(rng, 20_000, 1.0, 300, 300_000)).encode())
    images = [f"/img/{word(rng)}.png" for _ in range(rng.randint(20, 45))]
    for path in images:
        _write(folder, path, picture(rng, heavy(rng, 12_000, 1.2, 200, 500_000)))
    files = [f"/files/{word(rng)}.bin" for _ in range(rng.randint(4, 8))]
    for path in files:
        _write(folder, path, b"".join(noise(heavy(rng, 400_000, 1.0, 20_000, 1_500_000))))
    pages = [f"/page/{word(rng)}.html" for _ in range(rng.randint(8, 16))]
    for path in ["/index.html", *pages]:
        shared = {"pages": pages, "styles": styles, "scripts": scripts}
        text = _page(rng, **shared, images=images, files=files)
        _write(folder, path, text.encode())


def _write(folder: Path, path: str, content: bytes) -> None:
    (folder / path[1:]).write_bytes(content)


def prose(rng: random.Random, size: int) -> str:
    """About ``size`` characters of words, which compress as language does."""
    words = [word(rng) for _ in range(120)]
    text = " ".join(rng.choice(words) for _ in range(size // 7 + 1))
    return text[:size]


def picture(rng: random.Random, size: int) -> bytes:
    """A grey PNG picture of about ``size`` bytes."""
    width = max(int(size**0.5), 1)
    rows = b"".join(b"\0" + block for block in (rng.randbytes(width) for _ in range(width)))

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, width, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 1)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _records(rng: random.Random, count: int) -> list[dict[str, object]]:
    keys = [word(rng) for _ in range(rng.randint(3, 8))]
    return [
        {key: rng.choice((word(rng), rng.randint(0, 9_999), rng.random())) for key in keys}
        for _ in range(count)
    ]


def _style(rng: random.Random, size: int) -> str:
    rule = f".{word(rng)} {{ margin: {rng.randint(0, 40)}px; padding: {rng.randint(0, 20)}px }}\n"
    return rule + f"/* {prose(rng, size)} */\n"


def _script(rng: random.Random, data: list[str], size: int) -> str:
    """Some scripts ask for data, once or again and again."""
    calls = "".join(
        f"setTimeout(() => fetch('{rng.choice(data)}?v=' + Math.random()), "
        f"{rng.randint(20, 1_500)});\n"
        for _ in range(rng.choice((0, 0, 1, 1, 2, 4)))
    )
    if rng.random() < 0.15:
        calls += f"setInterval(() => fetch('{rng.choice(data)}'), {rng.randint(600, 4_000)});\n"
    return f"{calls}/* {prose(rng, size)} */\n"


def _page(
    rng: random.Random,
    *,
    pages: list[str],
    styles: list[str],
    scripts: list[str],
    images: list[str],
    files: list[str],
) -> str:
    def some(paths: list[str], median: float) -> list[str]:
        return rng.sample(paths, heavy(rng, median, 0.8, 1, len(paths)))

    head = "".join(f'<link rel="stylesheet" href="{path}">\n' for path in some(styles, 2))
    head += "".join(f'<script src="{path}" defer></script>\n' for path in some(scripts, 3))
    parts = [f'<img src="{path}" alt="">' for path in some(images, 7)]
    parts += [f'<a href="{path}">{word(rng)}</a>' for path in some(pages, 5)]
    parts += [f'<a href="{path}">{word(rng)}</a>' for path in some(files, 1.5)]
    parts += [f"<p>{prose(rng, heavy(rng, 700, 1, 50, 8_000))}</p>" for _ in range(4)]
    rng.shuffle(parts)
    title = word(rng).title()
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html><head><meta charset="utf-8"><title>{title}</title>\n'
        f'<link rel="icon" href="data:,">\n{head}</head>\n<body>\n{body}\n</body></html>\n'
    )
