"""Devices that report over MQTT, each kind with its own rhythm; ``mqtt.py`` has the broker."""

from __future__ import annotations

import json
import math
import random
import struct
import time
from pathlib import Path

import common_net
from common import Session, emit, main, noise, word
from common_mqtt import Link, connected
from common_tool import home

QUANTITIES = ("temperature", "humidity", "pressure", "power", "co2", "voltage", "flow", "level")
NAP_S = 1.5  # at least, between two reports of a device that sleeps
MAX_MESSAGES = 600


class Sensor:
    """One measured quantity that drifts, swings and is noisy, and how its maker writes it down."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.quantity = rng.choice(QUANTITIES)
        self.id = f"{rng.getrandbits(48):012x}"
        self.topic = rng.choice(
            (
                f"site/{word(rng)}/{self.id}/{self.quantity}",
                f"tele/{word(rng)}_{self.id[:6]}/SENSOR",
                f"v1/devices/{self.id}/telemetry",
                f"{word(rng)}/{self.quantity}",
            )
        )
        self.format = rng.choice(("plain", "json", "json", "binary"))
        self.level, self.swing = rng.uniform(-20, 1_000), rng.uniform(0.1, 20)
        self.number = 0

    def reading(self) -> bytes:
        """The next message."""
        self.number += 1
        self.level += self.rng.gauss(0, self.swing / 20)
        value = self.level + self.swing * math.sin(self.number / 7)
        if self.format == "plain":
            return f"{value:.{self.rng.randrange(1, 3)}f}".encode()
        if self.format == "binary":
            return struct.pack("!IHf", int(time.time()), self.number & 0xFFFF, value)
        message = {"ts": time.time_ns() // 1_000_000, "id": self.id, self.quantity: round(value, 2)}
        if self.number % 10 == 1:
            message |= {"battery": self.rng.randint(20, 100), "rssi": -self.rng.randint(30, 95)}
        return json.dumps(message).encode()


def act(session: Session) -> None:
    """Report as the variant says until the session is over."""
    variant = str(session.params.get("variant", "steady"))
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    sensors = [Sensor(session.rng) for _ in range(int(session.params.get("sensors", 1)))]
    with home() as folder:
        if variant == "sleepy":
            _sleepy(session, folder, sensors)
            return
        name = f"dev-{sensors[0].id}"
        with connected(session, folder, tls=variant == "secure", name=name) as link:
            if variant == "alarm":
                _alarm(session, link, sensors[0])
            elif variant == "commanded":
                _commanded(session, link, sensors[0])
            else:
                _periodic(session, link, sensors)


def _wait(session: Session, seconds: float) -> bool:
    if seconds >= session.left_s() - 0.3:
        return False
    time.sleep(seconds)
    return True


def _report(session: Session, link: Link, sensor: Sensor) -> None:
    payload = sensor.reading()
    link.publish(sensor.topic, payload, qos=int(session.params.get("qos", 0)))
    emit("reading", topic=sensor.topic, bytes=len(payload))


def _periodic(session: Session, link: Link, sensors: list[Sensor]) -> None:
    """A report of every sensor each period, almost on the beat."""
    period_s = float(session.params.get("period_s", 1.0))
    jitter = float(session.params.get("jitter", 0.02))
    for _ in range(
        max(1, min(int(session.params.get("reports", 60)), MAX_MESSAGES // len(sensors)))
    ):
        for sensor in sensors:
            _report(session, link, sensor)
        if not _wait(session, period_s * max(session.rng.gauss(1, jitter), 0.1)):
            return


def _sleepy(session: Session, folder: Path, sensors: list[Sensor]) -> None:
    """A battery-driven device: wakes, connects, reports what it stored, and is gone."""
    while True:
        with connected(session, folder, name=f"dev-{sensors[0].id}") as link:
            for sensor in sensors:
                for _ in range(session.rng.randint(1, 4)):
                    _report(session, link, sensor)
        if not _wait(session, NAP_S + session.rng.expovariate(0.8)):
            return


def _alarm(session: Session, link: Link, sensor: Sensor) -> None:
    """Silence, then a volley: doors, motion, leaks; the state is retained."""
    while _wait(session, session.rng.expovariate(0.7)):
        for state in (b"ON", b"OFF")[: session.rng.randint(1, 2)]:
            link.publish(sensor.topic, state, qos=1, retain=True)
            emit("alarm", topic=sensor.topic)
            if not _wait(session, session.rng.uniform(0.05, 0.4)):
                return


def _commanded(session: Session, link: Link, sensor: Sensor) -> None:
    """A device that is told things on a topic of its own, and says what it then did."""
    link.client.subscribe(f"{sensor.topic}/set", qos=1)
    _report(session, link, sensor)
    for number in range(1, int(session.params.get("reports", 20))):
        if not _wait(session, session.rng.lognormvariate(-0.3, 0.7)):
            return
        # The user's application shares the device's connection, as a phone's bridge does.
        command = b"".join(noise(session.rng.randint(2, 120)))
        link.publish(f"{sensor.topic}/set", command, qos=1)
        link.wait_received(number)
        _report(session, link, sensor)


if __name__ == "__main__":
    main(None, act)
