"""Work done ahead: the same items, the same errors, nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from flowmeter.ahead import DEPTH, ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "ahead"]


def test_the_items_come_in_their_order() -> None:
    assert list(ahead(iter(range(1000)))) == list(range(1000))
    assert threads() == []


def test_it_is_ahead_by_a_bounded_number() -> None:
    made: list[int] = []
    full = threading.Event()

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == DEPTH + 1:
                full.set()
            yield number

    coming = ahead(items())
    assert next(coming) == 0
    assert full.wait(10)
    assert len(made) <= DEPTH + 2
    coming.close()  # type: ignore[attr-defined]
    assert threads() == []


def test_an_error_comes_after_what_was_made() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(ValueError, match="broken"):
        next(coming)
    assert threads() == []
