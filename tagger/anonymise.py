"""Addresses replaced so that those with a common prefix still have one of the same length.

Crypto-PAn (Xu, Fan, Ammar and Moon, ICNP 2002): bit i of an address is flipped by a keyed function
of the bits before it, the first bit of an AES block. Written here because the libraries there are
encrypt one block at a time; a call for all blocks of many addresses is a hundred times as fast.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from topologies.errors import InputError, NotFoundError, Problem

KEY_BYTES: Final = 32
BLOCK_BYTES: Final = 16
AT_ONCE: Final = 1024  # addresses: two megabytes of blocks
Bytes = npt.NDArray[np.uint8]


class PrefixPreserving:
    """Replaces IPv4 and IPv6 addresses under a key of 32 bytes: 16 for AES, 16 for the padding.

    Whoever has the key can tell which address stands for which; without it, prefixes, counts and
    known pairs still tell something. A key that nobody keeps makes the mapping one of its own.

    Examples
    --------
    >>> hide = PrefixPreserving(bytes(range(32)))
    >>> one, other, far = hide(["198.18.1.7", "198.18.1.9", "198.19.0.1"])
    >>> one.rpartition(".")[0] == other.rpartition(".")[0], one == hide(["198.18.1.7"])[0]
    (True, True)
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise InputError(
                Problem("", "key", f"{KEY_BYTES} bytes", f"{len(key)}", "make one of this size")
            )
        # ECB encrypts each block by itself: that is the keyed function, and hides no text.
        self._cipher = Cipher(algorithms.AES(key[:16]), modes.ECB())  # noqa: S305
        self._padding = self._encrypted(np.frombuffer(key[16:], dtype=np.uint8).reshape(1, -1))

    def __call__(self, addresses: Sequence[str]) -> list[str]:
        """The replacements, in order; raises `ValueError` for what is no address."""
        read = [ip_address(text) for text in addresses]
        said = [""] * len(read)
        for version, bits in ((4, 32), (6, 128)):
            rows = [row for row, address in enumerate(read) if address.version == version]
            for begin in range(0, len(rows), AT_ONCE):
                some = rows[begin : begin + AT_ONCE]
                packed = b"".join(read[row].packed for row in some)
                hidden = self._hidden(
                    np.frombuffer(packed, dtype=np.uint8).reshape(-1, bits // 8), bits
                )
                for row, value in zip(some, hidden, strict=True):
                    kind = IPv4Address if version == 4 else IPv6Address
                    said[row] = str(kind(value.tobytes()))
        return said

    def _hidden(self, packed: Bytes, bits: int) -> Bytes:
        """Addresses [n, bits / 8] with their bits flipped."""
        wide = np.zeros((len(packed), BLOCK_BYTES), dtype=np.uint8)
        wide[:, : packed.shape[1]] = packed
        known = np.arange(BLOCK_BYTES * 8) < np.arange(bits)[:, None]
        mask = np.packbits(known, axis=1)  # row i: the first i bits
        blocks = (wide[:, None, :] & mask) | (self._padding & ~mask)
        first = self._encrypted(blocks.reshape(-1, BLOCK_BYTES))[:, 0] >> 7
        flips: Bytes = np.packbits(first.reshape(len(packed), bits), axis=1)
        return packed ^ flips

    def _encrypted(self, blocks: Bytes) -> Bytes:
        encryptor = self._cipher.encryptor()
        text = encryptor.update(np.ascontiguousarray(blocks).tobytes()) + encryptor.finalize()
        return np.frombuffer(text, dtype=np.uint8).reshape(-1, BLOCK_BYTES)


def random_key() -> bytes:
    """A key of the system's generator."""
    return secrets.token_bytes(KEY_BYTES)


def read_key(path: Path) -> bytes:
    """A key from a file: 32 bytes, or 64 hexadecimal digits.

    Raises
    ------
    NotFoundError, InputError
        There is no such file, or something else in it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFoundError(
            Problem(str(path), "", "a key file", "none", f"make one: openssl rand {KEY_BYTES}")
        ) from error
    if len(content) == KEY_BYTES:
        return content
    try:
        key = bytes.fromhex(content.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise InputError(
            Problem(
                str(path),
                "",
                f"{KEY_BYTES} bytes or {2 * KEY_BYTES} hexadecimal digits",
                f"{len(content)} bytes of another kind",
                f"make one: openssl rand {KEY_BYTES}",
            )
        )
    return key
