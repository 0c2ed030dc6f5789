"""The process on each machine of a lab over several: does what its launcher asks, one lab long.

Asked over standard input, answering over standard output. When nobody asks any more, whatever the
reason, it removes what it made.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final

from launcher.backend import HostGoneError
from launcher.labs import Lab
from launcher.scaleout.channel import Channel
from launcher.scaleout.duties import Duties, WiredBackend
from launcher.signals import undisturbed
from topologies.errors import GstaError, MachineError

log = logging.getLogger(__name__)

THREADS: Final = 64  # programs that are being ended at the same time
DUTIES: Final = (
    *("open", "up", "join", "carries", "spawn", "stop", "capture", "stop_capture"),
    *("watch", "unwatch", "change", "overrun", "down"),
)


def serve(make: Callable[[str, Lab], WiredBackend]) -> None:
    """Serve the launcher at the other end of standard input and output until it goes.

    ``make`` gives a back end for its name and a lab.
    """
    channel = Channel(sys.stdin.buffer, _own_output())

    def tell(what: str, *, data: bytes = b"", **particulars: object) -> None:
        channel.send({"tell": what, **particulars}, data)

    duties = Duties(make, tell)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            for message, _ in channel.received():
                number, name = message["id"], message["do"]
                if name == "clock":  # at once, for how long it takes counts
                    channel.send({"id": number, "gives": time.time_ns()})
                elif name in DUTIES:
                    duty = partial(getattr(duties, name), **message["with"])
                    pool.submit(duty).add_done_callback(partial(_answer, channel, number))
    finally:
        with undisturbed():
            duties.down()


def _own_output() -> Any:
    """Standard output for messages alone: what anybody prints goes to standard error."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


def _answer(channel: Channel, number: int, done: Future[Any]) -> None:
    error = done.exception()
    answer = {"gives": done.result()} if error is None else {"failed": failure(error)}
    if error is not None and not isinstance(error, GstaError):
        log.error("a duty failed", exc_info=error)
    with suppress(OSError):  # the launcher has gone
        channel.send({"id": number, **answer})


def failure(error: BaseException) -> dict[str, str]:
    """What went wrong, for the launcher to raise again."""
    if isinstance(error, HostGoneError):
        return {"kind": "host", "host": error.host, "text": str(error).partition("died: ")[2]}
    if isinstance(error, MachineError):
        return {"kind": "machine", "text": error.what, "remedy": error.remedy}
    return {"kind": "lab", "text": str(error) or type(error).__name__}
