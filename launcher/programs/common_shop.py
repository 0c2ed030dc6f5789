"""What the shop, its customers and its attackers know of each other."""

from __future__ import annotations

import http.client
import random
import urllib.parse
from typing import Any

import common_net
from common import Session

SECRETS = "customers"  # the table that search should not reach
HIDDEN = (
    *("admin", "backup", "config", "old", "test", "private", "db", "logs", "phpmyadmin", "tmp"),
    *("uploads", "secret", "dev", "stage", "api", "console", "manager", "dump", "cgi-bin", "wp"),
)
WORDS = (
    *("index", "images", "css", "js", "about", "contact", "news", "blog", "help", "login"),
    *("search", "home", "media", "files", "docs", "download", "support", "forum", "static"),
)
PASSWORDS = (
    *("123456", "password", "qwerty", "letmein", "dragon", "monkey", "football", "iloveyou"),
    *("admin", "welcome", "sunshine", "princess", "shadow", "master", "trustno1", "batman"),
    *("summer", "winter", "hello", "charlie", "freedom", "whatever", "secret", "flower"),
)
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "curl/8.5.0",
    "python-requests/2.32.3",
)


def headers(rng: random.Random) -> dict[str, str]:
    """Request headers of some program."""
    made = {"User-Agent": rng.choice(AGENTS), "Accept": "*/*"}
    if rng.random() < 0.6:
        made["Accept-Language"] = rng.choice(("en", "de,en;q=0.5", "es-ES,es;q=0.8"))
    return made


def request(
    session: Session, method: str, path: str, form: dict[str, str] | None = None
) -> tuple[int, int]:
    """One request on the session's connection, which is made anew when it has gone.

    Returns
    -------
    tuple
        Status and length of the body in bytes.
    """
    status, body = exchange(session, method, path, form)
    return status, len(body)


def exchange(
    session: Session, method: str, path: str, form: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """As `request`; status and body."""
    body = urllib.parse.urlencode(form) if form is not None else None
    sent = headers(session.rng)
    if body is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    connection = _connection(session)
    try:
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP answer: {error!r}") from error
    finally:
        if not session.params.get("keep_alive", True):
            close(session)


def close(session: Session) -> None:
    """End the session's connection."""
    connection = _open.pop(id(session), None)
    if connection is not None:
        connection.close()


def _connection(session: Session) -> Any:
    if id(session) not in _open:
        connection = http.client.HTTPConnection(session.peer["address"], session.port, timeout=10)
        connection.sock = common_net.dial(session, session.port)
        connection.auto_open = 0
        _open[id(session)] = connection
    connection = _open[id(session)]
    if connection.sock is None:  # the server closed it
        connection.sock = common_net.dial(session, session.port)
    return connection


_open: dict[int, Any] = {}  # a program has one session; attacks use several at once
