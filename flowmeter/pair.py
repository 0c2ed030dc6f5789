"""Two threads that share three stages: one makes, one uses, and whoever has time brings."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from flowmeter.ahead import DEPTH

Item = TypeVar("Item")
_END: Final = object()


class Pair:
    """What a thread makes of items while its results are used, with both bringing the items.

    So both threads have something to do for as long as there is anything to do, however long the
    stages take, and no more threads compete for two cores.

    Examples
    --------
    >>> pair = Pair()
    >>> list(pair.results(number**2 for number in pair.shared(iter(range(5)))))
    [0, 1, 4, 9, 16]
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._source: Iterator[Any] | None = None
        self._brought: deque[Callable[[], Any]] = deque()
        self._made: deque[Any] = deque()
        self._bringing = self._ended = self._abandoned = False
        self._failures: list[BaseException] = []

    def shared(self, items: Iterator[Item]) -> Iterator[Item]:
        """The same items, for what is given to `results`; each is brought by either thread."""
        self._source = items
        try:
            while (item := self._next()) is not _END:
                yield item
        finally:
            with self._changed:
                self._source = None
                self._changed.wait_for(lambda: not self._bringing)

    def results(self, items: Iterator[Item]) -> Iterator[Item]:
        """The same items, made in a thread while earlier ones are used; its errors come out."""
        thread = threading.Thread(target=self._make, args=(items,), name="pair", daemon=True)
        thread.start()
        try:
            while (item := self._result()) is not _END:
                yield item
        finally:
            with self._changed:
                self._abandoned = True
                self._bringing = False  # an interrupt may have come between
                self._changed.notify()
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _make(self, items: Iterator[Item]) -> None:
        try:
            for item in items:
                with self._changed:
                    self._changed.wait_for(lambda: self._abandoned or len(self._made) < DEPTH)
                    self._made.append(item)
                    self._changed.notify()
                    if self._abandoned:
                        break
        except BaseException as failure:  # noqa: BLE001 - raised again by `results`
            self._failures.append(failure)
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _next(self) -> Any:
        """An item that was brought, or else the next one of the source."""
        with self._changed:
            self._changed.wait_for(lambda: self._brought or not self._bringing)
            if self._brought:
                self._changed.notify()
                brought = self._brought.popleft()
            else:
                self._bringing = True
                brought = None
        return brought() if brought else self._bring()()

    def _result(self) -> Any:
        """Bring items until there is a result."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._made or self._ended or self._may_bring())
                if self._made:
                    self._changed.notify()
                    return self._made.popleft()
                if self._ended:
                    return _END
                self._bringing = True
            self._bring(self._brought)

    def _may_bring(self) -> bool:
        if self._source is None or self._bringing:
            return False
        return len(self._brought) < DEPTH

    def _bring(self, to: deque[Callable[[], Any]] | None = None) -> Callable[[], Any]:
        """The source's next item, or what it raises, as a call that gives it; also put there."""
        brought = _called(self._source)
        with self._changed:
            self._bringing = False
            if to is not None:
                to.append(brought)
            self._changed.notify()
        return brought


def _called(source: Iterator[Any] | None) -> Callable[[], Any]:
    try:
        item = _END if source is None else next(source, _END)
    except BaseException as failure:  # noqa: BLE001 - raised again where the item is used
        failed = failure

        def fail() -> Any:
            raise failed

        return fail
    return lambda: item
