"""Two threads that share their work: the same results and errors, and nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from flowmeter.ahead import IN_USE
from flowmeter.pair import Pair


def doubled(pair: Pair, items: Iterator[int]) -> Iterator[int]:
    return pair.results(2 * item for item in pair.shared(items))


def nothing_is_left() -> bool:
    return all(thread.name != "pair" for thread in threading.enumerate())


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(doubled(Pair(), iter(range(2000)))) == list(range(0, 4000, 2))
    assert list(doubled(Pair(), iter([]))) == []
    assert nothing_is_left()


def test_both_threads_bring_items() -> None:
    brought: set[str] = set()
    other = threading.Event()

    def items() -> Iterator[int]:
        for number in range(3 * IN_USE):
            brought.add(threading.current_thread().name)
            if len(brought) == 2:
                other.set()
            yield number

    pair = Pair()

    def made() -> Iterator[int]:
        for number in pair.shared(items()):
            if number == 1:  # what comes next is brought by the thread that waits for results
                assert other.wait(10)
            yield number

    assert list(pair.results(made())) == list(range(3 * IN_USE))
    assert brought == {"pair", threading.current_thread().name}


def test_no_more_items_are_in_use_than_was_said() -> None:
    """An item's array is filled again once ``IN_USE`` have come after it."""
    arrays = [[0] for _ in range(IN_USE)]

    def items() -> Iterator[list[int]]:
        for number in range(500):
            arrays[number % IN_USE][0] = number
            yield arrays[number % IN_USE]

    pair = Pair()
    assert list(pair.results(item[0] for item in pair.shared(items()))) == list(range(500))


@pytest.mark.parametrize("good", [0, 1, 7, 40])
def test_an_error_of_the_source_comes_after_what_was_brought(good: int) -> None:
    def items() -> Iterator[int]:
        yield from range(good)
        raise ValueError("broken")

    seen: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        seen.extend(doubled(Pair(), items()))
    assert seen == list(range(0, 2 * good, 2))
    assert nothing_is_left()


def test_an_error_of_what_is_made_comes_out() -> None:
    pair = Pair()
    with pytest.raises(ZeroDivisionError):
        list(pair.results(1 // (3 - item) for item in pair.shared(iter(range(10)))))
    assert nothing_is_left()


def test_it_may_be_left_early() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**6)
        finally:
            closed.set()

    source = items()
    results = doubled(Pair(), source)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    results.close()  # type: ignore[attr-defined]
    assert nothing_is_left()
    source.close()  # type: ignore[attr-defined]
    assert closed.is_set()


def test_what_needs_no_items_is_made_ahead_too() -> None:
    assert list(Pair().results(iter(range(100)))) == list(range(100))
