"""Messages over MQTT: people and programs that publish and subscribe, by library and by tools.

The broker is mosquitto: plain TCP on the first port, TLS on the second.
"""

from __future__ import annotations

from pathlib import Path

import common_net
from common import PeerError, Service, Session, emit, heavy, main, noise, word
from common_daemon import start_daemon, workspace
from common_mqtt import TLS_PORT, client_name, connected
from common_pem import write_authority, write_server
from common_tool import home, run_tool

MAX_PAYLOAD_BYTES = 300_000


async def serve(service: Service) -> None:
    """Run the broker, open to everybody of the lab."""
    folder = workspace(service)
    files = write_server(service.rng, service.host, service.address, folder)
    lines = ["per_listener_settings false", "allow_anonymous true", "persistence false"]
    lines += ["user root", "log_dest stdout", "max_inflight_messages 20"]
    for port in service.ports:
        lines.append(f"listener {port} {service.address}")
        if port == TLS_PORT:
            lines += [f"certfile {files.certificate}", f"keyfile {files.key}"]
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["mosquitto", "-c", str(config)]
    await start_daemon(service, command, folder=folder, tcp=service.ports)


def act(session: Session) -> None:
    """Exchange messages as the variant says."""
    variant = str(session.params.get("variant", "chat"))
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    with home() as folder:
        if variant.startswith("tools"):
            _tools(session, folder, tls=variant == "tools-tls")
        elif variant == "notify":
            _notify(session, folder)
        else:
            _chat(session, folder, tls=variant == "chat-tls")


def _payload(session: Session) -> bytes:
    median = float(session.params.get("payload_bytes", 200))
    return b"".join(noise(heavy(session.rng, median, 1.3, 1, MAX_PAYLOAD_BYTES)))


def _topic(session: Session) -> str:
    """A topic of this user's own, so that others' messages do not come in between."""
    rng = session.rng
    return f"{word(rng)}/{rng.getrandbits(40):x}/" + "/".join(
        word(rng) for _ in range(rng.randrange(3))
    )


def _chat(session: Session, folder: Path, *, tls: bool) -> None:
    """Talk in rooms that one also listens to; everything said comes back."""
    rng = session.rng
    qos = int(session.params.get("qos", 0))
    with connected(session, folder, tls=tls) as link:
        room = _topic(session)
        link.client.subscribe(f"{room}/#", qos=rng.randrange(3))
        said = 0
        for _ in session.actions():
            count = heavy(rng, 1.5, 0.8, 1, 10)
            for _ in range(count):
                payload = _payload(session)
                link.publish(f"{room}/{word(rng)}", payload, qos=qos)
                said += 1
                emit("said", bytes=len(payload))
            if not link.wait_received(said) and qos > 0:
                raise PeerError("messages did not come back")
        emit("heard", messages=len(link.received), bytes=sum(link.received))


def _notify(session: Session, folder: Path) -> None:
    """One who publishes and others who only wait: a connection each."""
    rng, qos = session.rng, int(session.params.get("qos", 0))
    topic = _topic(session)
    with connected(session, folder) as waiting, connected(session, folder) as source:
        waiting.client.subscribe(topic, qos=qos)
        for _ in session.actions():
            source.publish(topic, _payload(session), qos=qos, retain=rng.random() < 0.3)
            emit("notified", received=len(waiting.received))
        waiting.wait_received(1)


def _tools(session: Session, folder: Path, *, tls: bool) -> None:
    """mosquitto's own tools in a script: retained messages put there and fetched."""
    rng, topic = session.rng, _topic(session) + "state"
    ports = [port for port in session.peer["ports"] if (port == TLS_PORT) == tls]
    place = ["-h", session.peer["address"], "-p", str((ports or session.peer["ports"])[0])]
    place += ["-V", rng.choice(("mqttv31", "mqttv311", "mqttv5"))]
    if tls:
        place += ["--cafile", str(write_authority(folder)), "--insecure"]
    file = folder / "payload"
    for action in session.actions():
        qos = ["-q", str(rng.randrange(3)), "-i", client_name(rng)[:20]]
        if action % 2 == 0:
            file.write_bytes(_payload(session))
            command = ["mosquitto_pub", *place, *qos, "-t", topic, "-f", str(file), "-r"]
        else:
            command = ["mosquitto_sub", *place, *qos, "-t", topic, "-C", "1", "-W", "3"]
        run_tool(session, command, folder)


if __name__ == "__main__":
    main(serve, act)
