"""Working on and watching a remote desktop by RFB, the protocol of VNC.

The server is TigerVNC's, with a desktop that shows text, windows and pictures and reacts to keys
and clicks. Viewers are ours, which work as people do, and vncsnapshot.
"""

from __future__ import annotations

import asyncio
import ssl

import common_net
import common_person
from common import PeerError, Service, Session, emit, main
from common_daemon import start_daemon, workspace
from common_pem import server_name, write_authority, write_server
from common_rfb import CURSOR, HEXTILE, RAW, ZRLE, Viewer
from common_tool import home, run_tool

SIZES = ("800x600", "1024x768", "1280x800")
ENCODINGS = {"zrle": [ZRLE], "hextile": [HEXTILE], "raw": [RAW], "zrle-cursor": [ZRLE, CURSOR]}


async def serve(service: Service) -> None:
    """Run a display and something to see on it."""
    from common_desktop import Desktop

    folder, rng = workspace(service), service.rng
    files = write_server(rng, service.host, service.address, folder)
    port = service.ports[0]
    # No socket in the file system and no lock file: several hosts may share the folder /tmp.
    display = f":{port % 1_000}"
    command = ["Xtigervnc", display, "-nolock", "-nolisten", "unix", "-nolisten", "tcp"]
    command += ["-listen", "local", "-rfbport", str(port), "-interface", service.address]
    command += ["-SecurityTypes", "None,X509None", "-AlwaysShared", "-geometry", rng.choice(SIZES)]
    command += ["-X509Cert", str(files.certificate), "-X509Key", str(files.key), "-depth", "24"]
    command += ["-desktop", service.host, "-FrameRate", str(rng.choice((15, 30, 60)))]
    await start_daemon(service, command, folder=folder, tcp=[port])
    desktop = await asyncio.to_thread(Desktop, rng, display)
    desktop.run_in_thread()


async def act(session: Session) -> None:
    """Work or watch as the variant says."""
    if session.rng.random() < session.params.get("touch_share", 0.0):
        common_net.touch(session, session.port)
    variant = str(session.params.get("variant", "work"))
    with home() as folder:
        if variant == "snapshot":
            place = f"{session.peer['address']}::{session.port}"
            for _ in session.actions():
                command = [
                    "vncsnapshot",
                    "-quiet",
                    "-nocursor",
                    "-quality",
                    str(session.rng.randint(10, 95)),
                ]
                command += ["-encodings", session.rng.choice(("zlib", "zlib", "hextile", "raw"))]
                run_tool(session, [*command, place, str(folder / "picture.jpg")], folder)
            return
        context = None
        if variant == "work-tls":
            context = ssl.create_default_context(cafile=str(write_authority(folder)))
        viewer = await _open(session, context)
    try:
        await _use(session, viewer, "work" if context else variant)
    except (TimeoutError, ssl.SSLError) as error:
        raise PeerError(f"{type(error).__name__}: {error}") from error
    finally:
        emit("seen", updates=viewer.updates, rectangles=viewer.rectangles, pixels=viewer.pixels)
        await common_net.disconnect(viewer.writer, session.rng)


async def _open(session: Session, context: ssl.SSLContext | None) -> Viewer:
    streams = await common_net.connect(session, session.port)
    viewer = Viewer(streams, session.rng, int(session.params.get("bits", 32)))
    encodings = ENCODINGS[str(session.params.get("encoding", "zrle"))]
    await viewer.begin(context, server_name(session.peer["host"]), encodings)
    return viewer


async def _use(session: Session, viewer: Viewer, variant: str) -> None:
    """See what the server shows, and do something meanwhile."""
    viewer.request(incremental=False)
    seeing = asyncio.create_task(_see(session, viewer))
    deeds = {"work": common_person.work, "type": common_person.write}
    doing = asyncio.create_task(deeds.get(variant, common_person.watch)(session, viewer))
    try:
        done, _ = await asyncio.wait((seeing, doing), return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        seeing.cancel()
        doing.cancel()


async def _see(session: Session, viewer: Viewer) -> None:
    """Ask for the next update when one has come, at once or at a slow line's pace."""
    pause_s = float(session.params.get("pause_s", 0.0))
    while True:
        if await viewer.message():
            await asyncio.sleep(pause_s)
            viewer.request()


if __name__ == "__main__":
    main(serve, act)
