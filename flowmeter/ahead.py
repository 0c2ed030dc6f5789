"""Work that is done ahead in a thread: one stage of a pipeline beside the next."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, TypeVar

Item = TypeVar("Item")
DEPTH: Final = 4  # items that may wait, so that memory stays bounded
IN_USE: Final = DEPTH + 2  # with the one that is used, and the one that is being made
LOOK_S: Final = 0.1  # how soon an abandoned thread notices
_END: Final = object()


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items, made in a thread while earlier ones are used.

    What the thread raises comes out here. Compiled code, numpy and Arrow work beside each other, as
    they let go of Python's lock.
    """
    waiting: queue.Queue[Any] = queue.Queue(DEPTH)
    abandoned = threading.Event()
    failures: list[BaseException] = []

    def put(item: object) -> None:
        while not abandoned.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=LOOK_S)
                break

    def work() -> None:
        try:
            for item in items:
                put(item)
                if abandoned.is_set():
                    break
        except BaseException as failure:  # noqa: BLE001 - raised again by the consumer
            failures.append(failure)
        put(_END)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not _END:
            yield item
    finally:
        abandoned.set()
        thread.join()
    if failures:
        raise failures[0]
