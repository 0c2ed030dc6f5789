"""Cryptomining over Stratum v1: a pool that checks every share, and miners that really search.

The miner hashes at a bounded rate; the pool sets the difficulty so that shares come as often as
its coin and the user like them. Plain TCP on the first port, TLS on the second.
"""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
from typing import Any

import common_net
from common import PeerError, Service, Session, emit, main, word
from common_stratum import COINS, Job, new_job, sha256d, target, throttled
from common_tls import client_context, server_contexts, server_name

TLS_PORTS = (3334, 443)
TICK_S = 0.1
START_HASHES = 4_000  # expected hashes for a share before the pool knows the miner
RETARGET_SHARES = 6
KEEP_JOBS = 8
AGENTS = (
    "cgminer/4.11.1",
    "bmminer/2.0.0",
    "bfgminer/5.5.0",
    "NerdMinerV2",
    "cpuminer-opt/3.23.3",
    "xmrig/6.21",
    "ccminer/2.3.1",
    "esp-miner/2.4",
    "NiceHash/1.0.0",
    "lolMiner 1.76",
)


def is_tls(port: int, ports: list[int]) -> bool:
    """Whether a port of the pool speaks TLS."""
    return port in TLS_PORTS or (len(ports) > 1 and port == ports[1])


async def serve(service: Service) -> None:
    """Run the pool."""
    tls = server_contexts(service.rng, service.host)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        miner = Miner(service, reader, writer)
        try:
            await miner.serve()
        finally:
            miner.stop()
            emit("session", coin=miner.coin, accepted=miner.accepted, rejected=miner.rejected)

    for port in service.ports:
        secure = is_tls(port, service.ports)
        await common_net.listen(service, port, handler, tls=tls if secure else ())


class Miner:
    """The pool's side of one connection."""

    def __init__(
        self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader, self.writer = reader, writer
        self.rng = random.Random(service.rng.getrandbits(64))
        self.share_s = float(service.params.get("share_s", 3.0)) * self.rng.lognormvariate(0, 0.8)
        self.compact = self.rng.random() < 0.5
        self.nonce_1 = self.rng.randbytes(4).hex()
        self.difficulty = START_HASHES / 2**32
        self.jobs: dict[str, Job] = {}
        self.seen: set[tuple[object, ...]] = set()
        self.coin = "BTC"
        self.accepted = self.rejected = self.since = 0
        self.since_at = time.monotonic()
        self._jobs_task: asyncio.Task[None] | None = None

    def send(self, **message: object) -> None:
        """Write one message."""
        separators = (",", ":") if self.compact else (", ", ": ")
        self.writer.write(json.dumps(message, separators=separators).encode() + b"\n")

    def stop(self) -> None:
        """Stop handing out jobs."""
        if self._jobs_task is not None:
            self._jobs_task.cancel()

    async def serve(self) -> None:
        """Answer until the miner leaves."""
        while line := await self.reader.readline():
            message = json.loads(line)
            if not isinstance(message, dict) or not isinstance(message.get("params", []), list):
                raise PeerError("no JSON-RPC request")
            await asyncio.sleep(min(self.rng.lognormvariate(-6, 1.0), 0.5))
            self._answer(message.get("id"), str(message.get("method")), message.get("params", []))
            await self.writer.drain()

    def _answer(self, number: object, method: str, params: list[Any]) -> None:
        if method == "mining.subscribe":
            topics = [
                [name, self.rng.randbytes(4).hex()]
                for name in ("mining.set_difficulty", "mining.notify")
            ]
            self.send(id=number, result=[topics, self.nonce_1, 4], error=None)
        elif method == "mining.authorize":
            self.send(id=number, result=True, error=None)
            self._begin(str(params[1]) if len(params) > 1 else "")
        elif method == "mining.submit":
            error = self._check([str(value) for value in params])
            self.send(id=number, result=error is None, error=error)
            self._retarget()
        elif method in ("mining.configure", "mining.extranonce.subscribe", "mining.ping"):
            self.send(id=number, result=method != "mining.configure" or {}, error=None)
        else:
            self.send(id=number, result=None, error=[20, "Unknown method", None])

    def _begin(self, password: str) -> None:
        """The first worker starts the jobs; its password may name the coin: ``c=LTC``."""
        if self._jobs_task is not None:
            return
        wishes = dict(part.partition("=")[::2] for part in password.split(","))
        self.coin = wishes.get("c", "BTC") if wishes.get("c") in COINS else "BTC"
        self.send(id=None, method="mining.set_difficulty", params=[self.difficulty])
        self._jobs_task = asyncio.create_task(self._hand_out())

    async def _hand_out(self) -> None:
        coin, job = COINS[self.coin], None
        for number in range(self.rng.getrandbits(16), 1 << 32):
            job = new_job(self.rng, coin, number, int(time.time()), job)
            if job.clean:
                self.jobs.clear()
                self.seen.clear()
            self.jobs[job.id] = job
            for old in list(self.jobs)[:-KEEP_JOBS]:
                del self.jobs[old]
            self.send(id=None, method="mining.notify", params=job.parameters())
            await asyncio.sleep(coin.job_s * self.rng.uniform(0.5, 1.5))

    def _check(self, share: list[str]) -> list[object] | None:
        """Whether a share is good; else its error."""
        error: list[object] | None = None
        job = self.jobs.get(share[1]) if len(share) >= 5 else None
        if job is None:
            error = [21, "Job not found", None]
        elif (key := tuple(share[1:5])) in self.seen:
            error = [22, "Duplicate share", None]
        else:
            self.seen.add(key)
            header = job.header(self.nonce_1 + share[2], share[3])
            found = sha256d(header + bytes.fromhex(share[4]))
            if int.from_bytes(found, "little") > target(self.difficulty) * 1.001:
                error = [23, "Low difficulty share", None]
        self.accepted, self.rejected = self.accepted + (error is None), self.rejected + bool(error)
        self.since += error is None
        return error

    def _retarget(self) -> None:
        """Vardiff: aim at a share every ``share_s`` seconds."""
        took_s = time.monotonic() - self.since_at
        if self.since >= RETARGET_SHARES:
            factor = min(max(self.share_s * self.since / max(took_s, 0.1), 0.25), 4.0)
            self.since, self.since_at = 0, time.monotonic()
            if not 0.7 < factor < 1.4:
                self.difficulty *= factor
                self.send(id=None, method="mining.set_difficulty", params=[self.difficulty])


class Rig:
    """The miner's side of one connection: one worker, or several behind a proxy."""

    def __init__(self, session: Session, reader: Any, writer: Any) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.reader, self.writer = reader, writer
        self.compact = self.rng.random() < 0.5
        self.wallet = self.rng.randbytes(self.rng.choice((17, 20, 21, 31))).hex()
        self.workers = [
            f"{self.wallet}.{word(self.rng)}" for _ in range(int(self.params.get("workers", 1)))
        ]
        self.number = 0
        self.job: Job | None = None
        self.nonce_1 = ""
        self.difficulty = 1.0
        self.accepted = self.refused = 0
        self.waiting: dict[int, str] = {}

    def ask(self, method: str, params: list[object]) -> None:
        """Send a request."""
        self.number += 1
        self.waiting[self.number] = method
        separators = (",", ":") if self.compact else (", ", ": ")
        message = {"id": self.number, "method": method, "params": params}
        self.writer.write(json.dumps(message, separators=separators).encode() + b"\n")

    def begin(self) -> None:
        """Introduce the miner and its workers."""
        if self.rng.random() < 0.3:
            self.ask(
                "mining.configure", [["version-rolling"], {"version-rolling.mask": "1fffe000"}]
            )
        self.ask("mining.subscribe", [self.rng.choice(AGENTS)])
        password = self.rng.choice(("x,", "", "d=1,")) + f"c={self.params.get('coin', 'BTC')}"
        for worker in self.workers:
            self.ask("mining.authorize", [worker, password])
        if self.rng.random() < 0.3:
            self.ask("mining.extranonce.subscribe", [])

    async def listen(self) -> None:
        """Take what the pool says."""
        while line := await self.reader.readline():
            message = json.loads(line)
            if message.get("method") == "mining.notify":
                self.job = Job.parse(message["params"])
                emit("job", id=self.job.id, clean=self.job.clean)
            elif message.get("method") == "mining.set_difficulty":
                self.difficulty = float(message["params"][0])
            elif message.get("id") in self.waiting:
                self._reply(self.waiting.pop(message["id"]), message)
        raise EOFError("the pool closed the connection")

    def _reply(self, method: str, message: dict[str, Any]) -> None:
        if method == "mining.subscribe":
            self.nonce_1 = str(message["result"][1])
        elif method == "mining.authorize" and message["result"] is not True:
            raise PeerError("the pool does not know this worker")
        elif method == "mining.submit":
            good = message.get("result") is True
            self.accepted, self.refused = self.accepted + good, self.refused + (not good)
            emit("share", accepted=good, error=message.get("error"))

    async def search(self) -> None:
        """Hash at the bounded rate and submit what is found."""
        per_tick = float(self.params.get("hashes_s", 3_000)) * TICK_S
        nonce = self.rng.getrandbits(30)
        while await self.session.sleep(TICK_S * self.rng.uniform(0.7, 1.3)):
            job = self.job
            if job is None or not self.nonce_1 or throttled(self.params):
                continue
            nonce_2 = self.rng.randbytes(4).hex()
            header, limit = job.header(self.nonce_1 + nonce_2, job.time), target(self.difficulty)
            for _ in range(int(per_tick)):
                nonce = (nonce + 1) & 0xFFFFFFFF
                tail = struct.pack(">I", nonce)
                if int.from_bytes(sha256d(header + tail), "little") <= limit:
                    worker = self.rng.choice(self.workers)
                    self.ask("mining.submit", [worker, job.id, nonce_2, job.time, tail.hex()])
                    await self.writer.drain()
                    break


async def _mine(session: Session, port: int) -> int:
    """One connection to the pool; the number of shares it accepted."""
    secure = is_tls(port, session.peer["ports"])
    streams = await common_net.connect(
        session,
        port,
        tls=client_context(session.rng) if secure else None,
        name=server_name(session.rng, session.peer["host"]) if secure else None,
    )
    rig = Rig(session, *streams)
    tasks = [asyncio.create_task(rig.listen()), asyncio.create_task(rig.search())]
    stay_s = float(session.params.get("stay_s", 0)) or session.left_s()
    try:
        rig.begin()
        done, _ = await asyncio.wait(tasks, timeout=stay_s, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except asyncio.CancelledError:
        session.stopped = True
    finally:
        for task in tasks:
            task.cancel()
        await common_net.disconnect(rig.writer, session.rng)
        emit("mined", accepted=rig.accepted, refused=rig.refused, difficulty=rig.difficulty)
    return rig.accepted


async def act(session: Session) -> None:
    """Mine until time is over; some move to another connection now and then."""
    ports = session.peer["ports"]
    wanted = [port for port in ports if is_tls(port, ports) == bool(session.params.get("tls"))]
    port = (wanted or ports)[0]
    accepted = 0
    try:
        if session.rng.random() < session.params.get("touch_share", 0.0):
            common_net.touch(session, port)
        for _ in range(int(session.params.get("actions", 1))):
            accepted += await _mine(session, port)
            if session.stopped or not await session.pause():
                return
    finally:
        emit("effect", success=accepted > 0, accepted_shares=accepted)


if __name__ == "__main__":
    main(serve, act)
