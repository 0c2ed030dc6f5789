"""Threads that share their work: the same tables and errors, and nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from flowmeter.crew import DEPTH, IN_USE, Crew, alone


class Sums:
    """Each shard adds up the items; after every third item the sums are rows."""

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self._sums = [0] * shards
        self._items = 0

    def feed_shard(self, number: int, item: list[int]) -> None:
        self._sums[number] += item[0] * (number + 1)

    def fed(self, item: list[int]) -> Iterator[tuple[int, ...]]:
        self._items += 1
        assert item
        if self._items % 3 == 0:
            yield tuple(self._sums)
            yield (self._items,)

    def finish(self) -> Iterator[tuple[int, ...]]:
        yield tuple(self._sums)


def items(count: int) -> Iterator[list[int]]:
    """An item's list is filled again once ``IN_USE`` have come after it."""
    lists = [[0] for _ in range(IN_USE)]
    for number in range(count):
        lists[number % IN_USE][0] = number
        yield lists[number % IN_USE]


def made(rows: tuple[int, ...]) -> str:
    return str(rows)


def nothing_is_left() -> bool:
    return all(thread.name != "crew" for thread in threading.enumerate())


@pytest.mark.parametrize("count", [0, 1, 3, 1000])
@pytest.mark.parametrize(("shards", "threads"), [(1, 2), (2, 2), (3, 3), (4, 2)])
@pytest.mark.parametrize("waits", [False, True])
def test_the_same_tables_as_alone(count: int, shards: int, threads: int, waits: bool) -> None:
    crew = Crew(items(count), Sums(shards), made, threads, waits=waits)
    assert list(crew.tables()) == list(alone(items(count), Sums(shards), made))
    assert nothing_is_left()


def test_all_threads_work() -> None:
    both = threading.Barrier(2, timeout=60)

    class Meeting(Sums):
        def feed_shard(self, number: int, item: list[int]) -> None:
            both.wait()  # passes only while the other shard is at work
            super().feed_shard(number, item)

    assert len(list(Crew(items(30), Meeting(2), made, 2).tables())) == 21


def test_who_takes_tables_never_waits_for_items_that_may_be_long_in_coming() -> None:
    bringers = set()

    def slow() -> Iterator[list[int]]:
        for number in range(200):
            bringers.add(threading.current_thread().name)
            yield [number]

    list(Crew(slow(), Sums(2), made, 2, waits=True).tables())
    assert bringers == {"crew"}


def test_a_bounded_number_waits() -> None:
    brought = 0

    def counted() -> Iterator[list[int]]:
        nonlocal brought
        for item in items(10_000):
            brought += 1
            yield item

    tables = Crew(counted(), Sums(2), made, 2).tables()
    next(tables)
    assert brought <= 3 * (DEPTH + 2) + IN_USE
    tables.close()
    assert nothing_is_left()


@pytest.mark.parametrize("good", [0, 1, 7, 40])
def test_an_error_of_the_items_comes_after_what_they_gave(good: int) -> None:
    def broken() -> Iterator[list[int]]:
        yield from items(good)
        raise ValueError("broken")

    seen: list[str] = []
    with pytest.raises(ValueError, match="broken"):
        seen.extend(Crew(broken(), Sums(2), made, 2).tables())
    assert seen == list(alone(items(good), Sums(2), made))[:-1]
    assert nothing_is_left()


@pytest.mark.parametrize("where", ["feed_shard", "fed", "finish", "make"])
def test_an_error_of_the_work_comes_out(where: str) -> None:
    def fail(*_: object) -> Iterator[tuple[int, ...]]:
        raise ZeroDivisionError(where)

    work = Sums(2)
    if where != "make":
        setattr(work, where, fail)
    make = fail if where == "make" else made
    with pytest.raises(ZeroDivisionError, match=where):
        list(Crew(items(50), work, make, 2).tables())
    assert nothing_is_left()


def test_it_may_be_left_early() -> None:
    closed = threading.Event()

    def endless() -> Iterator[list[int]]:
        try:
            yield from items(10**9)
        finally:
            closed.set()

    source = endless()
    tables = Crew(source, Sums(2), made, 2).tables()
    assert [next(tables) for _ in range(2)] == ["(3, 6)", "(3,)"]
    tables.close()
    assert nothing_is_left()
    source.close()  # type: ignore[attr-defined]
    assert closed.is_set()
