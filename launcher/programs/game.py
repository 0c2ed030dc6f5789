"""Network games: players whose machines and the server tell each other what happens, many times a
second, by Quake III's protocol; and people who look for a server to play on.
"""

from __future__ import annotations

import asyncio
import random
import struct
from typing import Any

from common import PeerError, Service, Session, begun, emit, heavy, main, noise, word
from common_quake import (
    PROTOCOL,
    Channel,
    Scene,
    info,
    out_of_band,
    parse_info,
    parse_out_of_band,
)

GONE_S = 1.5  # without a packet, and a player has left
WAIT_S, TRIES = 1.0, 4
MAPS = ("q3dm1", "q3dm6", "q3dm17", "q3tourney2", "q3ctf1", "pro-q3dm13")
MAX_HZ = 125.0


class Server(asyncio.DatagramProtocol):
    """The game: who plays, and what each of them is told."""

    def __init__(self, service: Service) -> None:
        self.rng = service.rng
        self.name = f"{word(service.rng).title()} {service.host}"
        self.map = service.rng.choice(MAPS)
        self.bots = service.rng.randint(1, 12)
        self.players: dict[tuple[str, int], Player] = {}

    def connection_made(self, transport: Any) -> None:
        """Keep the socket."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer, or hand it to the player who sent it."""
        message = parse_out_of_band(data)
        if message is None:
            if addr in self.players:
                self.players[addr].hear(data)
            return
        command, lines = message
        for answer in self._answers(addr, command, lines):
            self.transport.sendto(answer, addr)

    def _answers(self, addr: tuple[str, int], command: str, lines: list[str]) -> list[bytes]:
        about = info(
            mapname=self.map, protocol=PROTOCOL, hostname=self.name, sv_maxclients=24, gametype=3
        )
        if command == "getinfo":
            return [out_of_band("infoResponse", f"{about}\\challenge\\{''.join(lines[:1])}")]
        if command == "getstatus":
            players = [
                f'{self.rng.randint(0, 50)} {self.rng.randint(5, 120)} "{word(self.rng)}"'
                for _ in range(self.bots + len(self.players))
            ]
            return [out_of_band("statusResponse", about, *players)]
        if command == "getchallenge":
            return [out_of_band(f"challengeResponse {self.rng.getrandbits(31)}")]
        if command == "connect" and lines:
            self.players[addr] = player = Player(self, addr, parse_info(lines[0]))
            player.start()
            return [out_of_band("connectResponse")]
        return []


class Player:
    """One player, as the server sees it."""

    def __init__(self, server: Server, addr: tuple[str, int], wishes: dict[str, str]) -> None:
        self.server, self.addr = server, addr
        self.rng = random.Random(server.rng.getrandbits(64))
        self.hz = min(float(wishes.get("snaps", "20")), 60.0)
        self.channel = Channel()
        busy = float(wishes.get("busy", "1"))
        others = server.bots + int(wishes.get("others", "0"))
        self.scene = Scene(self.rng, others=min(others, 40), busy=busy)
        self.heard_at = asyncio.get_running_loop().time()

    def start(self) -> None:
        """Begin to tell the player what happens."""
        self.task = asyncio.create_task(self._tell())

    def hear(self, packet: bytes) -> None:
        """A packet of the player's."""
        try:
            self.channel.take(packet, from_client=True)
        except (PeerError, struct.error) as error:
            emit("dropped", error=str(error))
            return
        self.heard_at = asyncio.get_running_loop().time()

    async def _tell(self) -> None:
        """The whole state once, then what changes."""
        self._send(b"".join(noise(heavy(self.rng, 9_000, 0.4, 3_000, 24_000))))
        loop = asyncio.get_running_loop()
        due = loop.time()
        while loop.time() - self.heard_at < GONE_S:
            self.scene.step()
            self._send(self.scene.snapshot())
            due += 1 / self.hz
            await asyncio.sleep(max(due - loop.time(), 0))
        self.server.players.pop(self.addr, None)
        emit("left", snapshots=self.channel.sent, lost=self.channel.lost)

    def _send(self, body: bytes) -> None:
        for packet in self.channel.packets(body):
            self.server.transport.sendto(packet, self.addr)


async def serve(service: Service) -> None:
    """Run the game on every port."""
    for port in service.ports:
        await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Server(service), local_addr=(service.address, port)
        )


class Game(asyncio.DatagramProtocol):
    """A player's machine: its socket and what has come in."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.channel = rng, Channel(port=rng.getrandbits(16))
        self.answers: asyncio.Queue[tuple[str, list[str]]] = asyncio.Queue()
        self.snapshots = 0

    def connection_made(self, transport: Any) -> None:
        """Keep the socket."""
        self.transport = transport

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        """Take what the server says."""
        message = parse_out_of_band(data)
        if message is not None:
            self.answers.put_nowait(message)
        elif self.channel.take(data, from_client=False) is not None:
            self.snapshots += 1

    async def ask(self, *words: str, answer: str) -> list[str]:
        """Send a message until it is answered."""
        begun()
        for _ in range(TRIES):
            self.transport.sendto(out_of_band(*words))
            try:
                async with asyncio.timeout(WAIT_S):
                    while True:
                        command, lines = await self.answers.get()
                        if command == answer:
                            return lines
            except TimeoutError:
                continue
        raise PeerError(f"no {answer}")

    def send(self, body: bytes) -> None:
        """Send a message of the game."""
        for packet in self.channel.packets(body):
            self.transport.sendto(packet)


async def act(session: Session) -> None:
    """Play, or look around, as the variant says."""
    if session.params.get("variant") == "lobby":
        await _look_around(session)
        return
    game = await _open(session)
    try:
        await _join(session, game)
        await _play(session, game)
    finally:
        for _ in range(3):  # as the real one does: one of them should arrive
            game.send(b"".join(noise(12)))
        game.transport.close()
        emit("played", snapshots=game.snapshots, lost=game.channel.lost, sent=game.channel.sent)
    if not game.snapshots:
        raise PeerError("the server told nothing")


async def _open(session: Session) -> Game:
    _, game = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Game(session.rng), remote_addr=(session.peer["address"], session.port)
    )
    return game


async def _look_around(session: Session) -> None:
    """A server list: is it up, who plays; asked again now and then."""
    async for _ in session.paced_actions():
        game = await _open(session)
        try:
            await game.ask(f"getinfo {session.rng.getrandbits(24)}", answer="infoResponse")
            if session.rng.random() < 0.7:
                lines = await game.ask("getstatus", answer="statusResponse")
                emit("status", players=len(lines) - 1)
        finally:
            game.transport.close()


async def _join(session: Session, game: Game) -> None:
    """Get a challenge and connect."""
    params = session.params
    lines = await game.ask("getchallenge", answer="challengeResponse")
    wishes = info(
        challenge="".join(lines[:1]),
        qport=game.channel.port,
        protocol=PROTOCOL,
        name=word(session.rng),
        rate=session.rng.choice((8_000, 25_000, 50_000)),
        snaps=params.get("snapshot_hz", 20),
        busy=params.get("busy", 1.0),
        others=params.get("others", 4),
    )
    await game.ask(f'connect "{wishes}"', answer="connectResponse")
    emit("joined", snapshot_hz=params.get("snapshot_hz", 20))


async def _play(session: Session, game: Game) -> None:
    """Rounds, with pauses in which a player only watches."""
    rng, params = session.rng, session.params
    hz = min(float(params.get("command_hz", 60)), MAX_HZ)
    jitter = float(params.get("jitter", 0.1))
    scene = Scene(rng, others=0, busy=float(params.get("busy", 1.0)))
    loop = asyncio.get_running_loop()
    end = loop.time() + min(float(params.get("stay_s", 30.0)), max(session.left_s() - 0.5, 0.5))
    dead_until = 0.0
    while (now := loop.time()) < end:
        scene.step()
        dead = now < dead_until
        if not dead and rng.random() < 0.03 / hz * float(params.get("busy", 1.0)):
            dead_until = now + rng.uniform(1, 4)
        game.send(scene.command(1 if dead else rng.choice((1, 2, 2, 3))))
        if rng.random() < 0.02 / hz:
            game.send(b"".join(noise(rng.randint(20, 150))))  # a line to the others
        await asyncio.sleep(max(rng.gauss(1, jitter), 0.1) / (hz / 4 if dead else hz))


if __name__ == "__main__":
    main(serve, act)
