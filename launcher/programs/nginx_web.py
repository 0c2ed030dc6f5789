"""Web sites on nginx: HTTP/1.1 and HTTP/2, plain, over TLS 1.2 and over TLS 1.3.

The site is made of the service's seed. Clients learn its pages as people do: from its first one.
"""

from __future__ import annotations

import random
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

import common_net
from common import PeerError, Service, Session, emit, main
from common_headers import client_headers
from common_site import DATA, FILE, LINK, OBJECT
from common_tls import client_context, server_name
from common_tool import home, run_tool, time_left_s


async def serve(service: Service) -> None:
    """Run nginx with a generated site."""
    from common_daemon import workspace
    from common_nginx import configuration, start_nginx, tls_settings
    from common_site import build_site

    folder, rng = workspace(service), service.rng
    build_site(rng, folder / "site")
    place = (
        f"root {folder}/site; location /post {{ return {rng.choice((200, 204))}; }} "
        f"location /old {{ return 302 /index.html; }}"
    )
    servers = []
    for port in service.ports:
        here = f"{service.address}:{port}"
        if port in common_net.TLS_PORTS:
            site = f"listen {here} ssl http2; {place}"
            servers.append(tls_settings(rng, service.host, folder, site))
        else:
            servers.append(f"server {{ listen {here}; {place} }}")
    await start_nginx(service, folder, configuration(rng, folder, servers="\n".join(servers)))


class Visit:
    """What one user knows of the site and wants of it."""

    def __init__(self, session: Session) -> None:
        self.session, self.rng, self.params = session, session.rng, session.params
        self.port = common_net.port_of(session, secure=bool(self.params.get("tls", True)))
        self.secure = self.port in common_net.TLS_PORTS
        self.name = server_name(self.rng, session.peer["host"])
        self.page = "/index.html"

    @property
    def origin(self) -> str:
        """Scheme, name and port."""
        return f"http{'s' if self.secure else ''}://{self.name}:{self.port}"

    def wanted(self, text: str) -> list[str]:
        """What the user's program fetches besides a page, and the page to go to next."""
        self.page = self.rng.choice(LINK.findall(text) or ["/index.html"])
        if self.params["variant"] in ("download-curl", "download-python"):
            found = FILE.findall(text) or OBJECT.findall(text)
            return self.rng.sample(found, 1)
        objects = OBJECT.findall(text) + DATA.findall(text)
        most = int(self.params.get("objects", 20))
        return self.rng.sample(objects, min(len(objects), most))


def act(session: Session) -> None:
    """Go from page to page with the tool of the variant."""
    visit = Visit(session)
    variant = session.params["variant"]
    with home() as folder:
        for action in range(int(session.params.get("actions", 4))):
            if action and not session.rest():
                break
            if variant in ("browse-nghttp", "load-nghttp"):
                _nghttp(visit, folder, assets=variant == "browse-nghttp")
            elif variant in ("browse-curl", "download-curl"):
                _curl(visit, folder)
            else:
                _python(visit)


def _curl(visit: Visit, folder: Path) -> None:
    """A page, and then its objects by one curl, over one or several connections."""
    page = folder / "page.html"
    _run_curl(visit, folder, [visit.origin + visit.page, "-o", str(page)])
    paths = visit.wanted(page.read_text(errors="replace") if page.exists() else "")
    if paths:
        rest = [part for path in paths for part in (visit.origin + path, "-o", "/dev/null")]
        _run_curl(visit, folder, [*visit.params.get("curl", []), *rest])


def _run_curl(visit: Visit, folder: Path, arguments: list[str]) -> None:
    address = visit.session.peer["address"]
    command = ["curl", "-sSkL", "--noproxy", "*", "--connect-to", f"::{address}:{visit.port}"]
    command += ["--http2" if visit.params.get("http2") else "--http1.1", "--compressed"]
    if visit.params.get("tls12"):
        command += ["--tls-max", "1.2"]
    for name, value in client_headers(random.Random(visit.name))[:3]:
        command += ["-H", f"{name}: {value}"]
    command += ["-m", f"{time_left_s(visit.session):.1f}", "-w", "%{http_code} %{size_download}\\n"]
    ran = run_tool(visit.session, [*command, *arguments], folder, fine=(0, 28))
    for line in ran.output.splitlines():
        emit("request", tool="curl", result=line[:60])


def _nghttp(visit: Visit, folder: Path, *, assets: bool) -> None:
    """A page with nghttp, and its objects as they are found: multiplexed on one connection."""
    address = visit.session.peer["address"]
    command = ["nghttp", "-ns", "--no-verify-peer", "-t", f"{time_left_s(visit.session):.0f}"]
    command += ["-H", f":authority: {visit.name}:{visit.port}"]
    command += [f"--window-bits={visit.rng.choice((16, 18, 20, 24))}"]
    if assets:
        paths = [visit.page]
        command.append("-a")
    else:
        paths = [visit.page] * visit.rng.randint(1, 3)
        command.append(f"-m{visit.rng.randint(1, 5)}")
    uris = [f"https://{address}:{visit.port}{path}" for path in paths]
    ran = run_tool(visit.session, [*command, *uris], folder)
    done = [line.split() for line in ran.output.splitlines() if " 200 " in line]
    emit("page", tool="nghttp", objects=len(done))


def _python(visit: Visit) -> None:
    """A script with the standard library's client, on one connection."""
    link = _open(visit)
    headers = dict(client_headers(random.Random(visit.name)))
    try:
        text = _fetch(link, visit.page, headers)
        for path in visit.wanted(text.decode(errors="replace")):
            _fetch(link, path, headers)
        if visit.params.get("posts"):
            _fetch(link, "/post", headers, visit.rng.randbytes(int(visit.params["posts"])))
    except HTTPException as error:
        raise PeerError(repr(error)) from error
    finally:
        if link.sock is not None:
            common_net.reset_on_close(link.sock, share=common_net.RESET_SHARE, rng=visit.rng)
        link.close()


def _open(visit: Visit) -> HTTPConnection:
    sock = common_net.dial(visit.session, visit.port)
    if not visit.secure:
        plain = HTTPConnection(visit.name, visit.port)
        plain.sock = sock
        return plain
    context = _tls12() if visit.params.get("tls12") else client_context(visit.rng)
    link = HTTPSConnection(visit.name, visit.port)
    link.sock = context.wrap_socket(sock, server_hostname=visit.name)
    return link


def _tls12() -> ssl.SSLContext:
    """An older client; it takes any curve, as its version has the server's key on one too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def _fetch(
    link: HTTPConnection, path: str, headers: dict[str, str], body: bytes | None = None
) -> bytes:
    link.request("GET" if body is None else "POST", path, body, headers)
    with link.getresponse() as reply:
        content = reply.read()
    emit("request", status=reply.status, bytes=len(content), sent_bytes=len(body or b""))
    return content


if __name__ == "__main__":
    main(serve, act)
