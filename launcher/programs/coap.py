"""CoAP: small devices read, written, observed; in blocks, over DTLS and over TCP.

The server is libcoap's example server, whose resources clients make themselves; UDP and TCP are on
the first port, DTLS on the second. The tools are libcoap's too, and a small client of ours keeps
one socket open as devices do.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from common import PeerError, Service, Session, emit, heavy, main, noise, word
from common_daemon import start_daemon, workspace
from common_tool import home, run_tool

KEY = "lab-secret"
TRIES, WAIT_S = 3, 1.5
METHODS = {"get": 1, "post": 2, "put": 3, "delete": 4}
CONFIRMABLE, PLAIN, ACKNOWLEDGEMENT = 0, 1, 2
URI_PATH, URI_QUERY, CONTENT_FORMAT = 11, 15, 12
READABLE = ("time", "", ".well-known/core", "async?1", "example_data")


async def serve(service: Service) -> None:
    """Run libcoap's server with room for clients' resources."""
    folder = workspace(service)
    command = ["coap-server-openssl", "-A", service.address, "-p", str(service.ports[0])]
    command += ["-d", "400", "-k", KEY, *(["-N"] if service.rng.random() < 0.5 else [])]
    await start_daemon(service, command, folder=folder, udp=service.ports)


def act(session: Session) -> None:
    """Use a device as the variant says."""
    variant = str(session.params.get("variant", "read"))
    if variant == "device":
        _device(session)
        return
    with home() as folder:
        if variant == "observe":
            _observe(session, folder)
        elif variant == "blocks":
            _blocks(session, folder)
        else:
            _tool(session, folder, variant)


def _run(session: Session, folder: Path, options: list[str], path: str, variant: str = "") -> str:
    scheme = {"secure": "coaps", "tcp": "coap+tcp"}.get(variant, "coap")
    ports = session.peer["ports"]
    url = f"{scheme}://{session.peer['address']}:{ports[-1 if variant == 'secure' else 0]}/{path}"
    keys = ["-k", KEY, "-u", word(session.rng)] if variant == "secure" else []
    command = ["coap-client-openssl", "-B", "5", *keys, *options, url]
    return run_tool(session, command, folder).output


def _tool(session: Session, folder: Path, variant: str) -> None:
    """Single requests, a new socket each."""
    rng = session.rng
    for _ in session.actions():
        kind = ["-N"] if variant == "read" and rng.random() < 0.3 else []
        if rng.random() < 0.3:
            text = " ".join(word(rng) for _ in range(heavy(rng, 4, 0.8, 1, 40)))
            method = rng.choice(("put", "post"))
            _run(session, folder, [*kind, "-m", method, "-e", text], "example_data", variant)
        else:
            _run(session, folder, kind, rng.choice(READABLE), variant)


def _observe(session: Session, folder: Path) -> None:
    """Be told of changes for a while."""
    for _ in session.actions():
        duration = min(heavy(session.rng, 3, 0.6, 1, 60), max(int(session.left_s() - 1), 1))
        said = _run(session, folder, ["-s", str(duration)], "time")
        emit("observed", seconds=duration, bytes=len(said))


def _blocks(session: Session, folder: Path) -> None:
    """Put something larger than a datagram in blocks, and fetch it again: a firmware, a log."""
    rng, file = session.rng, folder / "payload"
    for _ in session.actions():
        size = heavy(rng, float(session.params.get("file_bytes", 4_000)), 0.9, 300, 60_000)
        file.write_bytes(b"".join(noise(size)))
        path = f"{word(rng)}{rng.getrandbits(24):x}"
        block = ["-b", str(rng.choice((64, 128, 256, 512, 1_024)))]
        _run(session, folder, [*block, "-m", "put", "-t", "42", "-f", str(file)], path)
        got = _run(session, folder, [*block, "-o", str(folder / "got")], path)
        _run(session, folder, ["-m", "delete"], path)
        emit("blocks", bytes=size, said=len(got))


class Device:
    """A client with one socket for all its requests."""

    def __init__(self, session: Session, sock: socket.socket) -> None:
        self.rng, self.sock = session.rng, sock
        self.number = session.rng.getrandbits(16)
        self.token_bytes = session.rng.choice((0, 2, 4, 8))

    def ask(self, method: str, path: str, payload: bytes = b"", *, confirmable: bool) -> int:
        """One request, repeated until it is answered; the code of the answer."""
        self.number = (self.number + 1) & 0xFFFF
        token = self.rng.randbytes(self.token_bytes)
        packet = encode(
            METHODS[method],
            self.number,
            token,
            path_options(path, binary=bool(payload)),
            payload,
            kind=CONFIRMABLE if confirmable else PLAIN,
        )
        for _ in range(TRIES):
            self.sock.send(packet)
            try:
                return self._answer(token)
            except TimeoutError:
                continue
        raise PeerError("the device does not answer")

    def _answer(self, token: bytes) -> int:
        while True:
            data = self.sock.recv(2_048)
            kind, code, number, answered = decode(data)
            if kind == CONFIRMABLE:
                self.sock.send(struct.pack("!BBH", 0x40 | ACKNOWLEDGEMENT << 4, 0, number))
            if code and answered == token:
                return code


def encode(
    code: int,
    number: int,
    token: bytes,
    options: list[tuple[int, bytes]],
    payload: bytes,
    *,
    kind: int,
) -> bytes:
    """A CoAP message (RFC 7252, section 3)."""
    packet = struct.pack("!BBH", 0x40 | kind << 4 | len(token), code, number) + token
    last = 0
    for option, value in sorted(options, key=lambda item: item[0]):
        delta, more_delta = _nibble(option - last)
        length, more_length = _nibble(len(value))
        packet += bytes([delta << 4 | length]) + more_delta + more_length + value
        last = option
    return packet + (b"\xff" + payload if payload else b"")


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes([value - 13])
    return 14, struct.pack("!H", value - 269)


def decode(data: bytes) -> tuple[int, int, int, bytes]:
    """Kind, code, message id and token of a message; `PeerError` if it is none."""
    if len(data) < 4 or data[0] >> 6 != 1 or len(data) < 4 + (data[0] & 15):
        raise PeerError("no CoAP message")
    first, code, number = struct.unpack("!BBH", data[:4])
    return first >> 4 & 3, code, number, data[4 : 4 + (first & 15)]


def path_options(path: str, *, binary: bool) -> list[tuple[int, bytes]]:
    """The options that say a path, its query and the payload's format."""
    where, _, query = path.partition("?")
    options = [(URI_PATH, part.encode()) for part in where.split("/") if part]
    options += [(URI_QUERY, query.encode())] if query else []
    return options + ([(CONTENT_FORMAT, b"\x2a")] if binary else [])


def _device(session: Session) -> None:
    """A gateway that asks again and again from one socket, and now and then sets something."""
    rng = session.rng
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(WAIT_S)
        sock.connect((session.peer["address"], session.port))
        device = Device(session, sock)
        for _ in session.actions():
            confirmable = rng.random() < float(session.params.get("confirmable", 0.5))
            if rng.random() < 0.3:
                payload = b"".join(noise(heavy(rng, 30, 0.8, 1, 900)))
                code = device.ask("put", "example_data", payload, confirmable=confirmable)
            else:
                code = device.ask("get", rng.choice(READABLE[:2]), confirmable=confirmable)
            emit("answer", code=f"{code >> 5}.{code & 31:02}")


if __name__ == "__main__":
    main(serve, act)
