"""A scan of a web server for what nobody links to: by gobuster, by dirb, by requests of our own."""

from __future__ import annotations

import re

from common import Session, emit, main, word
from common_shop import HIDDEN, WORDS, request
from common_tool import home, run_tool

MAX_RATE_S = 60.0


def act(session: Session) -> None:
    """Scan; the effect is a folder found that should not be there."""
    found: set[str] = set()
    try:
        words = wordlist(session)
        tool = session.params.get("variant")
        if tool == "requests":
            for path in words:
                status, _ = request(session, session.params["method"], f"/{path}")
                if status != 404:
                    found.add(path)
                rate_s = min(float(session.params["rate_s"]), MAX_RATE_S)
                if not session.rest_s(session.rng.expovariate(rate_s)):
                    break
        else:
            found = _by_tool(session, str(tool), words)
    finally:
        hidden = sorted(found & set(HIDDEN))
        emit("effect", success=bool(hidden), found=hidden)


def wordlist(session: Session) -> list[str]:
    """Names to try, in this attacker's order."""
    rng = session.rng
    words = [*HIDDEN, *WORDS, *(word(rng, 3, 9) for _ in range(int(session.params["strange"])))]
    rng.shuffle(words)
    return words


def _by_tool(session: Session, tool: str, words: list[str]) -> set[str]:
    url = f"http://{session.peer['address']}:{session.port}"
    with home() as folder:
        (folder / "words").write_text("\n".join(words) + "\n")
        gap_ms = str(int(1_000 / min(float(session.params["rate_s"]), MAX_RATE_S)))
        if tool == "gobuster":
            command = ["gobuster", "dir", "-u", url, "-w", "words", "-q", "--no-color", "-e"]
            command += ["-t", "2", "--delay", f"{2 * int(gap_ms)}ms"]
            command += ["-b", "404", "--timeout", "5s"]
        else:
            command = ["dirb", url, "words", "-S", "-r", "-z", gap_ms]
        said = run_tool(session, command, folder, fine=None).output
    return set(re.findall(rf"{re.escape(url)}/([a-z0-9-]+)", said))


if __name__ == "__main__":
    main(None, act)
