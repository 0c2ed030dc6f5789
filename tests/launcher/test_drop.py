"""The parcels of an intruder: what is cut into pieces and names comes out whole, or is missed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import launcher

sys.path.insert(0, str(Path(launcher.__file__).parent / "programs"))

from common_drop import LABEL, Store, from_name, messages, to_name

SEEDS = st.integers(0, 2**32)


@given(SEEDS, st.integers(1, 3_000), st.integers(20, 140))
def test_a_parcel_in_names_is_whole_in_any_order(seed: int, size: int, piece: int) -> None:
    rng = random.Random(seed)
    *pieces, last = messages(rng, size, piece)
    rng.shuffle(pieces)
    store = Store()
    for message in pieces:
        name = to_name(message)
        assert len(name) <= 253
        assert all(len(label) <= LABEL for label in name.split("."))
        assert store.take(from_name(name.upper() + ".")) is None
    assert store.take(from_name(to_name(last))) is True


@given(SEEDS, st.integers(200, 3_000))
def test_a_piece_that_is_missing_or_changed_is_noticed(seed: int, size: int) -> None:
    rng = random.Random(seed)
    *pieces, last = messages(rng, size, 50)
    lost, changed = Store(), Store()
    victim = rng.randrange(len(pieces))
    for number, message in enumerate(pieces):
        if number != victim:
            lost.take(message)
        changed.take(message[:-1] + bytes([message[-1] ^ (number == victim)]))
    assert lost.take(last) is False
    assert changed.take(last) is False


@pytest.mark.parametrize(
    "name", ["www.lab", "drop.lab", "....drop.lab", "a1.drop.lab", "ä.drop.lab"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Store().take(from_name(name))
