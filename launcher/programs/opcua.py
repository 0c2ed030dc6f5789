"""OPC UA: machines whose values are read, watched, browsed, set and told to do things.

Server and client are asyncua's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from typing import Any

import common_net
from common import PeerError, Service, Session, begun, emit, heavy, main, word

SPACE = "urn:lab:machines"
MACHINES, VALUES = 6, 12
_tasks: set[asyncio.Task[None]] = set()


async def serve(service: Service) -> None:
    """Run a server with some machines whose values change."""
    from asyncua import Server, ua

    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    server: Any = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://{service.address}:{service.ports[0]}/lab")
    server.set_server_name(f"{word(service.rng).title()} {service.host}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace(SPACE)
    variables = []
    for machine in range(MACHINES):
        parent = await server.nodes.objects.add_object(
            ua.NodeId(f"machine{machine}", space), f"machine{machine}"
        )
        for number in range(VALUES):
            name = f"machine{machine}.value{number}"
            value = service.rng.uniform(-50, 500)
            variable = await parent.add_variable(ua.NodeId(name, space), name, value)
            await variable.set_writable()
            variables.append(variable)
        await parent.add_method(
            ua.NodeId(f"machine{machine}.run", space),
            "run",
            _run,
            [ua.VariantType.String],
            [ua.VariantType.Int64],
        )
    await server.start()
    _tasks.add(asyncio.create_task(_live(service.rng, variables)))


def _run(_parent: Any, order: Any) -> list[Any]:
    """What a machine does when told to: count the letters of its order."""
    from asyncua import ua

    return [ua.Variant(len(order.Value), ua.VariantType.Int64)]


async def _live(rng: random.Random, variables: list[Any]) -> None:
    """Let values swing, drift and jump."""
    for step in range(1 << 40):
        await asyncio.sleep(0.1)
        for number in rng.sample(range(len(variables)), 6):
            await variables[number].write_value(math.sin(step / 9 + number) * 10 + rng.gauss(0, 1))


async def act(session: Session) -> None:
    """Work with the machines as the variant says."""
    from asyncua import Client
    from asyncua.ua.uaerrors import UaError

    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "read"))
    place = f"opc.tcp://{session.peer['address']}:{session.port}/lab"
    client: Any = Client(place, timeout=8)
    client.description = client.name = f"{word(session.rng)} {word(session.rng)}"
    begun()
    deeds = {"watch": _watch, "browse": _browse, "set": _set, "call": _call}
    try:
        async with client:
            space = await client.get_namespace_index(SPACE)
            await deeds.get(variant, _read)(session, client, space)
    except (UaError, TimeoutError) as error:
        raise PeerError(f"{type(error).__name__}: {error}") from error


def _nodes(session: Session, client: Any, space: int, count: int) -> list[Any]:
    """Some values of some machines."""
    names = [f"machine{m}.value{v}" for m in range(MACHINES) for v in range(VALUES)]
    chosen = session.rng.sample(names, min(count, len(names)))
    return [client.get_node(f"ns={space};s={name}") for name in chosen]


async def _read(session: Session, client: Any, space: int) -> None:
    """The same values on the beat."""
    nodes = _nodes(session, client, space, int(session.params.get("values", 8)))
    period_s = float(session.params.get("period_s", 0.5))
    for _ in range(int(session.params.get("cycles", 20))):
        values = await client.read_values(nodes)
        emit("read", values=len(values))
        if not await session.sleep(period_s * max(session.rng.gauss(1, 0.05), 0.2)):
            return


async def _watch(session: Session, client: Any, space: int) -> None:
    """Be told of changes (a subscription), for a while."""

    class Seen:
        changes = 0

        def datachange_notification(self, _node: Any, _value: Any, _data: Any) -> None:
            self.changes += 1

    seen = Seen()
    period_ms = session.rng.choice((50, 100, 250, 500, 1_000))
    subscription = await client.create_subscription(period_ms, seen)
    await subscription.subscribe_data_change(
        _nodes(session, client, space, int(session.params.get("values", 8)))
    )
    async for _ in session.paced_actions():
        emit("watched", changes=seen.changes)
    with contextlib.suppress(TimeoutError):
        await subscription.delete()


async def _browse(session: Session, client: Any, _space: int) -> None:
    """An engineer who looks through the tree."""
    node = client.nodes.objects
    async for _ in session.paced_actions():
        children = await node.get_children()
        for child in children[: heavy(session.rng, 4, 0.7, 1, 15)]:
            await child.read_browse_name()
        emit("browsed", children=len(children))
        node = session.rng.choice(children) if children else client.nodes.root


async def _set(session: Session, client: Any, space: int) -> None:
    """Set points written and read back."""
    async for _ in session.paced_actions():
        for node in _nodes(session, client, space, heavy(session.rng, 2, 0.7, 1, 12)):
            await node.write_value(session.rng.uniform(-50, 500))
            emit("set", value=await node.read_value())


async def _call(session: Session, client: Any, space: int) -> None:
    """Orders to machines, with the recipe as text."""
    async for _ in session.paced_actions():
        name = f"ns={space};s=machine{session.rng.randrange(MACHINES)}"
        machine, method = client.get_node(name), client.get_node(f"{name}.run").nodeid
        order = " ".join(word(session.rng) for _ in range(heavy(session.rng, 12, 1.0, 1, 600)))
        emit("called", sent=len(order), got=await machine.call_method(method, order))


if __name__ == "__main__":
    main(serve, act)
