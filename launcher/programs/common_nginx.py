"""nginx as a server of the lab: one process, its files in a workspace, its log as events."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from common import Service
from common_daemon import start_daemon
from common_tls import certificate_chain

CERTIFICATES = 5
LETTERS = "abcdefghijklmnopqrstuvwxyz"

_HEAD = """
daemon off;
master_process off;
user root root;
pid {folder}/nginx.pid;
error_log stderr warn;
{modules}
events {{ worker_connections 1024; }}
"""

_HTTP = """
http {{
    default_type application/octet-stream;
    types {{
        text/html html; text/css css; text/javascript js; image/png png;
        application/json json; text/plain txt;
    }}
    map $msec $time_ns {{ "~^(?<s>[0-9]+)\\.(?<ms>[0-9]+)$" "$s${{ms}}000000"; }}
    log_format event escape=json '{{"time_ns": $time_ns, "event": "request", '
        '"method": "$request_method", "path": "$uri", "status": $status, '
        '"body_bytes": $request_length, "reply_bytes": $body_bytes_sent, '
        '"version": "$server_protocol", "tls": "$ssl_protocol"}}';
    access_log /dev/stdout event;
    server_tokens {tokens};
    sendfile on;
    tcp_nopush {nopush};
    keepalive_timeout {keepalive};
    gzip {gzip};
    gzip_types text/css text/javascript application/json text/plain;
    {temporary}
    {servers}
}}
"""


def tls_settings(rng: random.Random, host: str, folder: Path, site: str) -> str:
    """Servers for TLS, one for each certificate: the name a client asks for picks it."""
    shared = "\n".join(
        [
            "ssl_protocols TLSv1.2 TLSv1.3;",
            f"ssl_session_tickets {rng.choice(('on', 'off'))};",
            f"ssl_session_cache {rng.choice(('off', 'shared:all:1m'))};",
            f"ssl_buffer_size {rng.choice(('4k', '8k', '16k'))};",
            f"ssl_prefer_server_ciphers {rng.choice(('on', 'off'))};",
        ]
    )
    servers = []
    for number in range(CERTIFICATES):
        file = folder / f"chain-{number}.pem"
        file.write_bytes(certificate_chain(rng, host))
        first = LETTERS[number::CERTIFICATES]
        servers.append(
            f"server {{ {site}\nserver_name ~^[{first}];\n"
            f"ssl_certificate {file}; ssl_certificate_key {file};\n{shared} }}"
        )
    return "\n".join(servers)


def configuration(
    rng: random.Random,
    folder: Path,
    *,
    servers: str = "",
    more: str = "",
    modules: Sequence[str] = (),
) -> Path:
    """Write nginx's configuration: HTTP servers, and ``more`` outside of HTTP."""
    text = _HEAD.format(
        folder=folder, modules="\n".join(f"load_module {module};" for module in modules)
    )
    if servers:
        places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        text += _HTTP.format(
            tokens=rng.choice(("on", "off")),
            nopush=rng.choice(("on", "off")),
            keepalive=rng.choice((5, 15, 65, 75)),
            gzip=rng.choice(("on", "on", "off")),
            temporary="\n".join(f"{place}_temp_path {folder}/{place};" for place in places),
            servers=servers,
        )
    file = folder / "nginx.conf"
    file.write_text(text + more)
    return file


async def start_nginx(
    service: Service, folder: Path, file: Path, *, ports: Sequence[int] | None = None
) -> None:
    """Start nginx with a configuration; return when it listens on the service's ports."""
    await start_daemon(
        service,
        ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(file)],
        folder=folder,
        tcp=service.ports if ports is None else ports,
    )
