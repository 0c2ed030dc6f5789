"""SIP and SDP for the lab programs: messages as text, written and read."""

from __future__ import annotations

from dataclasses import dataclass, field

from common import PeerError
from common_rtp import CODECS, Codec

VERSION = "SIP/2.0"
REASONS = {
    100: "Trying",
    180: "Ringing",
    200: "OK",
    401: "Unauthorized",
    404: "Not Found",
    486: "Busy Here",
    487: "Request Terminated",
}


@dataclass
class Message:
    """A request or a response."""

    method: str = ""
    uri: str = ""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""

    def __bytes__(self) -> bytes:
        """As it is sent."""
        first = (
            f"{VERSION} {self.status} {REASONS.get(self.status, 'No')}"
            if self.status
            else f"{self.method} {self.uri} {VERSION}"
        )
        headers = {**self.headers, "Content-Length": str(len(self.body))}
        if self.body:
            headers["Content-Type"] = "application/sdp"
        lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()

    @property
    def call(self) -> str:
        """Which call it belongs to."""
        return self.headers.get("Call-ID", "")

    @property
    def about(self) -> str:
        """The method it is, or answers."""
        return self.headers.get("CSeq", " ").split(" ")[-1]

    def reply(self, status: int, *, body: str = "", tag: str = "", contact: str = "") -> Message:
        """A response to this request."""
        kept = {"Via", "From", "To", "Call-ID", "CSeq"}
        headers = {name: value for name, value in self.headers.items() if name in kept}
        if tag and "tag=" not in headers.get("To", ""):
            headers["To"] = f"{headers.get('To', '')};tag={tag}"
        if contact:
            headers["Contact"] = contact
        return Message(status=status, headers=headers, body=body)


def parse(data: bytes) -> Message:
    """Read a message.

    Raises
    ------
    PeerError
        It is no SIP.
    """
    head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    parts = first.split(" ", 2)
    headers = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    if len(parts) == 3 and parts[0] == VERSION and parts[1].isdigit():
        return Message(status=int(parts[1]), headers=headers, body=body)
    if len(parts) == 3 and parts[2] == VERSION:
        return Message(parts[0], parts[1], headers=headers, body=body)
    raise PeerError("no SIP message")


def describe(address: str, port: int, codec: Codec, number: int) -> str:
    """The SDP of one voice stream."""
    kind = codec.payload_type
    lines = ["v=0", f"o=- {number} {number} IN IP4 {address}", "s=-", f"c=IN IP4 {address}"]
    lines += ["t=0 0", f"m=audio {port} RTP/AVP {kind} 13"]
    lines += [f"a=rtpmap:{kind} {codec.name}/{codec.clock_hz}{'/2' * (codec.name == 'opus')}"]
    lines += ["a=rtpmap:13 CN/8000", f"a=ptime:{codec.packet_ms}", "a=sendrecv"]
    return "\r\n".join(lines) + "\r\n"


def described(body: str) -> tuple[int, Codec]:
    """Port and codec of an SDP's voice stream.

    Raises
    ------
    PeerError
        It has none that is known.
    """
    port, kind, packet_ms = 0, -1, 20
    for line in body.split("\r\n"):
        if line.startswith("m=audio "):
            port, kind = int(line.split(" ")[1]), int(line.split(" ")[3])
        elif line.startswith("a=ptime:"):
            packet_ms = int(line.partition(":")[2])
    for codec in CODECS.values():
        if (codec.payload_type, codec.packet_ms) == (kind, packet_ms) and port:
            return port, codec
    raise PeerError("no voice stream that is known")
