"""Addresses are written as the operating system writes them."""

from __future__ import annotations

import socket

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flowmeter.identity import addresses

HALF = 1 << 64
# What the rules of RFC 5952 are about: runs of zeros, short numbers, IPv4 in the last half.
GROUPS = st.lists(st.sampled_from((0, 1, 0xF, 0x10, 0xABC, 0xFFFF)), min_size=8, max_size=8)


def written(version: int, address: int) -> str:
    high, low = np.array([address // HALF], np.uint64), np.array([address % HALF], np.uint64)
    (text,) = addresses(np.array([version], np.uint8), high, low).to_pylist()
    return str(text)


@given(GROUPS)
def test_ipv6(groups: list[int]) -> None:
    packed = b"".join(group.to_bytes(2) for group in groups)
    assert written(6, int.from_bytes(packed)) == socket.inet_ntop(socket.AF_INET6, packed)


@given(st.binary(min_size=4, max_size=4))
def test_ipv4(packed: bytes) -> None:
    assert written(4, int.from_bytes(packed)) == socket.inet_ntop(socket.AF_INET, packed)


def test_many_of_both_kinds_follow_each_other() -> None:
    version = np.array([6, 4, 6, 4], np.uint8)
    high = np.array([0x20010DB8 << 32, 0, 2**64 - 1, 0], np.uint64)
    low = np.array([1, 0xC0000201, 2**64 - 1, 0], np.uint64)
    texts = addresses(version, high, low).to_pylist()
    assert texts == ["2001:db8::1", "192.0.2.1", ":".join(["ffff"] * 8), "0.0.0.0"]
    assert addresses(version[:0], high[:0], low[:0]).to_pylist() == []
