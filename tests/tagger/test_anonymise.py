from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagger.anonymise import PrefixPreserving, random_key, read_key
from topologies.errors import InputError, NotFoundError

KEY = bytes([21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16,
             216, 152, 143, 131, 121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2])  # fmt: skip
REFERENCE = {  # the sample trace of the reference implementation
    "128.11.68.132": "135.242.180.132",
    "129.118.74.4": "134.136.186.123",
    "130.132.252.244": "133.68.164.234",
    "141.223.7.43": "141.167.8.160",
    "141.233.145.108": "141.129.237.235",
    "152.163.225.39": "151.140.114.167",
    "156.29.3.236": "147.225.12.42",
    "165.247.96.84": "162.9.99.234",
    "166.107.77.190": "160.132.178.185",
    "192.102.249.13": "252.138.62.131",
    "192.215.32.125": "252.43.47.189",
}
YACRYPTOPAN = {  # the reference has no IPv6; this is how yacryptopan 1.0.2 extends it
    "::1": "78ff:f001:9fc0:20df:8380:b1f1:704:ed",
    "::2": "78ff:f001:9fc0:20df:8380:b1f1:704:ef",
    "::ffff": "78ff:f001:9fc0:20df:8380:b1f1:704:f838",
    "2001:db8::1": "4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e",
}
V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).map(str)


@pytest.mark.parametrize("vectors", [REFERENCE, YACRYPTOPAN])
def test_published_vectors(vectors):
    assert PrefixPreserving(KEY)(list(vectors)) == list(vectors.values())


def test_versions_may_be_mixed():
    mixed = ["::1", "128.11.68.132", "::2"]
    assert PrefixPreserving(KEY)(mixed) == [(REFERENCE | YACRYPTOPAN)[text] for text in mixed]
    assert PrefixPreserving(KEY)([]) == []


def common(one, other):
    """Bits that two addresses begin with alike."""
    width = ip_address(one).max_prefixlen
    return width - (int(ip_address(one)) ^ int(ip_address(other))).bit_length()


@given(st.one_of(st.lists(V4, min_size=2, max_size=20), st.lists(V6, min_size=2, max_size=20)),
       st.binary(min_size=32, max_size=32))  # fmt: skip
def test_prefixes_stay_as_long_as_they_were(addresses, key):
    hidden = PrefixPreserving(key)(addresses)
    for one, other in pairwise(addresses):
        place, next_place = addresses.index(one), addresses.index(other)
        assert common(hidden[place], hidden[next_place]) == common(one, other)


def test_many_addresses_are_those_one_by_one():
    many = [f"198.18.{n // 250}.{n % 250}" for n in range(3000)]
    hide = PrefixPreserving(KEY)
    hidden = hide(many)
    assert len(set(hidden)) == 3000
    assert [hide([many[n]])[0] for n in (0, 1023, 1024, 2999)] == [
        hidden[n] for n in (0, 1023, 1024, 2999)
    ]


def test_keys_come_from_files_or_chance(tmp_path):
    file = tmp_path / "key"
    file.write_bytes(KEY)
    assert read_key(file) == KEY
    file.write_text(f"{KEY.hex()}\n")
    assert read_key(file) == KEY
    assert random_key() != random_key()
    file.write_text("secret")
    with pytest.raises(InputError, match="expected 32 bytes or 64 hexadecimal digits, got 6 bytes"):
        read_key(file)
    with pytest.raises(NotFoundError, match="expected a key file, got none"):
        read_key(tmp_path / "absent")
    with pytest.raises(InputError, match="expected 32 bytes, got 3"):
        PrefixPreserving(b"abc")
