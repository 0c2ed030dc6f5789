"""Threads that share the stages of metering: whoever has time takes the next piece of work.

Flows are dealt out to as many shards as there are threads. All shards work on one batch of packets
at once, and who is done reads on or makes tables until the others are. So all threads have
something to do for as long as there is anything to do, however long the stages take.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

DEPTH: Final = 4  # what may wait between two stages, so that memory stays bounded
IN_USE: Final = DEPTH + 2  # batches: with the one that is metered, and the one that is being read

Item = TypeVar("Item")
Rows = TypeVar("Rows")
Table = TypeVar("Table")
Item_contra = TypeVar("Item_contra", contravariant=True)
Rows_co = TypeVar("Rows_co", covariant=True)


class Sharded(Protocol[Item_contra, Rows_co]):
    """Work on items that shards share; between two items it is one thread's."""

    shards: int

    def feed_shard(self, number: int, item: Item_contra) -> None:
        """What one shard does with an item; the other shards do it at the same time."""

    def fed(self, item: Item_contra) -> Iterator[Rows_co]:
        """What there is after all shards have done with the item."""

    def finish(self) -> Iterator[Rows_co]:
        """What there is at the end."""


class Crew(Generic[Item, Rows, Table]):
    """A `Sharded`'s items brought, fed and made into tables by several threads, this one included.

    Parameters
    ----------
    items
        Taken one after the other, by any thread. One must stay as it is until `IN_USE` have come
        after it.
    work
        Fed with them. What its generators give is taken before the next item is fed.
    make
        A table of rows; several may be made at once.
    threads
        With the one that takes the tables.
    waits
        Whether items may be long in coming: then it is never this thread that waits for one.
    """

    def __init__(
        self,
        items: Iterator[Item],
        work: Sharded[Item, Rows],
        make: Callable[[Rows], Table],
        threads: int,
        *,
        waits: bool = False,
    ) -> None:
        self._items, self._work, self._make, self._waits = items, work, make, waits
        self._helpers = [
            threading.Thread(target=self._help, name="crew", daemon=True)
            for _ in range(threads - 1)
        ]
        self._changed = threading.Condition()
        self._abandoned = self._ended = self._bringing = self._last = False
        self._failures: list[BaseException] = []
        self._broken: BaseException | None = None  # what bringing ended with
        self._brought: deque[Item] = deque()
        self._item: Any = None  # whose turn it is; None: the end's
        self._to_feed: deque[int] = deque()  # shards that have not begun with it
        self._feeding = 0  # shards that have not ended
        self._parts: Iterator[Rows] | None = None  # what it gave, when it has been fed
        self._taking = False
        self._rows: deque[tuple[int, Rows]] = deque()
        self._tables: dict[int, Table] = {}
        self._numbered = self._used = 0  # tables begun, and those that were given

    def tables(self) -> Generator[Table]:
        """All tables, in order; what goes wrong with the items comes after what they gave."""
        for helper in self._helpers:
            helper.start()
        try:
            while self._step(mine=True):
                yield from self._next_tables()
        finally:
            with self._changed:
                self._abandoned = True
                self._changed.notify_all()
            for helper in self._helpers:
                helper.join()
        if self._failures:
            raise self._failures[0]
        if self._broken:
            raise self._broken

    def _next_tables(self) -> Iterator[Table]:
        while self._used in self._tables:
            with self._changed:
                table = self._tables.pop(self._used)
                self._used += 1
                self._changed.notify_all()
            yield table

    def _help(self) -> None:
        while self._step(mine=False):
            pass

    def _step(self, *, mine: bool) -> bool:
        """Do a piece of work, or wait for one or for a table; False: there will be none."""
        try:
            with self._changed:
                task = None
                while not self._over():
                    if mine and self._used in self._tables:
                        return True
                    if task := self._next_task(mine=mine):
                        break
                    self._changed.wait()
            if task is None:
                return False
            task()
        except BaseException as failure:  # noqa: BLE001 - raised again by `tables`
            self._failures.append(failure)
        with self._changed:
            self._changed.notify_all()
        return True

    def _over(self) -> bool:
        if self._abandoned or self._failures:
            return True
        return self._ended and not self._rows and self._used == self._numbered

    def _next_task(self, *, mine: bool) -> Callable[[], None] | None:
        """The piece of work that others wait for most; taken by who asks."""
        if not self._feeding and self._parts is None and not self._ended:
            self._begin()
        if self._to_feed:
            return partial(self._feed, self._to_feed.popleft(), self._item)
        may_read = not self._bringing and not self._last and not (mine and self._waits)
        if may_read and not self._brought:
            self._bringing = True
            return self._bring
        if self._parts is not None and not self._taking and self._numbered - self._used <= DEPTH:
            self._taking = True
            return partial(self._take, self._parts)
        if self._rows:
            return partial(self._table, *self._rows.popleft())
        if may_read and len(self._brought) < DEPTH:
            self._bringing = True
            return self._bring
        return None

    def _begin(self) -> None:
        """Go on to the next item, or to the end."""
        if self._brought:
            self._item = self._brought.popleft()
            self._to_feed.extend(range(self._work.shards))
            self._feeding = self._work.shards
        elif self._last and not self._bringing:
            self._item = None
            self._parts = iter(()) if self._broken else self._work.finish()

    def _bring(self) -> None:
        try:
            item = next(self._items, None)
            broken = None
        except BaseException as failure:  # noqa: BLE001 - raised when what came before is used
            item, broken = None, failure
        with self._changed:
            self._bringing = False
            if item is None:
                self._last, self._broken = True, broken
            else:
                self._brought.append(item)

    def _feed(self, number: int, item: Item) -> None:
        self._work.feed_shard(number, item)
        with self._changed:
            self._feeding -= 1
            if not self._feeding:
                self._parts = self._work.fed(item)

    def _take(self, parts: Iterator[Rows]) -> None:
        rows = next(parts, None)
        with self._changed:
            self._taking = False
            if rows is None:
                self._parts = None
                self._ended = self._item is None
            else:
                self._rows.append((self._numbered, rows))
                self._numbered += 1

    def _table(self, number: int, rows: Rows) -> None:
        table = self._make(rows)
        with self._changed:
            self._tables[number] = table


def alone(
    items: Iterator[Item], work: Sharded[Item, Rows], make: Callable[[Rows], Table]
) -> Generator[Table]:
    """What a `Crew` gives, made by this thread as it is asked for."""
    for item in items:
        for number in range(work.shards):
            work.feed_shard(number, item)
        yield from map(make, work.fed(item))
    yield from map(make, work.finish())
