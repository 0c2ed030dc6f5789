"""Modbus/TCP: control rooms that poll, write and look around; the device is pymodbus's.

Both generations of that library are spoken to: they name the unit and the device differently.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import random
from typing import Any

import common_net
from common import PeerError, Service, Session, begun, emit, heavy, main
from common_tool import home, run_tool

TABLE = 2_000  # registers and coils of each kind
MAX_REGISTERS, MAX_COILS = 120, 1_500  # of one request
TABLES = ("coils", "discrete_inputs", "input_registers", "holding_registers")
_tasks: set[asyncio.Task[None]] = set()


async def serve(service: Service) -> None:
    """Be a controller with inputs, outputs and registers."""
    import pymodbus.server as library

    # Before 3.1 it is found a level below.
    kind: Any = getattr(library, "ModbusTcpServer", None) or library.async_io.ModbusTcpServer
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    for port in service.ports:
        server = kind(_device(service.rng), address=(service.address, port))
        _tasks.add(asyncio.get_running_loop().create_task(server.serve_forever()))
        while not _listening(server):
            await asyncio.sleep(0.01)


def _listening(server: Any) -> bool:
    return bool(getattr(server, "transport", None) or getattr(server, "server", None))


def _device(rng: random.Random) -> Any:
    from pymodbus import datastore

    def block(most: int) -> Any:
        return datastore.ModbusSequentialDataBlock(1, [rng.randint(0, most) for _ in range(TABLE)])

    tables = {"di": block(1), "co": block(1), "hr": block(0xFFFF), "ir": block(0xFFFF)}
    if hasattr(datastore, "ModbusDeviceContext"):  # since 3.10
        return datastore.ModbusServerContext(datastore.ModbusDeviceContext(**tables), single=True)
    return datastore.ModbusServerContext(datastore.ModbusSlaveContext(**tables), single=True)


class Master:
    """A connection to the controller."""

    def __init__(self, session: Session) -> None:
        from pymodbus.client import AsyncModbusTcpClient

        self.session, self.rng = session, session.rng
        self.client: Any = AsyncModbusTcpClient(session.peer["address"], port=session.port)
        known = inspect.signature(self.client.read_coils).parameters
        unit = session.rng.choice((1, 1, 1, 17, 247, 255))
        self.unit = {"device_id" if "device_id" in known else "slave": unit}

    async def open(self) -> None:
        """Connect."""
        begun()
        await self.client.connect()
        if not self.client.connected:
            raise PeerError("the controller does not answer")

    async def close(self) -> None:
        """Disconnect."""
        done = self.client.close()
        if inspect.isawaitable(done):
            await done

    async def read(self, table: str, address: int, count: int) -> list[int]:
        """Read from one of `TABLES`."""
        reply = await getattr(self.client, f"read_{table}")(address, count=count, **self.unit)
        if reply.isError():
            raise PeerError(str(reply))
        emit("read", table=table, address=address, count=count)
        return list(reply.registers if table.endswith("registers") else reply.bits)

    async def write(self, address: int, values: list[int]) -> None:
        """Write holding registers; single ones by the request for single ones."""
        if len(values) == 1:
            reply = await self.client.write_register(address, values[0], **self.unit)
        else:
            reply = await self.client.write_registers(address, values, **self.unit)
        self._written("register", address, len(values), reply)

    async def switch(self, address: int, states: list[bool]) -> None:
        """Write coils."""
        if len(states) == 1:
            reply = await self.client.write_coil(address, states[0], **self.unit)
        else:
            reply = await self.client.write_coils(address, states, **self.unit)
        self._written("coil", address, len(states), reply)

    def _written(self, what: str, address: int, count: int, reply: Any) -> None:
        if reply.isError():
            raise PeerError(str(reply))
        emit("write", what=what, address=address, count=count)


def _somewhere(rng: random.Random, median: float) -> tuple[str, int, int]:
    """A table, an address and a count."""
    table = rng.choice(TABLES)
    most = MAX_REGISTERS if table.endswith("registers") else MAX_COILS
    count = heavy(rng, median, 0.9, 1, most)
    return table, rng.randrange(TABLE - count - 1), count


async def act(session: Session) -> None:
    """Watch or control as the variant says."""
    from pymodbus.exceptions import ModbusException

    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "poll"))
    if variant == "mbpoll":
        await _mbpoll(session)
        return
    master = Master(session)
    try:
        await master.open()
        await {"control": _control, "sweep": _sweep, "operator": _operator}.get(variant, _poll)(
            session, master
        )
    except ModbusException as error:
        raise PeerError(str(error)) from error
    finally:
        await master.close()


async def _poll(session: Session, master: Master) -> None:
    """The same groups again and again, on the beat."""
    rng, period_s = session.rng, float(session.params.get("period_s", 1.0))
    groups = [_somewhere(rng, 12) for _ in range(int(session.params.get("groups", 3)))]
    for _ in range(int(session.params.get("cycles", 30))):
        for group in groups:
            await master.read(*group)
        if not await session.sleep(period_s * max(rng.gauss(1, 0.03), 0.2)):
            return


async def _control(session: Session, master: Master) -> None:
    """A loop that reads a measured value and writes a set point, or switches something."""
    rng, period_s = session.rng, float(session.params.get("period_s", 1.0))
    source, target = rng.randrange(TABLE - 20), rng.randrange(TABLE - 20)
    for _ in range(int(session.params.get("cycles", 30))):
        values = await master.read("input_registers", source, rng.randint(1, 8))
        if rng.random() < 0.7:
            await master.write(target, [value // 2 for value in values])
        else:
            states = [rng.random() < 0.5 for _ in range(rng.choice((1, 1, 4, 16)))]
            await master.switch(target, states)
        if not await session.sleep(period_s * rng.uniform(0.8, 1.2)):
            return


async def _sweep(session: Session, master: Master) -> None:
    """Everything once, block after block: an inventory or a backup."""
    block = session.rng.choice((10, 32, 64, 100, 120))
    for table in session.rng.sample(TABLES, session.rng.randint(1, 4)):
        for address in range(0, TABLE - block, block):
            await master.read(table, address, block)
            if not await session.sleep(session.rng.uniform(0.0, 0.04)):
                return


async def _operator(session: Session, master: Master) -> None:
    """A person at a panel: looks at pages, now and then presses a button."""
    async for _ in session.paced_actions():
        for _ in range(session.rng.randint(1, 6)):
            await master.read(*_somewhere(session.rng, 8))
        if session.rng.random() < 0.3:
            await master.switch(session.rng.randrange(TABLE - 20), [session.rng.random() < 0.5])


async def _mbpoll(session: Session) -> None:
    """The command-line tool, once each time."""
    rng = session.rng
    with home() as folder:
        async for _ in session.paced_actions():
            command = ["mbpoll", "-m", "tcp", "-p", str(session.port), "-1", "-q"]
            command += [
                "-a",
                str(rng.choice((1, 1, 2, 255))),
                "-r",
                str(rng.randint(1, TABLE - 150)),
            ]
            command += ["-t", str(rng.choice((0, 1, 3, 4)))]
            command += ["-c", str(heavy(rng, 10, 0.8, 1, 120)), session.peer["address"]]
            run_tool(session, command, folder)


if __name__ == "__main__":
    main(serve, act)
