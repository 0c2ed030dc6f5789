"""Profiles of synthetic sessions: what a protocol looks like from outside, as YAML."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from topologies.document import read_source, validate
from topologies.errors import NotFoundError, Problem
from topologies.faults import fault
from topologies.model import Model, Name

LIBRARY: Final = Path(__file__).parent / "library"
MAX_DATAGRAM_BYTES: Final = 1_472
MAX_MAGIC_BYTES: Final = 16

End = Literal["client", "server"]


def _rising(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(after < before for before, after in pairwise(values)):
        raise fault(
            expected="quantiles from the lowest to the highest",
            got=", ".join(f"{value:g}" for value in values),
            remedy="sort them",
        )
    return values


def _magic(value: str) -> str:
    expected = f"at most {MAX_MAGIC_BYTES} bytes in hexadecimal digits"
    try:
        data = bytes.fromhex(value)
    except ValueError:
        raise fault(
            expected=expected, got=f"'{value}'", remedy="write two digits for each byte"
        ) from None
    if len(data) > MAX_MAGIC_BYTES:
        raise fault(
            expected=expected,
            got=f"{len(data)} bytes",
            remedy="keep what marks the protocol; the rest is noise",
        )
    return value


Sizes = Annotated[
    tuple[Annotated[float, Field(ge=1, le=1_000_000)], ...],
    Field(min_length=1, max_length=101),
    AfterValidator(_rising),
]
Gaps = Annotated[
    tuple[Annotated[float, Field(ge=0, le=600_000)], ...],
    Field(min_length=1, max_length=101),
    AfterValidator(_rising),
]
Counts = Annotated[
    tuple[Annotated[float, Field(ge=1, le=5_000)], ...],
    Field(min_length=1, max_length=101),
    AfterValidator(_rising),
]
Magic = Annotated[str, AfterValidator(_magic)]


class Step(Model):
    """One of the first messages, alike in all sessions."""

    sender: End
    bytes: Sizes = Field(description="quantiles of its size")
    after_ms: Gaps = Field((0.0,), description="quantiles of the time since the message before")


class Bytes(Model):
    """Sizes of the messages after the opening, as quantiles."""

    client: Sizes
    server: Sizes


class Turns(Model):
    """Who sends next, after the opening."""

    client_after_client: Annotated[float, Field(ge=0, le=1)] = 0.5
    client_after_server: Annotated[float, Field(ge=0, le=1)] = 0.5


class After(Model):
    """Times between messages after the opening, as quantiles: of whom after whom."""

    client_client: Gaps = (0.0,)
    client_server: Gaps = Field((0.0,), description="the server after the client: it answers")
    server_client: Gaps = Field((0.0,), description="the client after the server: it thinks")
    server_server: Gaps = (0.0,)


class Marks(Model):
    """What every message of an end begins with, in hexadecimal digits: never a user's data."""

    client: Magic = ""
    server: Magic = ""


class Ends(Model):
    """How TCP sessions end, as weights: who closes first, or the client resets."""

    client: Annotated[float, Field(ge=0)] = 0.0
    server: Annotated[float, Field(ge=0)] = 0.0
    reset: Annotated[float, Field(ge=0)] = 0.0


class Profile(Model):
    """A protocol from outside: who sends how much and when. Distributions are evenly spaced
    quantiles from the lowest to the highest value; one number is a constant.
    """

    format: Literal[1] = 1
    name: Name
    description: str = ""
    transport: Literal["tcp", "udp"]
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(description="of the server")
    opening: Annotated[tuple[Step, ...], Field(min_length=1, max_length=16)]
    messages: Counts = Field(description="of one session, the opening's among them")
    bytes: Bytes
    turns: Turns = Turns()
    after_ms: After = After()
    magic: Marks = Marks()
    ttl: Annotated[int, Field(ge=2, le=255)] = 64
    mss_bytes: Annotated[int, Field(ge=200, le=8_960)] = 1_460
    window_bytes: Annotated[int, Field(ge=4_096, le=4_194_304)] = 65_536
    end: Ends = Ends(client=1)

    @field_validator("opening")
    @classmethod
    def _client_soon(cls, opening: tuple[Step, ...]) -> tuple[Step, ...]:
        if all(step.sender == "server" for step in opening[:2]):
            raise fault(
                expected="the client's first message at the first or second place",
                got=", ".join(step.sender for step in opening[:2]),
                remedy="begin with the client's, or with one greeting of the server",
            )
        return opening

    @model_validator(mode="after")
    def _possible(self) -> Self:
        sizes = [self.bytes.client, self.bytes.server, *(step.bytes for step in self.opening)]
        largest = max(values[-1] for values in sizes)
        if self.transport == "udp" and largest > MAX_DATAGRAM_BYTES:
            raise fault(
                expected=f"datagrams of at most {MAX_DATAGRAM_BYTES} bytes",
                got=f"{largest:g}",
                remedy="write smaller sizes, or transport: tcp",
            )
        if self.transport == "udp" and self.opening[0].sender == "server":
            raise fault(
                expected="a client that begins: over UDP the server does not know of it before",
                got="the server",
                remedy="begin with the client's message",
            )
        if not any((self.end.client, self.end.server, self.end.reset)):
            raise fault(
                expected="a weight above 0 under end:", got="none", remedy="write end: {client: 1}"
            )
        return self


def profiles() -> tuple[str, ...]:
    """Names of the profiles that ship with the package."""
    return tuple(sorted(path.stem for path in LIBRARY.glob("*.yaml")))


@cache
def _shipped(name: str) -> Profile:
    return validate(read_source(LIBRARY / f"{name}.yaml"), Profile).model


def load_profile(reference: str, folder: Path | None = None) -> Profile:
    """Read a profile by file path (from ``folder``, else from here) or library name.

    Raises
    ------
    NotFoundError
        There is no such file and no such name.
    InputError
        The file has faults; all of them are listed.
    """
    if "/" in reference or reference.endswith((".yaml", ".yml")):
        return validate(read_source(beside(reference, folder)), Profile).model
    if reference in profiles():
        return _shipped(reference)
    raise NotFoundError(
        Problem(
            reference,
            "",
            "a profile's file or the name of one that ships",
            f"'{reference}'",
            f"these ship: {', '.join(profiles())}",
        )
    )


def beside(reference: str, folder: Path | None) -> Path:
    """A file that a topology names: from the topology's folder, else from the current one."""
    near = (folder or Path()) / reference
    return near if near.exists() else Path(reference)
