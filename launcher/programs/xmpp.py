"""Instant messages over XMPP: talks, rooms, presence and contact lists, plain and with TLS.

The server is Prosody, with accounts made up from the seed; the users are slixmpp's.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import common_net
from common import PeerError, Service, Session, begun, emit, heavy, main, word
from common_daemon import start_daemon, workspace
from common_pem import write_authority, write_server
from common_tool import home

DOMAIN, ROOMS = "chat.lab", "rooms.chat.lab"
PASSWORD = "lab-password"  # noqa: S105 - every account of the lab has it
USERS = 80
WITHOUT_TLS = {"unencrypted_plain": True, "unencrypted_scram": True}
WAIT_S = 8.0
CONFIG = """
run_as_root = true
daemonize = false
pidfile = "{folder}/pid"
data_path = "{folder}/data"
certificates = "{folder}"
interfaces = {{ "{address}" }}
c2s_ports = {{ {plain} }}
c2s_direct_tls_ports = {{ {secure} }}
s2s_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
log = {{ {{ levels = {{ min = "info" }}, to = "console" }} }}
ssl = {{ certificate = "{files.certificate}", key = "{files.key}" }}
modules_enabled = {{
  "roster", "saslauth", "tls", "disco", "ping", "private", "vcard4", "version", "carbons",
  "smacks", "offline", "time"
}}
modules_disabled = {{ "s2s", "admin_shell", "posix" }}
VirtualHost "{domain}"
Component "{rooms}" "muc"
  restrict_room_creation = false
  muc_room_locking = false
  muc_room_default_public = true
"""


async def serve(service: Service) -> None:
    """Make accounts and run Prosody on them."""
    folder = workspace(service)
    files = write_server(service.rng, DOMAIN.removesuffix(".lab"), service.address, folder)
    accounts = folder / "data" / DOMAIN.replace(".", "%2e") / "accounts"
    accounts.mkdir(parents=True)
    for number in range(USERS):
        account = f'return {{ ["password"] = "{PASSWORD}" }};\n'
        (accounts / f"user{number}.dat").write_text(account, encoding="ascii")
    config = folder / "prosody.cfg.lua"
    config.write_text(
        CONFIG.format(
            folder=folder,
            address=service.address,
            plain=service.ports[0],
            secure=", ".join(map(str, service.ports[1:])),
            files=files,
            domain=DOMAIN,
            rooms=ROOMS,
        ),
        encoding="ascii",
    )
    command = ["prosody", "--config", str(config), "-F"]
    await start_daemon(service, command, folder=folder, tcp=service.ports)


class User:
    """One logged-in user."""

    def __init__(self, session: Session, folder: Path) -> None:
        import slixmpp

        self.session = session
        self.rng = random.Random(session.rng.getrandbits(64))
        self.name = f"user{self.rng.randrange(USERS)}@{DOMAIN}"
        device = f"{word(self.rng)}.{self.rng.getrandbits(32):x}"
        self.client: Any = slixmpp.ClientXMPP(
            f"{self.name}/{device}", PASSWORD, plugin_config={"feature_mechanisms": WITHOUT_TLS}
        )
        self.client.ca_certs = write_authority(folder)
        self.client.whitespace_keepalive_interval = self.rng.choice((5, 30, 300))
        for plugin in ("xep_0030", "xep_0045", "xep_0199", "xep_0085", "xep_0184"):
            self.client.register_plugin(plugin)
        self.heard = 0
        self._came = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for name in ("message", "groupchat_message"):
            self.client.add_event_handler(name, self._hear)
        self.client.add_event_handler("session_start", self._start)
        for name in ("failed_auth", "failed_all_auth", "no_auth", "connection_failed"):
            self.client.add_event_handler(name, self._fail)

    def _start(self, _event: object) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _fail(self, event: object) -> None:
        if not self._ready.done():
            self._ready.set_exception(PeerError(f"cannot log in: {event}"))

    def _hear(self, message: Any) -> None:
        if message["body"]:
            self.heard += 1
            self._came.set()

    async def login(self, how: str) -> None:
        """Connect in one of the ways (plain, starttls, tls), log in, fetch contacts, be present."""
        ports = self.session.peer["ports"]
        place = (self.session.peer["address"], ports[-1] if how == "tls" else ports[0])
        begun()
        if hasattr(self.client, "enable_direct_tls"):  # since 1.10
            self.client.enable_direct_tls = how == "tls"
            self.client.enable_starttls = how == "starttls"
            self.client.enable_plaintext = how == "plain"
            self.client.connect(*place)
        else:
            self.client.connect(place, use_ssl=how == "tls", disable_starttls=how != "starttls")
        await asyncio.wait_for(self._ready, WAIT_S)
        if self.rng.random() < 0.8:
            await self.client.get_roster()
        self.client.send_presence(pstatus=word(self.rng) if self.rng.random() < 0.3 else None)
        emit("login", user=self.name, security=how)

    async def wait_heard(self, count: int) -> None:
        """Wait until this many messages have come in all."""
        async with asyncio.timeout(WAIT_S):
            while self.heard < count:
                await self._came.wait()
                self._came.clear()

    def say(self, to: str, *, room: bool = False) -> None:
        """Send a message of words."""
        text = " ".join(word(self.rng) for _ in range(heavy(self.rng, 7, 0.9, 1, 300)))
        self.client.send_message(to, text, mtype="groupchat" if room else "chat")
        emit("said", bytes=len(text), room=room)

    async def logout(self) -> None:
        """Leave."""
        self.client.disconnect(wait=1.0)
        await asyncio.wait([self.client.disconnected], timeout=2.0)


async def act(session: Session) -> None:
    """Log in and behave as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    logging.getLogger("slixmpp").setLevel(logging.CRITICAL)  # ours are the events
    variant = str(session.params.get("variant", "talk"))
    how = variant.partition("-")[2] or "plain"
    deeds: dict[str, Callable[[Session, list[User]], Awaitable[None]]] = {
        "talk": _talk,
        "room": _room,
        "idle": _idle,
    }
    people = 1 if variant.startswith("idle") else 2
    with home() as folder:
        users = [User(session, folder) for _ in range(people)]
        try:
            await asyncio.gather(*(user.login(how) for user in users))
            await deeds[variant.partition("-")[0]](session, users)
        except TimeoutError as error:
            raise PeerError("a message did not arrive") from error
        finally:
            await asyncio.gather(*(user.logout() for user in users))


async def _talk(session: Session, users: list[User]) -> None:
    """Two people write to each other, now one more, now the other."""
    rng, (one, other) = session.rng, users
    async for _ in session.paced_actions():
        speaker, listener = (one, other) if rng.random() < 0.6 else (other, one)
        address = str(listener.client.boundjid.full)
        if rng.random() < 0.5:
            note = speaker.client.make_message(mto=address, mtype="chat")
            note["chat_state"] = "composing"
            note.send()
            if not await session.pause(0.3):
                return
        before, count = listener.heard, rng.choice((1, 1, 1, 2, 3))
        for _ in range(count):
            speaker.say(address)
        await listener.wait_heard(before + count)


async def _room(session: Session, users: list[User]) -> None:
    """A room in which everything is sent to everybody."""
    rng = session.rng
    room = f"{word(rng)}{rng.getrandbits(24):x}@{ROOMS}"
    for user in users:
        user.client.plugin["xep_0045"].join_muc(room, word(rng, 4, 12) + rng.choice("xyz"))
        if not await session.sleep(0.3):
            return
    async for _ in session.paced_actions():
        before = users[1].heard
        users[0].say(room, room=True)
        await users[1].wait_heard(before + 1)


async def _idle(session: Session, users: list[User]) -> None:
    """Somebody who is only there: pings, changes of presence, now and then a question."""
    rng, client = session.rng, users[0].client
    async for _ in session.paced_actions():
        what = rng.random()
        if what < 0.5:
            await client.plugin["xep_0199"].ping(DOMAIN)
        elif what < 0.8:
            client.send_presence(pshow=rng.choice(("away", "dnd", "chat", "xa")))
        else:
            await client.plugin["xep_0030"].get_info(jid=rng.choice((DOMAIN, ROOMS)))
        emit("idle", kind=round(what, 1))


if __name__ == "__main__":
    main(serve, act)
