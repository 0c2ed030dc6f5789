"""BitTorrent: a tracker and a seeder, and leechers by libtorrent and aria2.

Leechers find the seeder, and each other, by the tracker. Discovery beyond it (DHT, local, UPnP) is
off: a lab's peers are its own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from common import PeerError, Service, Session, begun, emit, heavy, main, word
from common_tool import home, run_tool, time_left_s

LOOK_S = 0.2
LEAST_S = 2.0  # no torrent is begun for less
BUDGET_BYTES = 24 << 20


async def serve(service: Service) -> None:
    """Make torrents, seed them on the first port, and track them on the second."""
    import common_net
    from common_daemon import workspace
    from common_torrent import Tracker, make_torrent
    from common_tree import plant

    folder, rng = workspace(service), service.rng
    peer_port, tracker_port = service.ports[0], service.ports[-1]
    tracker = Tracker(rng, (service.address, peer_port))
    place = f"http://{service.address}:{tracker_port}/announce"
    seeder = open_session(service.address, peer_port, {"unchoke_slots_limit": -1})
    service.at_end(seeder.pause)
    for _ in range(rng.randint(5, 9)):
        name, files = f"{word(rng)}-{rng.randint(1, 99)}", heavy(rng, 3, 0.9, 1, 30)
        median = heavy(rng, 900_000, 0.9, 60_000, 4_000_000) / files
        size = BUDGET_BYTES // 9
        plant(rng, folder / name, files=files, median_bytes=median, budget_bytes=size)
        piece_bytes = rng.choice((16_384, 32_768, 65_536, 131_072))
        torrent, digest = make_torrent(folder / name, tracker=place, piece_bytes=piece_bytes)
        tracker.add(name, torrent, digest)
        file = folder / f"{name}.torrent"
        file.write_bytes(torrent)
        # The tracker names the seeder by itself, so it need not announce.
        add_torrent(seeder, wish_for(file), folder, seed=True).replace_trackers([])
    await common_net.listen(service, tracker_port, tracker.handle)
    _seeders.append(seeder)


_seeders: list[Any] = []  # a session that nobody holds is closed


def open_session(address: str, port: int, settings: dict[str, object]) -> Any:
    """A libtorrent session that keeps to itself and the trackers it is told."""
    import libtorrent

    wishes: Any = {
        **dict.fromkeys(("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp"), False),
        "listen_interfaces": f"{address}:{port}",
        "allow_multiple_connections_per_ip": True,
        "announce_to_all_trackers": True,
        **settings,
    }
    return libtorrent.session(wishes)


def add_torrent(link: Any, wish: Any, folder: Path, *, seed: bool = False) -> Any:
    """Add a torrent, started at once, whose files are, or will be, in a folder; its handle.

    Left to itself, libtorrent runs a few torrents at a time and turns away whoever asks for one of
    the others, which then waits for a minute before it asks again.
    """
    import libtorrent

    flags = libtorrent.torrent_flags
    wish.flags &= ~(flags.auto_managed | flags.paused)
    if seed:
        wish.flags |= flags.seed_mode  # it is all there: no hashing first
    wish.save_path = str(folder)
    return link.add_torrent(wish)


def wish_for(file: Path) -> Any:
    """What to add for a torrent file."""
    import libtorrent

    wish = libtorrent.add_torrent_params()
    wish.ti = libtorrent.torrent_info(str(file))
    return wish


class User:
    """One user: the site with the torrents, and the program's settings."""

    def __init__(self, session: Session, folder: Path) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.folder = folder
        self.site = f"http://{session.peer['address']}:{session.peer['ports'][-1]}"
        self.variant = str(self.params["variant"])
        self.port = self.rng.randint(20_000, 60_000)

    def get(self, path: str) -> bytes:
        """Something of the site."""
        begun()
        try:
            with build_opener(ProxyHandler({})).open(f"{self.site}{path}", timeout=5) as reply:
                content: bytes = reply.read()
        except URLError as error:
            raise PeerError(repr(error)) from error
        return content

    def torrents(self) -> Iterator[tuple[str, Path]]:
        """What this user wants: names and torrent files, with a pause before each but the first."""
        names = json.loads(self.get("/"))
        wanted = self.rng.sample(names, min(int(self.params.get("actions", 1)), len(names)))
        for number, name in enumerate(wanted):
            if number and (not self.session.rest() or self.session.left_s() < LEAST_S):
                return
            file = self.folder / f"{name}.torrent"
            file.write_bytes(self.get(f"/{name}.torrent"))
            yield name, file

    def settings(self) -> dict[str, object]:
        """The program's transport, encryption and bounds."""
        tcp, encrypted = self.variant != "utp", self.variant == "encrypted"
        return {
            "enable_outgoing_tcp": tcp,
            "enable_outgoing_utp": not tcp,
            # 0 insists on encryption, 1 takes both, 2 refuses it.
            "out_enc_policy": 0 if encrypted else 2,
            "in_enc_policy": 1,
            "allowed_enc_level": 2 if encrypted else 3,
            "download_rate_limit": int(self.params.get("rate_bytes_s", 0)),
            "upload_rate_limit": int(self.params.get("upload_bytes_s", 0)),
            "user_agent": f"{word(self.rng)}/{self.rng.randint(1, 9)}.{self.rng.randint(0, 9)}",
            "max_out_request_queue": self.rng.choice((5, 50, 500)),
        }


def act(session: Session) -> None:
    """Fetch torrents, one after the other, and stay for a while with those who still fetch."""
    with home() as folder:
        user = User(session, folder)
        if user.variant == "aria2":
            for name, file in user.torrents():
                _aria2(user, name, file)
            return
        link = open_session("0.0.0.0", user.port, user.settings())  # noqa: S104 - the host's own
        try:
            for name, file in user.torrents():
                _leech(user, link, name, file)
        finally:
            link.pause()
            # The trackers are told that this peer leaves.
            time.sleep(min(0.3, max(session.left_s(), 0)))


def _leech(user: User, link: Any, name: str, file: Path) -> None:
    """Fetch one torrent by libtorrent, by its file or by its magnet link."""
    import libtorrent

    if user.variant == "magnet":
        content = libtorrent.torrent_info(str(file))
        wish = libtorrent.parse_magnet_uri(
            f"magnet:?xt=urn:btih:{content.info_hash()}&tr={user.site}/announce"
        )
    else:
        wish = wish_for(file)
    handle = add_torrent(link, wish, user.folder)
    stay_s = float(user.params.get("stay_s", 1.0))
    while not (status := handle.status()).is_seeding:
        if user.session.left_s() < 2 * LOOK_S:
            break
        time.sleep(LOOK_S)
    time.sleep(max(min(stay_s, user.session.left_s() - 2 * LOOK_S), 0))
    emit(
        "torrent",
        name=name,
        complete=bool(status.is_seeding),
        bytes=int(status.total_payload_download),
        uploaded_bytes=int(status.total_payload_upload),
    )


def _aria2(user: User, name: str, file: Path) -> None:
    """Fetch one torrent by aria2."""
    command = ["aria2c", "-q", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"]
    command += [f"--listen-port={user.port}", f"--dir={user.folder}", "--file-allocation=none"]
    command += [f"--seed-time={float(user.params.get('stay_s', 1.0)) / 60:.3f}"]
    command += [f"--max-download-limit={int(user.params.get('rate_bytes_s', 0))}"]
    command += [f"--bt-stop-timeout={max(int(time_left_s(user.session)), 1)}", "--no-conf"]
    command += [f"--peer-id-prefix=-{word(user.rng, 6, 6)}-", str(file)]
    ran = run_tool(user.session, command, user.folder)
    got = sum(path.stat().st_size for path in (user.folder / name).rglob("*") if path.is_file())
    emit("torrent", name=name, tool="aria2", bytes=got, late=ran.late)


if __name__ == "__main__":
    main(serve, act)
