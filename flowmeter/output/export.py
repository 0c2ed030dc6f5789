"""Sends flows to a collector: NetFlow v9 or IPFIX over UDP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import pyarrow as pa

from flowmeter.output.ipfix import Ipfix
from flowmeter.output.messages import Messages
from flowmeter.output.netflow import NetflowV9
from topologies.errors import InputError, MachineError, Problem

LOOPBACK: Final = "127.0.0.1"
_PROTOCOLS: Final[Mapping[str, tuple[Callable[[pa.Schema], Messages], int]]] = {
    "netflow9": (NetflowV9, 2055),
    "ipfix": (Ipfix, 4739),
}


class Exporter:
    """Takes batches of flows and sends them as messages, one datagram each.

    Attributes
    ----------
    rows, sent
        Flows taken and messages sent so far.
    """

    def __init__(self, messages: Messages, send: Callable[[bytes], object]) -> None:
        self.rows = self.sent = 0
        self._messages, self._send = messages, send

    def write(self, batch: pa.RecordBatch) -> None:
        """Send the flows of a batch."""
        self.rows += batch.num_rows
        for message in self._messages.messages(batch):
            self._send(message)
            self.sent += 1


@contextmanager
def open_exporter(url: str, schema: pa.Schema) -> Iterator[Exporter]:
    """Send flows to a collector.

    Parameters
    ----------
    url
        ``netflow9://HOST:PORT`` or ``ipfix://HOST:PORT``. The port is 2055 or 4739 if it is left
        out, the host this machine. Nobody need listen: UDP does not tell.

    Raises
    ------
    InputError
        No such protocol or host, or the feature set lacks a field of the records.
    MachineError
        There is no way to the host.
    """
    make, family, address = _target(url)
    messages = make(schema)
    with socket.socket(family, socket.SOCK_DGRAM) as datagrams:

        def send(message: bytes) -> None:
            try:
                datagrams.sendto(message, address)
            except OSError as error:
                raise MachineError(
                    f"flows cannot be sent to {url}: {error.strerror or error}",
                    remedy="check the address, and that there is a route to it",
                ) from error

        yield Exporter(messages, send)


def check_url(url: str) -> None:
    """Refuse what `open_exporter` would refuse of a URL."""
    _target(url)


_Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


def _target(
    url: str,
) -> tuple[Callable[[pa.Schema], Messages], socket.AddressFamily, _Address]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _wrong(url, str(error)) from error
    if parts.scheme not in _PROTOCOLS or parts.path or parts.query:
        raise _wrong(url, repr(url))
    make, usual = _PROTOCOLS[parts.scheme]
    try:
        found = socket.getaddrinfo(
            parts.hostname or LOOPBACK, port or usual, type=socket.SOCK_DGRAM
        )
    except OSError as error:
        raise _wrong(url, f"a host that is not known ({error.strerror})") from error
    family, _, _, _, address = found[0]
    return make, family, address


def _wrong(url: str, got: str) -> InputError:
    return InputError(
        Problem(
            f"export to {url}",
            path="",
            expected=" or ".join(f"{name}://HOST:PORT" for name in _PROTOCOLS),
            got=got,
            remedy="correct the address",
        )
    )
