"""Whatever the bytes are, each packet is in a flow or has one reason, and nothing breaks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmeter.core.layout import Records
from tests.flowmeter.conftest import Lab, Packet, enhanced, interface, section
from tests.flowmeter.frames import check, every_kind, read, reason

KINDS = every_kind()
LINKS = sorted({link for link, _ in KINDS} | {9999})
Frame = tuple[int, bytes]


def capture(frames: list[Frame]) -> bytes:
    """A pcapng file with an interface for each link type."""
    blocks = [
        enhanced(Packet(at / 1000, frame), at, LINKS.index(link))
        for at, (link, frame) in enumerate(frames)
    ]
    return section() + b"".join(interface(link) for link in LINKS) + b"".join(blocks)


def both(lab: Lab, frames: list[Frame]) -> tuple[Records, Records]:
    path = lab.file(capture(frames), "fuzz.pcapng")
    outer, inner = read(path), read(path, tunnels="inner")
    for packets in (outer, inner):
        assert len(packets) == len(frames)
        check(packets)
    return outer, inner


def test_every_kind_is_in_a_flow(lab: Lab) -> None:
    for packets in both(lab, KINDS):
        assert {reason(packet) for packet in packets} == {""}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(LINKS), st.binary(max_size=120)), max_size=20))
def test_random_frames(lab: Lab, frames: list[Frame]) -> None:
    both(lab, frames)


EDITS = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from([0, 1, 4, 17, 47, 64, 69, 96, 128, 255])
              | st.integers(0, 255)),
    max_size=6,
)  # fmt: skip


@st.composite
def mutants(draw: st.DrawFn) -> Frame:
    """A valid frame with some bytes changed, cut or continued by another frame."""
    link, frame = draw(st.sampled_from(KINDS))
    data = bytearray(frame)
    for at, value in draw(EDITS):
        data[at % len(data)] = value
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))] + draw(st.sampled_from(KINDS))[1]
    return link, bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@settings(max_examples=400, deadline=None)
@given(st.lists(mutants(), min_size=1, max_size=20))
def test_mutated_frames(lab: Lab, frames: list[Frame]) -> None:
    outer, inner = both(lab, frames)
    # What is in no flow from outside is not looked into.
    known = (outer["reject"] != 0) & (outer["fragment"] == 0)
    assert (inner["reject"][known] == outer["reject"][known]).all()


@pytest.mark.parametrize("place", range(len(KINDS)))
def test_every_way_to_cut_a_frame(lab: Lab, place: int) -> None:
    link, frame = KINDS[place]
    both(lab, [(link, frame[:size]) for size in range(len(frame) + 1)])
