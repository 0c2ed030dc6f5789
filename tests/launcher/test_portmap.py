"""The port mapper of the NFS server's host: what is registered is told, and only its host may."""

from __future__ import annotations

import importlib
import struct
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import launcher

PROGRAMS = Path(launcher.__file__).parent / "programs"
NFS, TCP, UDP = 100_003, 6, 17


@pytest.fixture
def portmap(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, which finds the others by its folder."""
    monkeypatch.syspath_prepend(PROGRAMS)
    return importlib.import_module("common_portmap")


def call(version: int, procedure: int, arguments: bytes, *, program: int = 100_000) -> bytes:
    return struct.pack(">10I", 7, 0, 2, program, version, procedure, 0, 0, 0, 0) + arguments


def string(value: str) -> bytes:
    return struct.pack(">I", len(value)) + value.encode() + bytes(-len(value) % 4)


def mapping(program: int, version: int, protocol: int, port: int = 0) -> bytes:
    return struct.pack(">4I", program, version, protocol, port)


def binding(program: int, version: int, network: str, address: str) -> bytes:
    return struct.pack(">2I", program, version) + b"".join(map(string, (network, address, "me")))


def result(reply: bytes) -> bytes:
    """What a reply carries, once it says that the call was accepted."""
    assert struct.unpack(">6I", reply[:24]) == (7, 1, 0, 0, 0, 0)
    return reply[24:]


def test_what_rpcbind_registers_a_port_mapper_tells(portmap: ModuleType) -> None:
    mapper = portmap.PortMapper("198.18.0.2")
    said = binding(NFS, 3, "tcp6", "::.8.1")
    assert result(mapper.reply(call(4, portmap.SET, said), local=True)) == struct.pack(">I", 1)
    asked = call(2, portmap.GET, mapping(NFS, 3, TCP))
    assert result(mapper.reply(asked, local=False)) == struct.pack(">I", 2_049)
    asked = call(2, portmap.GET, mapping(NFS, 3, UDP))
    assert result(mapper.reply(asked, local=False)) == struct.pack(">I", 0)
    asked = call(3, portmap.GET, binding(NFS, 4, "tcp", ""))
    assert result(mapper.reply(asked, local=False)) == string("198.18.0.2.8.1")
    asked = call(4, portmap.GET_VERSION, binding(NFS, 4, "tcp", ""))
    assert result(mapper.reply(asked, local=False)) == string("")


def test_only_programs_of_the_host_register(portmap: ModuleType) -> None:
    mapper = portmap.PortMapper("198.18.0.2")
    new = call(2, portmap.SET, mapping(NFS, 3, TCP, 2_049))
    assert result(mapper.reply(new, local=False)) == struct.pack(">I", 0)
    assert result(mapper.reply(new, local=True)) == struct.pack(">I", 1)
    gone = call(2, portmap.UNSET, mapping(NFS, 3, 0))
    assert result(mapper.reply(gone, local=False)) == struct.pack(">I", 0)
    assert result(mapper.reply(gone, local=True)) == struct.pack(">I", 1)
    assert mapper.port_of(portmap.Registration(NFS, 3, "tcp", 0)) == 0


def test_everything_is_listed(portmap: ModuleType) -> None:
    mapper = portmap.PortMapper("198.18.0.2")
    listed = result(mapper.reply(call(2, portmap.DUMP, b""), local=False))
    own = struct.pack(">5I", 1, 100_000, 2, TCP, 111), struct.pack(">5I", 1, 100_000, 2, UDP, 111)
    assert listed == b"".join(own) + bytes(4)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (call(2, 0, b"", program=NFS), 1),
        (call(9, 0, b""), 2),
        (call(2, 77, b""), 3),
        (call(2, 3, b"\0"), 4),
    ],
)
def test_what_it_cannot_do_it_says(portmap: ModuleType, asked: bytes, status: int) -> None:
    reply = portmap.PortMapper("198.18.0.2").reply(asked, local=False)
    assert struct.unpack(">I", reply[20:24]) == (status,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(version=st.integers(0, 5), procedure=st.integers(0, 12), arguments=st.binary(max_size=80))
def test_no_call_takes_it_down(
    portmap: ModuleType, version: int, procedure: int, arguments: bytes
) -> None:
    mapper = portmap.PortMapper("198.18.0.2")
    mapper.reply(arguments, local=True)
    assert mapper.reply(call(version, procedure, arguments), local=True)[:4] == b"\0\0\0\7"
