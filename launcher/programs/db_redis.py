"""Redis: caches, queues, channels, bulk loads, command lines and a small load test.

The server is Redis's own, in memory only.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import common_net
from common import PeerError, Service, Session, emit, heavy, main, noise, word
from common_daemon import start_daemon, workspace
from common_tool import home, run_tool

WAIT_S = 2.0
MAX_VALUE_BYTES = 200_000
MAX_BENCHMARK = 400


async def serve(service: Service) -> None:
    """Run a server that keeps nothing."""
    folder = workspace(service)
    config = folder / "redis.conf"
    port = service.ports[0]
    config.write_text(
        f"bind {service.address}\nport {port}\nprotected-mode no\ndir {folder}\n"
        'save ""\nappendonly no\ndatabases 16\nmaxmemory 48mb\nmaxmemory-policy allkeys-lru\n'
        f"daemonize no\nloglevel notice\ntcp-keepalive {service.rng.choice((0, 60, 300))}\n",
        encoding="utf-8",
    )
    await start_daemon(service, ["redis-server", str(config)], folder=folder, tcp=[port])


def _value(session: Session) -> bytes:
    median = float(session.params.get("value_bytes", 300))
    return b"".join(noise(heavy(session.rng, median, 1.2, 1, MAX_VALUE_BYTES)))


def _key(rng: random.Random) -> str:
    """Few of them, so that some are asked for again."""
    return f"{rng.choice(('session', 'user', 'page', 'cart'))}:{rng.randrange(200)}"


@contextlib.contextmanager
def _client(session: Session) -> Iterator[Any]:
    import redis

    client = redis.Redis(
        host=session.peer["address"],
        port=session.port,
        db=session.rng.randrange(4),
        socket_timeout=10,
        client_name=session.rng.choice((None, word(session.rng))),
    )
    try:
        yield client
    except redis.RedisError as error:
        raise PeerError(f"{type(error).__name__}: {error}") from error
    finally:
        client.close()


def act(session: Session) -> None:
    """Use the store as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "cache"))
    if variant == "cli":
        _cli(session)
    elif variant == "benchmark":
        _benchmark(session)
    else:
        with _client(session) as client:
            {"cache": _cache, "queue": _queue, "channel": _channel, "load": _load}[variant](
                session, client
            )


def _cache(session: Session, client: Any) -> None:
    """Look up what a page needs; what is missing is made and kept for a while."""
    rng = session.rng
    for _ in session.actions():
        hits = misses = 0
        for _ in range(heavy(rng, 4, 0.8, 1, 40)):
            key = _key(rng)
            if client.get(key) is None:
                client.set(key, _value(session), ex=rng.randint(5, 600))
                misses += 1
            else:
                hits += 1
        if rng.random() < 0.3:
            client.hincrby("counters", word(rng, 3, 4), rng.randint(1, 5))
        emit("page", hits=hits, misses=misses)


def _queue(session: Session, client: Any) -> None:
    """Put jobs into a list and take them out again, waiting a little when there are none."""
    rng, name = session.rng, f"queue:{word(session.rng)}"
    for _ in session.actions():
        jobs = [_value(session) for _ in range(heavy(rng, 2, 0.8, 1, 20))]
        client.lpush(name, *jobs)
        taken = 0
        while taken < len(jobs) and client.brpop([name], timeout=1):
            taken += 1
        emit("jobs", put=len(jobs), taken=taken)


def _channel(session: Session, client: Any) -> None:
    """Publish on a channel that this user also listens to, on another connection."""
    name = f"room.{word(session.rng)}"
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe(name)
        for _ in session.actions():
            sent = heavy(session.rng, 2, 0.8, 1, 15)
            for _ in range(sent):
                client.publish(name, _value(session))
            got = sum(listener.get_message(timeout=WAIT_S) is not None for _ in range(sent))
            emit("messages", sent=sent, received=got)


def _load(session: Session, client: Any) -> None:
    """Write many keys at once, and scan over what is there."""
    rng = session.rng
    for _ in session.actions():
        with client.pipeline(transaction=rng.random() < 0.3) as batch:
            count = heavy(rng, 30, 0.8, 2, 300)
            for _ in range(count):
                batch.set(f"item:{rng.getrandbits(24):x}", _value(session), ex=120)
            batch.execute()
        _, keys = client.scan(0, match="item:*", count=rng.choice((10, 100)))
        emit("batch", written=count, seen=len(keys))


def _cli(session: Session) -> None:
    """Commands of an administrator, one process each or several typed into one."""
    rng = session.rng
    tool = ["redis-cli", "-h", session.peer["address"], "-p", str(session.port)]
    choices = ("INFO", "DBSIZE", "CLIENT LIST", "CONFIG GET max*", "SLOWLOG GET", "MEMORY STATS")
    with home() as folder:
        for _ in session.actions():
            lines = [rng.choice(choices) for _ in range(heavy(rng, 1.6, 0.8, 1, 8))]
            lines += [f"SET {_key(rng)} {word(rng, 3, 60)}", f"GET {_key(rng)}"][: rng.randrange(3)]
            if len(lines) == 1:
                run_tool(session, [*tool, *lines[0].split()], folder)
            else:
                run_tool(session, tool, folder, stdin="\n".join(lines) + "\n")


def _benchmark(session: Session) -> None:
    """A short load test."""
    rng = session.rng
    tool = ["redis-benchmark", "-h", session.peer["address"], "-p", str(session.port), "-q"]
    with home() as folder:
        for _ in session.actions():
            options = {
                "-n": heavy(rng, 60, 0.6, 10, MAX_BENCHMARK),
                "-c": rng.choice((1, 2, 4, 8)),
                "-d": heavy(rng, 60, 1.0, 3, 4_000),
                "-P": rng.choice((1, 1, 4, 16)),
                "-t": rng.choice(("get", "set,get", "incr", "lpush,lpop", "ping")),
            }
            words = [str(part) for pair in options.items() for part in pair]
            run_tool(session, [*tool, *words], folder)


if __name__ == "__main__":
    main(serve, act)
