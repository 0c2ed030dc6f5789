"""RTMP: live channels and recorded clips on nginx, watched by ffmpeg and rtmpdump, and publishers.

The service's own live channels reach nginx inside its host.
"""

from __future__ import annotations

from pathlib import Path

from common import Service, Session, emit, heavy, main, word
from common_tool import home, run_tool, time_left_s

CLIPS, CHANNELS = 3, 2
CLIP_S = 15.0
MODULE = "/usr/lib/nginx/modules/ngx_rtmp_module.so"

_RTMP = """
rtmp {{
    access_log off;
    server {{
        {listen}
        chunk_size {chunk};
        application live {{ live on; record off; }}
        application inbox {{ live on; record off; }}
        application vod {{ play {folder}/vod; }}
    }}
}}
"""


async def serve(service: Service) -> None:
    """Make clips, serve them, and send some of them again and again as live channels."""
    from common_daemon import start_daemon, workspace
    from common_media import h264, make, source
    from common_nginx import configuration, start_nginx

    folder, rng = workspace(service), service.rng
    (folder / "vod").mkdir()
    for number in range(CLIPS):
        kbit = heavy(rng, 500, 0.5, 150, 2_500)
        arguments = [*source(rng, CLIP_S), *h264(kbit), f"vod/clip{number}.flv"]
        await make(arguments, folder)
    more = _RTMP.format(
        listen=" ".join(f"listen {service.address}:{port};" for port in service.ports),
        chunk=rng.choice((4_000, 4_096, 8_192)),
        folder=folder,
    )
    await start_nginx(service, folder, configuration(rng, folder, more=more, modules=[MODULE]))
    for number in range(CHANNELS):
        place = f"rtmp://{service.address}:{service.ports[0]}/live/channel{number}"
        loop = ["-re", "-stream_loop", "-1", "-i", f"vod/clip{number}.flv", "-c", "copy"]
        command = ["ffmpeg", "-v", "error", "-nostdin", *loop, "-f", "flv", place]
        await start_daemon(service, command, folder=folder)


def act(session: Session) -> None:
    """Watch or publish, one after the other."""
    variant, rng = str(session.params["variant"]), session.rng
    base = f"rtmp://{session.peer['address']}:{session.port}"
    with home() as folder:
        for action in range(int(session.params.get("actions", 1))):
            if action and not session.rest():
                return
            seconds = min(float(session.params.get("watch_s", 30.0)), time_left_s(session) - 0.5)
            seconds = max(seconds * (rng.uniform(0.5, 1.0) if action else 1.0), 1.0)
            if variant.startswith("publish"):
                _publish(session, folder, base, seconds)
                continue
            live = variant == "watch-live"
            name = (
                f"live/channel{rng.randrange(CHANNELS)}"
                if live
                else f"vod/clip{rng.randrange(CLIPS)}.flv"
            )
            if variant == "record-rtmpdump":
                place = f"{base}/{name.removesuffix('.flv')}"
                command = ["rtmpdump", "-q", "-r", place, "-o", "/dev/null"]
                command += ["-B", f"{seconds:.0f}"]
                ran = run_tool(session, command, folder, fine=(0, 2))  # 2: not to the end
            else:
                command = ["ffmpeg", "-v", "error", "-nostdin", "-i", f"{base}/{name}"]
                command += ["-t", f"{seconds:.1f}", "-c", "copy", "-f", "null", "-"]
                ran = run_tool(session, command, folder, limit_s=seconds + 2.0)
            emit("watched", name=name, seconds=round(seconds, 1), late=ran.late)


def _publish(session: Session, folder: Path, base: str, seconds: float) -> None:
    """Send a picture to the server: a clip that was made before, or one made meanwhile."""
    from common_media import h264, source

    rng = session.rng
    kbit = int(session.params.get("kbit", 400))
    name = f"{word(rng)}-{rng.getrandbits(24):x}"
    target = ["-f", "flv", f"{base}/inbox/{name}"]
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
    if session.params["variant"] == "publish-clip":
        clip = folder / "clip.flv"
        made = [*command, *source(rng, 4.0), *h264(kbit), str(clip)]
        run_tool(session, made, folder)
        limit = ["-t", f"{max(min(seconds, time_left_s(session) - 0.5), 1.0):.1f}"]
        send = ["-re", "-stream_loop", "-1", "-i", str(clip), *limit, "-c", "copy", *target]
    else:
        send = [*_as_it_comes(source(rng, seconds)), *h264(kbit), *target]
    ran = run_tool(session, [*command, *send], folder)
    emit("published", name=name, kbit=kbit, seconds=round(seconds, 1), late=ran.late)


def _as_it_comes(inputs: list[str]) -> list[str]:
    """The same inputs, each read at its own pace."""
    paced = []
    for part in inputs:
        paced += ["-re", part] if part == "-f" else [part]
    return paced


if __name__ == "__main__":
    main(serve, act)
