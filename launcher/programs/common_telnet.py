"""Telnet's negotiation: taken out of the stream, and written into it (RFC 854)."""

from __future__ import annotations

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
ECHO, GO_AHEAD, TERMINAL, WINDOW = 1, 3, 24, 31


def negotiation(verb: int, *options: int) -> bytes:
    """Requests or answers about options."""
    return b"".join(bytes((IAC, verb, option)) for option in options)


class Parser:
    """Takes a stream apart into text and negotiation."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> tuple[bytes, list[tuple[int, int]]]:
        """The text in what has come, and the requests (verb, option); halves wait for the rest."""
        data, self._rest = self._rest + data, b""
        text, asked, place = bytearray(), [], 0
        while place < len(data):
            if data[place] != IAC:
                text.append(data[place])
                place += 1
                continue
            size = _command_size(data[place:])
            if not size:
                self._rest = data[place:]
                break
            if data[place + 1] == IAC:
                text.append(IAC)
            elif data[place + 1] >= WILL:
                asked.append((data[place + 1], data[place + 2]))
            place += size
        return bytes(text), asked


def _command_size(data: bytes) -> int:
    """Bytes of the command that ``data`` begins with; 0 when it is not whole yet."""
    if len(data) < 2:
        return 0
    if data[1] == SB:
        return data.find(bytes((IAC, SE))) + 2 if bytes((IAC, SE)) in data else 0
    size = 3 if WILL <= data[1] <= DONT else 2
    return size if len(data) >= size else 0
