"""MQTT connections of the lab programs, with either generation of the paho library."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import PeerError, Session, begun, word
from common_pem import write_authority

TLS_PORT = 8883
WAIT_S = 5.0
VERSIONS = (3, 4, 4, 5)  # of the protocol: 3.1, 3.1.1 and 5


class Link:
    """One connection to the broker."""

    def __init__(self, session: Session, folder: Path, *, tls: bool, name: str = "") -> None:
        self.rng, self.tls = session.rng, tls
        self.received: list[int] = []
        self._came = threading.Condition()
        self._connected = threading.Event()
        self.client = _client(name or client_name(self.rng), self.rng.choice(VERSIONS))
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        if tls:
            import ssl

            context = ssl.create_default_context(cafile=str(write_authority(folder)))
            context.check_hostname = False  # devices are given addresses
            self.client.tls_set_context(context)
        if self.rng.random() < 0.4:
            self.client.will_set(f"last/{word(self.rng)}", b"offline", qos=self.rng.randrange(3))

    def open(self, session: Session) -> None:
        """Connect; `PeerError` when the broker does not take us."""
        ports = session.peer["ports"]
        port = next((p for p in ports if (p == TLS_PORT) == self.tls), ports[0])
        begun()
        self.client.connect(
            session.peer["address"], port, keepalive=self.rng.choice((2, 5, 10, 30, 60, 300))
        )
        self.client.loop_start()
        if not self._connected.wait(WAIT_S):
            raise PeerError("the broker does not answer")

    def _on_connect(self, *_: Any) -> None:
        self._connected.set()

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        with self._came:
            self.received.append(len(message.payload))
            self._came.notify_all()

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None:
        """Publish and wait until it is out, or acknowledged as its quality says."""
        info = self.client.publish(topic, payload, qos=qos, retain=retain)
        info.wait_for_publish(WAIT_S)
        if not info.is_published():
            raise PeerError("the broker did not acknowledge a message")

    def wait_received(self, count: int, timeout_s: float = WAIT_S) -> bool:
        """Wait until this many messages have come in all."""
        with self._came:
            return self._came.wait_for(lambda: len(self.received) >= count, timeout_s)

    def close(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        self.client.loop_stop()


@contextlib.contextmanager
def connected(
    session: Session, folder: Path, *, tls: bool = False, name: str = ""
) -> Iterator[Link]:
    """A connection to the session's broker."""
    link = Link(session, folder, tls=tls, name=name)
    link.open(session)
    try:
        yield link
    finally:
        link.close()


def client_name(rng: random.Random) -> str:
    """A client's id as different makers form it."""
    return rng.choice(
        (
            f"{word(rng)}-{rng.getrandbits(32):08x}",
            f"mqttjs_{rng.getrandbits(32):08x}",
            word(rng, 3, 20),
        )
    )


def _client(name: str, version: int) -> Any:
    from paho.mqtt import client as mqtt

    options: dict[str, Any] = {"client_id": name, "protocol": version}
    if hasattr(mqtt, "CallbackAPIVersion"):  # since 2.0
        options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION2
    return mqtt.Client(**options)
