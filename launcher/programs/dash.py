"""DASH: titles and a live channel that ffmpeg packed, served by nginx to adaptive players.

The last mile is the server's: it sends each user's segments at the rate that user's player names.
"""

from __future__ import annotations

import time
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

import common_net
from common import PeerError, Service, Session, emit, main
from common_dash import Rendition, read_manifest
from common_headers import client_headers
from common_tls import client_context, server_name
from common_tool import home, run_tool, time_left_s

TITLES = 2
TITLE_S = 24.0
RATES_KBIT = ((150, 400, 900), (120, 300, 700, 1_400))
CONTENT = "types { application/dash+xml mpd; video/iso.segment m4s; video/mp4 mp4; }"


async def serve(service: Service) -> None:
    """Pack titles, serve them with nginx, and keep a live channel going."""
    from common_daemon import start_daemon, workspace
    from common_nginx import configuration, start_nginx, tls_settings

    folder, rng = workspace(service), service.rng
    site = folder / "site"
    for number in range(TITLES):
        await _pack(service, site / f"title{number}", single=number > 0)
    (site / "live").mkdir()
    place = f"root {site}; {CONTENT} limit_rate $arg_rate; location /live/ {{ expires -1; }}"
    servers = "\n".join(
        tls_settings(
            rng, service.host, folder, f"listen {service.address}:{port} ssl http2; {place}"
        )
        for port in service.ports
    )
    await start_nginx(service, folder, configuration(rng, folder, servers=servers))
    live = ["-re", "-stream_loop", "-1", "-i", str(folder / "live.mp4"), "-map", "0", "-c", "copy"]
    window = ["-f", "dash", "-seg_duration", "2", "-window_size", "6", "-extra_window_size", "3"]
    command = ["ffmpeg", "-v", "error", "-nostdin", *live, *window, str(site / "live/manifest.mpd")]
    await start_daemon(service, command, folder=folder)


async def _pack(service: Service, folder: Path, *, single: bool) -> None:
    """Encode one title in all its renditions: a file a segment, or one file for each rendition."""
    from common_media import make, source

    folder.mkdir(parents=True)
    rng = service.rng
    kbits = rng.choice(RATES_KBIT)
    encoded = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30"]
    encoded += ["-keyint_min", "30", "-sc_threshold", "0", "-threads", "1"]
    for number, kbit in enumerate(kbits):
        encoded += ["-map", "0:v", f"-b:v:{number}", f"{kbit}k"]
        encoded += [f"-maxrate:v:{number}", f"{kbit * 2}k", f"-bufsize:v:{number}", f"{kbit * 2}k"]
    encoded += ["-map", "1:a", "-c:a", "aac", "-b:a", rng.choice(("64k", "96k", "128k"))]
    packed = ["-f", "dash", "-seg_duration", rng.choice(("2", "4"))]
    packed += ["-use_timeline", "1", "-adaptation_sets", "id=0,streams=v id=1,streams=a"]
    if single:
        packed += ["-single_file", "1"]
    await make([*source(rng, TITLE_S), *encoded, *packed, "manifest.mpd"], folder)
    if not single:
        parts = ["-map", "0:v:0", "-map", "0:a:0", "-c", "copy", "../../live.mp4"]
        await make(["-i", "manifest.mpd", *parts], folder)


class Player:
    """One user's player: a connection, a buffer, and the rate that was measured."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.name = server_name(self.rng, session.peer["host"])
        self.headers = dict(client_headers(self.rng))
        self.link: HTTPSConnection | None = None
        self.rate_kbit = self.buffer_s = 0.0
        self.at = time.monotonic()
        self.mile_kbit = float(self.params.get("mile_kbit", 3_000))

    def fetch(self, path: str, *, bounds: str = "") -> bytes:
        """Fetch something; its size and time tell how fast the network is."""
        if self.link is None:
            sock = common_net.dial(self.session, self.session.port)
            self.link = HTTPSConnection(self.name, self.session.port)
            self.link.sock = client_context(self.rng).wrap_socket(sock, server_hostname=self.name)
        # A walk around the last mile's mean: what the neighbours leave.
        self.mile_kbit = max(self.mile_kbit * self.rng.lognormvariate(0, 0.2), 200.0)
        extra = {"Range": f"bytes={bounds}"} if bounds else {}
        began = time.monotonic()
        try:
            url = f"/{path}?rate={int(self.mile_kbit * 125)}"
            self.link.request("GET", url, headers=self.headers | extra)
            with self.link.getresponse() as reply:
                content = reply.read()
        except HTTPException as error:
            raise PeerError(repr(error)) from error
        if reply.status == 404:
            return b""  # a live segment that is not there yet, or no more
        took_s = max(time.monotonic() - began, 0.001)
        if len(content) > 2_000:
            self.rate_kbit = 0.5 * self.rate_kbit + 0.5 * len(content) / 125 / took_s
        return content

    def choose(self, track: list[Rendition]) -> Rendition:
        """The rendition for the next segment, by the rate or by the buffer."""
        if self.params.get("variant") == "vod-buffer":
            share = min(self.buffer_s / float(self.params.get("target_s", 10.0)), 1.0)
            return track[int(share * (len(track) - 1))]
        fitting = [one for one in track if one.kbit < 0.75 * self.rate_kbit]
        return fitting[-1] if fitting else track[0]

    def play(self, added_s: float) -> float:
        """Add to the buffer what has come, take from it what was played; the time to wait."""
        now = time.monotonic()
        self.buffer_s = max(self.buffer_s - (now - self.at), 0.0) + added_s
        self.at = now
        return max(self.buffer_s - float(self.params.get("target_s", 10.0)), 0.0)

    def wait(self, wait_s: float) -> bool:
        """Wait; False when the session would be over."""
        if wait_s >= self.session.left_s() - 0.3:
            return False
        time.sleep(wait_s)
        return True

    def close(self) -> None:
        """Disconnect."""
        if self.link is not None:
            if self.link.sock is not None:
                common_net.reset_on_close(self.link.sock, share=0.1, rng=self.rng)
            self.link.close()


def act(session: Session) -> None:
    """Watch one title after the other, or what is live."""
    variant, rng = str(session.params["variant"]), session.rng
    title = "title1" if variant == "vod-ranges" else "title0"  # in one file, in a file a segment
    for action in range(int(session.params.get("actions", 1))):
        if action and not session.rest():
            return
        seconds = float(session.params.get("watch_s", 30.0))
        if variant == "ffmpeg":
            _ffmpeg(session, rng.choice(["title0", "live"]), seconds)
            continue
        player = Player(session)
        try:
            if variant == "live":
                _watch_live(player, seconds)
            else:
                _watch(player, title, seconds)
        finally:
            player.close()


def _watch(player: Player, title: str, seconds: float) -> None:
    """A title from its begin, or from where the user jumps to."""
    tracks = read_manifest(player.fetch(f"{title}/manifest.mpd").decode())
    started: set[Rendition] = set()
    count = min(len(track[0].segments) for track in tracks)
    number = 1 if player.rng.random() < 0.6 else player.rng.randrange(1, 1 + count // 2)
    watched_s = 0.0
    while number < count and watched_s < seconds:
        size, length_s, kbit = 0, 0.0, 0.0
        for track in tracks:
            chosen = player.choose(track)
            parts = [chosen.segments[number]]
            if chosen not in started:
                started.add(chosen)
                parts.insert(0, chosen.segments[0])
            for part in parts:
                size += len(player.fetch(f"{title}/{part.path}", bounds=part.range))
            length_s, kbit = max(length_s, track[0].segment_s), kbit + chosen.kbit
        emit("segment", number=number, kbit=kbit, bytes=size, buffer_s=round(player.buffer_s, 2))
        watched_s, number = watched_s + length_s, number + 1
        if not player.wait(player.play(length_s)):
            return
    emit("title", watched_s=round(watched_s, 1))


def _watch_live(player: Player, seconds: float) -> None:
    """The live edge: the manifest again and again, and what is new in it."""
    seen: set[str] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        manifest = player.fetch("live/manifest.mpd")
        for track in read_manifest(manifest.decode()) if manifest else []:
            segments = player.choose(track).segments
            for part in (segments[0], *segments[-2:]):
                if part.path not in seen:
                    seen.add(part.path)
                    size = len(player.fetch(f"live/{part.path}"))
                    emit("segment", path=part.path, bytes=size)
        if not player.wait(player.rng.uniform(1.5, 2.2)):
            return


def _ffmpeg(session: Session, title: str, seconds: float) -> None:
    """ffmpeg as the player, reading at the title's pace."""
    limit_s = max(min(seconds, time_left_s(session) - 1.0), 1.0)
    place = f"https://{session.peer['address']}:{session.port}/{title}/manifest.mpd"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-tls_verify", "0", "-re", "-i", place]
    command += ["-t", f"{limit_s:.1f}", "-c", "copy", "-f", "null", "-"]
    with home() as folder:
        ran = run_tool(session, command, folder, limit_s=limit_s + 2.0)
    emit("watched", title=title, tool="ffmpeg", late=ran.late)


if __name__ == "__main__":
    main(serve, act)
