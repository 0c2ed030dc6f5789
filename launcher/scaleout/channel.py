"""Messages between the launcher and a machine of its lab: JSON lines, some with bytes behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final

MOST_BYTES: Final = 1 << 20  # behind one message
_SIZE: Final = "bytes"


class Channel:
    """One end of a pair of streams. Any thread may send; one receives."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader, self._writer = reader, writer
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, object], data: bytes = b"") -> None:
        """Send a message; `OSError` if nobody listens any more."""
        whole = {**message, _SIZE: len(data)} if data else message
        line = json.dumps(whole, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._writer.write(line + data)
            self._writer.flush()

    def received(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Messages and their bytes, until the other end is gone.

        Raises
        ------
        ValueError
            What came is no message: another program is at the other end.
        """
        while line := self._reader.readline():
            message = json.loads(line)
            if not isinstance(message, dict):
                raise ValueError(f"no message: {line[:80]!r}")  # noqa: TRY004 - of the data
            yield message, self._reader.read(int(message.get(_SIZE, 0)))
