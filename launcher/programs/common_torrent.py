"""BitTorrent for the lab programs: bencoding, torrent files, and a tracker over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

from common import PeerError, emit

INTERVAL_S = 30
FORGET_S = 90.0
MAX_PEERS = 50
Item = int | str | bytes | list["Item"] | dict[str, "Item"]


def bencode(item: Item) -> bytes:
    """A value as BitTorrent writes it."""
    if isinstance(item, int):
        return b"i%de" % item
    if isinstance(item, str):
        item = item.encode()
    if isinstance(item, bytes):
        return b"%d:%b" % (len(item), item)
    if isinstance(item, list):
        return b"l%be" % b"".join(bencode(part) for part in item)
    pairs = sorted(item.items())
    return b"d%be" % b"".join(bencode(key) + bencode(value) for key, value in pairs)


def make_torrent(folder: Path, *, tracker: str, piece_bytes: int) -> tuple[bytes, bytes]:
    """The torrent file of a folder's files, and its info hash."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    content = b"".join(path.read_bytes() for path in paths)
    pieces = b"".join(
        hashlib.sha1(content[at : at + piece_bytes], usedforsecurity=False).digest()
        for at in range(0, len(content), piece_bytes)
    )
    files: list[Item] = [
        {"length": path.stat().st_size, "path": list(path.relative_to(folder).parts)}
        for path in paths
    ]
    info: dict[str, Item] = {
        "files": files,
        "name": folder.name,
        "piece length": piece_bytes,
        "pieces": pieces,
    }
    digest = hashlib.sha1(bencode(info), usedforsecurity=False).digest()
    return bencode({"announce": tracker, "info": info}), digest


@dataclass
class Swarm:
    """Who has something of a torrent: addresses, and when each was heard of."""

    peers: dict[tuple[str, int], float] = field(default_factory=dict)

    def announce(self, peer: tuple[str, int], *, stopped: bool, now_s: float) -> list[Item]:
        """Note a peer; the others."""
        self.peers.pop(peer, None)
        others = [other for other, at in self.peers.items() if now_s - at < FORGET_S]
        if not stopped:
            self.peers[peer] = now_s
        return [{"ip": address, "port": port} for address, port in others]


class Tracker:
    """Answers announcements, and hands out the torrent files."""

    def __init__(self, rng: random.Random, seeder: tuple[str, int]) -> None:
        self.rng, self.seeder = rng, seeder
        self.torrents: dict[str, bytes] = {}
        self.swarms: dict[bytes, Swarm] = {}

    def add(self, name: str, torrent: bytes, digest: bytes) -> None:
        """Track a torrent."""
        self.torrents[name] = torrent
        self.swarms[digest] = Swarm()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        target = head.split(" ", 2)[1]
        peer = writer.get_extra_info("peername")[0]
        path, _, query = target.partition("?")
        body, kind = self.answer(path, query, peer)
        emit("request", path=path, reply_bytes=len(body))
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        writer.write(("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode() + body)
        await writer.drain()

    def answer(self, path: str, query: str, address: str) -> tuple[bytes, str]:
        """What is asked for, and its content type."""
        if path == "/announce":
            return self._announce(_parameters(query), address), "text/plain"
        if path == "/":
            return json.dumps(sorted(self.torrents)).encode(), "application/json"
        torrent = self.torrents.get(path.removeprefix("/").removesuffix(".torrent"))
        if torrent is None:
            raise PeerError(f"no torrent {path}")
        return torrent, "application/x-bittorrent"

    def _announce(self, said: Mapping[str, bytes], address: str) -> bytes:
        swarm = self.swarms.get(said.get("info_hash", b""))
        if swarm is None:
            return bencode({"failure reason": "unknown torrent"})
        peer = (address, int(said.get("port", b"0")))
        others = swarm.announce(
            peer, stopped=said.get("event") == b"stopped", now_s=time.monotonic()
        )
        if peer != self.seeder:
            others.append({"ip": self.seeder[0], "port": self.seeder[1]})
        self.rng.shuffle(others)
        emit("announce", port=peer[1], what=said.get("event", b"").decode(), peers=len(others))
        packed: Item = others[:MAX_PEERS]
        if said.get("compact") == b"1":
            packed = b"".join(_packed(item) for item in others[:MAX_PEERS])
        return bencode({"interval": INTERVAL_S, "peers": packed})


def _packed(item: Item) -> bytes:
    if not isinstance(item, dict):
        raise TypeError("a peer is a dictionary")
    return socket.inet_aton(str(item["ip"])) + int(str(item["port"])).to_bytes(2, "big")


def _parameters(query: str) -> dict[str, bytes]:
    """A query's parameters; the info hash is bytes."""
    return {
        name: unquote_to_bytes(value)
        for name, value in (part.partition("=")[::2] for part in query.split("&"))
    }
